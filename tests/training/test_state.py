"""The state folder holds the state of one run, and nobody else's files."""

from pathlib import Path

import pytest
import torch

from pipeline.config.errors import PipelineError
from pipeline.training.state import TrainingState

RUN = {"config": "a", "code": "b"}


def test_state_of_the_same_run_is_found_again_and_of_another_is_removed(tmp_path: Path) -> None:
    TrainingState(tmp_path / "state", RUN).save({"epoch": 3, "weights": torch.ones(2)})
    again = TrainingState(tmp_path / "state", RUN).load()
    assert again is not None
    assert again["epoch"] == 3
    assert TrainingState(tmp_path / "state", RUN | {"code": "c"}).load() is None


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PipelineError, match="holds other files"):
        TrainingState(tmp_path, RUN)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_clearing_removes_the_state_and_nothing_else(tmp_path: Path) -> None:
    state = TrainingState(tmp_path / "state", RUN)
    state.save({"epoch": 1})
    (tmp_path / "state" / "notes.txt").write_text("mine")
    state.clear()
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["notes.txt"]
