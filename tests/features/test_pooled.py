"""Pooled features are read by video id, and damage is detected."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.features.pooled import PooledVideoFeatures, write_pooled

ITEMS = [(video, {"max": np.full(3, row + 1.0), "mean": np.full(3, row - 1.0)}) for row, video in enumerate("cab")]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "video_features" / "manifest.json"
    write_pooled(path, ITEMS, {"feature": "toy"})
    return path


def test_vectors_of_returns_the_vectors_of_the_given_videos(manifest: Path) -> None:
    features = PooledVideoFeatures.open(manifest)
    assert (features.dim, features.videos) == (3, ["c", "a", "b"])
    assert features.vectors_of(["b", "c", "b"], "max")[:, 0].tolist() == [3.0, 1.0, 3.0]
    assert features.vectors_of([], "mean").shape == (0, 3)
    np.testing.assert_array_equal(features.vectors("mean"), features.vectors_of(features.videos, "mean"))
    assert features.vectors("mean").dtype == np.float32


def test_pooled_features_name_a_missing_video_and_pooling(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no pooled feature of video x"):
        PooledVideoFeatures.open(manifest).vectors_of(["a", "x"], "max")
    with pytest.raises(PipelineError, match=r"holds no sum, only max, mean; config: pool_features\.pools"):
        PooledVideoFeatures.open(manifest).vectors("sum")
    with pytest.raises(PipelineError, match="no video has features to pool"):
        write_pooled(tmp_path / "none" / "manifest.json", [], {})


def test_pooled_features_detect_a_damaged_file(manifest: Path) -> None:
    arrays = manifest.parent / "video_features.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-4])
    with pytest.raises(PipelineError, match=r"video_features\.safetensors: differs from its entry"):
        PooledVideoFeatures.open(manifest)
