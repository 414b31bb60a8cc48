"""Similarity of clips, and the region contrast."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.features.shard import write_shard
from pipeline.features.similarity import (
    RegionContrast,
    contrast_of_feature,
    measure_contrast,
    similarity_matrix,
)
from pipeline.features.time_grid import ClipGrid

CENTRES = np.arange(10) + 0.5


def test_similarity_is_the_cosine_of_two_rows() -> None:
    matrix = similarity_matrix(np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(matrix, [[1, 0.5**0.5, 0], [0.5**0.5, 1, 0], [0, 0, 0]], atol=1e-12)


def test_rows_that_are_alike_in_an_action_and_opposite_outside_have_contrast_2() -> None:
    rows = np.where(((CENTRES > 2) & (CENTRES < 6))[:, None], [1.0, 2.0], [-1.0, -2.0])
    contrast = measure_contrast(rows, CENTRES, [(2.0, 6.0)])
    assert isinstance(contrast, RegionContrast)
    assert (contrast.within, contrast.across) == pytest.approx((1.0, -1.0))
    assert contrast.difference == pytest.approx(2.0)


@given(st.integers(0, 99), st.lists(st.tuples(st.integers(0, 9), st.integers(2, 4)), min_size=1, max_size=3))
def test_the_contrast_is_that_of_the_matrix(seed: int, starts: list[tuple[int, int]]) -> None:
    rows = np.random.default_rng(seed).normal(size=(16, 3))
    centres = np.arange(16) + 0.5
    spans = [(float(start), float(start + length)) for start, length in starts]
    contrast = measure_contrast(rows, centres, spans)
    matrix = similarity_matrix(rows)
    members = [(centres >= start) & (centres <= end) for start, end in spans]
    outside = ~np.any(members, axis=0)
    within = [matrix[np.ix_(inside, inside)][~np.eye(inside.sum(), dtype=bool)].mean() for inside in members]
    across = [matrix[np.ix_(inside, outside)].mean() for inside in members]
    assert isinstance(contrast, RegionContrast)
    assert (contrast.within, contrast.across) == pytest.approx((np.mean(within), np.mean(across)))


@pytest.mark.parametrize(
    ("spans", "reason"),
    [([], "no_action"), ([(2.0, 2.9)], "no_action"), ([(0.0, 10.0)], "no_background")],
)
def test_videos_without_contrast_have_a_reason(spans: list[tuple[float, float]], reason: str) -> None:
    assert measure_contrast(np.ones((10, 2)), CENTRES, spans) == reason


def open_features(folder: Path, rows: dict[str, np.ndarray]) -> CombinedFeatures:
    items = [(video, float(len(array)), array.astype(np.float32)) for video, array in rows.items()]
    manifest = folder / "toy" / "0000" / "manifest.json"
    write_shard(manifest, items, dim=2, grid=ClipGrid(16.0, 16, 16), metadata={"encoder": "toy"})
    return CombinedFeatures.open(folder, ["toy"], 1)


def test_each_video_counts_once_or_has_a_reason(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    features = open_features(tmp_path, {f"v_{number}": draw.normal(size=(10, 2)) for number in range(3)})
    spans = {"v_0": [(1.0, 4.0)], "v_1": [(0.0, 10.0)], "v_2": [], "v_3": [(1.0, 4.0)]}
    contrast = contrast_of_feature(features, spans)
    assert list(contrast.by_video) == ["v_0"]
    assert contrast.left_out == {"no_background": ["v_1"], "no_action": ["v_2"], "no_features": ["v_3"]}


def test_nan_in_features_names_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = open_features(tmp_path, {"v_0": np.ones((4, 2))})
    monkeypatch.setattr(CombinedFeatures, "read", lambda *_: np.full((4, 2), np.nan, np.float32))
    with pytest.raises(PipelineError, match="v_0"):
        contrast_of_feature(features, {"v_0": [(1.0, 3.0)]})
