"""Concatenation of several features on one time grid."""

import logging
from pathlib import Path

import numpy as np
import pytest
from helpers.feature_files import DIM, GRID, random_features, write_feature_shard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.features.shard import write_shard
from pipeline.features.time_grid import ClipGrid

DENSE = ClipGrid(15.0, 16, 8)
AUDIO = ClipGrid(16000.0, 15360, 15360)


def test_features_on_one_grid_are_concatenated_in_the_given_order(tmp_path: Path) -> None:
    rgb, flow = random_features(4, 1), random_features(4, 2, dim=3)
    write_feature_shard(tmp_path, {"v_a": rgb})
    write_feature_shard(tmp_path, {"v_a": flow}, name="flow")
    for align in ("nearest", "linear"):
        features = CombinedFeatures.open(tmp_path, ["flow", "rgb"], 1, align=align)
        assert (features.dim, features.missing_videos, len(features.manifests)) == (DIM + 3, {}, 2)
        np.testing.assert_array_equal(features.read("v_a"), np.concatenate([flow, rgb], axis=1))


@pytest.mark.parametrize(("names", "rows"), [(("rgb", "dense"), 10), (("dense", "rgb"), 19)])
def test_features_have_the_rows_of_the_first_feature(tmp_path: Path, names: tuple[str, str], rows: int) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(10)})
    write_feature_shard(tmp_path, {"v_a": random_features(19, 1, dim=2)}, name="dense", grid=DENSE)
    features = CombinedFeatures.open(tmp_path, names, 1)
    rows_read = features.read("v_a")
    assert rows_read.shape == (rows, DIM + 2)
    assert rows_read.dtype == np.float32
    first = random_features(10) if names[0] == "rgb" else random_features(19, 1, dim=2)
    np.testing.assert_array_equal(rows_read[:, : first.shape[1]], first)
    assert features.grid == (GRID if names[0] == "rgb" else DENSE)
    assert features.event_rows("v_a", 0.0, 99.0) == (0, rows)
    if names[0] == "rgb":  # every centre is the centre of a row of the denser feature
        np.testing.assert_array_equal(rows_read[:, DIM:], random_features(19, 1, dim=2)[::2])
    else:  # the earlier of two equally near rows
        np.testing.assert_array_equal(rows_read[:, 2:], random_features(10)[[row // 2 for row in range(19)]])


@settings(max_examples=20)
@given(duration=st.floats(1.1, 40), order=st.permutations(["rgb", "dense", "audio"]))
def test_linear_alignment_keeps_the_times_of_the_first_feature(
    tmp_path_factory: pytest.TempPathFactory, duration: float, order: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("ramp")
    grids = {"rgb": GRID, "dense": DENSE, "audio": AUDIO}
    for number, (name, grid) in enumerate(grids.items()):
        # Each feature holds the times of its rows plus 100 times its index.
        ramp = (grid.centres(grid.num_clips(duration)) + 100 * number)[:, None].astype(np.float32)
        write_feature_shard(folder, {"v_a": ramp}, name=name, grid=grid, duration=duration)
    features = CombinedFeatures.open(folder, order, 1, align="linear")
    rows_read = features.read("v_a")
    centres = grids[order[0]].centres(grids[order[0]].num_clips(duration))
    for channel, name in enumerate(order):
        times = grids[name].centres(grids[name].num_clips(duration))
        expected = np.clip(centres, times[0], times[-1]) + 100 * list(grids).index(name)
        np.testing.assert_allclose(rows_read[:, channel], expected, atol=1e-4)


@pytest.mark.parametrize("missing", ["fail", "zeros"])
def test_features_with_one_row_more_or_less_are_not_missing(tmp_path: Path, missing) -> None:
    # Two versions of ffmpeg count 542 and 543 frames in one video, which gives 16 and 17 clips.
    write_feature_shard(tmp_path, {"v_a": random_features(17)})
    write_feature_shard(tmp_path, {"v_a": random_features(16, 1, dim=2)}, name="flow")
    features = CombinedFeatures.open(tmp_path, ["rgb", "flow"], 1, missing=missing)
    rows_read = features.read("v_a")
    np.testing.assert_array_equal(rows_read[:16, DIM : DIM + 2], random_features(16, 1, dim=2))
    np.testing.assert_array_equal(rows_read[16, DIM : DIM + 2], random_features(16, 1, dim=2)[-1])
    assert features.missing_videos == {}


@pytest.fixture
def partly_silent(tmp_path: Path) -> Path:
    """Write a visual feature of three videos; one has no audio feature, another one only in its first half."""
    write_feature_shard(
        tmp_path,
        {"v_a": random_features(10), "v_silent": random_features(10, 1), "v_half": random_features(10, 2)},
        duration=11.0,
    )
    audio = {"v_a": random_features(11, 3, 2), "v_silent": "no_audio", "v_half": random_features(5, 4, 2)}
    write_feature_shard(tmp_path, audio, name="audio", grid=AUDIO, duration=11.0)
    return tmp_path


def test_open_refuses_videos_that_miss_a_feature_unless_allowed(partly_silent: Path) -> None:
    message = r"audio: 2 of 3 videos miss this feature \(v_half: none for 4 of 10 rows, v_silent: no_audio\)"
    with pytest.raises(PipelineError, match=message + ".*missing: zeros"):
        CombinedFeatures.open(partly_silent, ["rgb", "audio"], 1)


def test_missing_features_are_zeros_flagged_in_mask_channels(
    partly_silent: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        features = CombinedFeatures.open(partly_silent, ["rgb", "audio"], 1, missing="zeros")
    assert "audio: 2 of 3 videos miss this feature" in caplog.text
    assert features.dim == DIM + 2 + 2
    assert features.metadata()["missing_videos"] == {"audio": 2}
    masks = {video: features.read(video)[:, -2:] for video in features.videos}
    assert (masks["v_a"] == 1).all()
    assert (masks["v_silent"] == [1, 0]).all()
    assert masks["v_half"].tolist() == [[1, 1]] * 6 + [[1, 0]] * 4
    for video, mask in masks.items():
        zeros = (features.read(video)[:, DIM : DIM + 2] == 0).all(axis=1)
        np.testing.assert_array_equal(zeros, mask[:, 1] == 0)


def test_a_video_that_misses_the_first_feature_has_the_rows_of_its_duration(partly_silent: Path) -> None:
    features = CombinedFeatures.open(partly_silent, ["audio", "rgb"], 1, missing="zeros")
    rows_read = features.read("v_silent")
    assert rows_read.shape == (11, 2 + DIM + 2)
    assert (rows_read[:, :2] == 0).all()
    assert (rows_read[:, -2:] == [0, 1]).all()
    assert features.event_rows("v_silent", 0.0, 99.0) == (0, 11)
    assert features.missing_videos["audio"] == {"v_silent": "no_audio"}


def test_the_duration_of_a_video_comes_from_the_features_that_it_has(tmp_path: Path) -> None:
    # The audio feature states no duration for a raw video without audio.
    for name, grid, item in (
        ("audio", AUDIO, ("v_a", 0.0, "no_sound")),
        ("rgb", GRID, ("v_a", 11.0, random_features(10))),
    ):
        write_shard(tmp_path / name / "0000" / "manifest.json", [item], dim=DIM, grid=grid, metadata={})
    features = CombinedFeatures.open(tmp_path, ["audio", "rgb"], 1, missing="zeros")
    assert features.num_rows("v_a") == 11
    assert (features.read("v_a")[:, -2:] == [0, 1]).all()
    assert features.metadata()["missing_videos"] == {"audio": 1}


def test_a_video_that_misses_all_features_is_left_out(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(3), "v_b": "no_audio"})
    for missing in ("fail", "zeros"):
        features = CombinedFeatures.open(tmp_path, ["rgb"], 1, missing=missing)
        assert (list(features.videos), features.dim) == (["v_a"], DIM)
        with pytest.raises(PipelineError, match="video v_b has no features: no_audio"):
            features.read("v_b")


@pytest.mark.parametrize(
    "other", [{"v_b": random_features(4)}, {"v_a": random_features(4), "v_b": random_features(4)}, {}]
)
@pytest.mark.parametrize("missing", ["fail", "zeros"])
def test_open_refuses_features_of_different_videos(tmp_path: Path, other: dict[str, np.ndarray], missing) -> None:
    # A video that is not listed was not extracted at all, which is another thing than a missing feature.
    write_feature_shard(tmp_path, {"v_a": random_features(4)})
    write_feature_shard(tmp_path, other, name="flow")
    with pytest.raises(PipelineError, match=r"(flow|rgb): does not list video v_., which .*(flow|rgb) does"):
        CombinedFeatures.open(tmp_path, ["rgb", "flow"], 1, missing=missing)


def test_open_refuses_other_weights_than_expected(tmp_path: Path) -> None:
    write_feature_shard(tmp_path, {"v_a": random_features(4)}, weights_sha256="aaa")
    write_feature_shard(tmp_path, {"v_a": random_features(4)}, name="flow")
    metadata = CombinedFeatures.open(tmp_path, ["rgb", "flow"], 1).metadata()
    CombinedFeatures.open(tmp_path, ["rgb", "flow"], 1, expected=metadata["expected"])
    write_feature_shard(tmp_path, {"v_a": random_features(4)}, weights_sha256="bbb")
    with pytest.raises(PipelineError, match=r"rgb/0000/manifest.json: weights_sha256 is 'bbb', expected 'aaa'"):
        CombinedFeatures.open(tmp_path, ["rgb", "flow"], 1, expected=metadata["expected"])


@pytest.mark.parametrize(
    "other",
    [
        {"relu": False},
        {"geometry": {"short_side": 224}},
        {"flow": {"method": "tvl1", "weights": "raft.pth"}},
        {"tail": "pad"},
        {"extractor": "vggish2"},
    ],
)
def test_open_refuses_other_options_than_expected(tmp_path: Path, other: dict[str, object]) -> None:
    metadata = {"extractor": "vggish", "relu": True, "geometry": {"short_side": 256}, "tail": "drop"}
    metadata |= {"flow": {"method": "raft", "weights": "raft.pth"}, "weights_sha256": None}
    write_feature_shard(tmp_path, {"v_a": random_features(4)}, **metadata)
    expected = CombinedFeatures.open(tmp_path, ["rgb"], 1).metadata()["expected"]
    write_feature_shard(
        tmp_path, {"v_a": random_features(4)}, **{**metadata, "feature": "renamed", "weights": "moved.pth"}
    )
    CombinedFeatures.open(tmp_path, ["rgb"], 1, expected=expected)
    write_feature_shard(tmp_path, {"v_a": random_features(4)}, **{**metadata, **other})
    with pytest.raises(PipelineError, match=f"{next(iter(other))} is .*, expected"):
        CombinedFeatures.open(tmp_path, ["rgb"], 1, expected=expected)
