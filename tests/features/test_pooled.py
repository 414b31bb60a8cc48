"""Global features are found again by video, and damage is told."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.features.pooled import Globals, write_globals

ITEMS = [(video, {"max": np.full(3, row + 1.0), "mean": np.full(3, row - 1.0)}) for row, video in enumerate("cab")]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "globals" / "manifest.json"
    write_globals(path, ITEMS, {"feature": "toy"})
    return path


def test_rows_are_those_of_the_videos_asked_for(manifest: Path) -> None:
    found = Globals.open(manifest)
    assert (found.dim, found.videos) == (3, ["c", "a", "b"])
    assert found.rows(["b", "c", "b"], "max")[:, 0].tolist() == [3.0, 1.0, 3.0]
    assert found.rows([], "mean").shape == (0, 3)
    np.testing.assert_array_equal(found.pooled("mean"), found.rows(found.videos, "mean"))
    assert found.pooled("mean").dtype == np.float32


def test_what_is_not_there_is_told(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no global feature of video x"):
        Globals.open(manifest).rows(["a", "x"], "max")
    with pytest.raises(PipelineError, match=r"holds no sum, only max, mean; config: pool_features\.pools"):
        Globals.open(manifest).pooled("sum")
    with pytest.raises(PipelineError, match="there are no features to pool"):
        write_globals(tmp_path / "none" / "manifest.json", [], {})


def test_damage_is_told(manifest: Path) -> None:
    arrays = manifest.parent / "globals.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-4])
    with pytest.raises(PipelineError, match=r"globals\.safetensors: not as"):
        Globals.open(manifest)
