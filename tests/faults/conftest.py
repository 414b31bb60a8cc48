"""Copies of the results of a run, to damage them."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the results of the end-to-end run."""
    shutil.copytree(finished_run / "results", tmp_path / "results")
    return tmp_path
