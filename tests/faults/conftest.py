"""A road's results to do harm to."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def road_copy(road: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the results of the road."""
    shutil.copytree(road / "results", tmp_path / "results")
    return tmp_path
