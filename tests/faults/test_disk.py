"""A disk that is full or read-only is told in one line, and once it is not, the same command ends well."""

import importlib
from pathlib import Path

import pytest
import torch
from helpers.disks import enlarge, small_disk
from helpers.kill_runner import Case, contents
from helpers.stage_cases import case_of

from pipeline.errors import PipelineError
from pipeline.training.checkpoints import TrainingState

WRITING = ["build_corpus", "reencode", "extract_features", "train_captioner", "evaluate"]
"""Stages that write much, or late."""


def elsewhere(case: Case, folder: str) -> Case:
    """The case, with outputs and state in another folder."""
    moved = {declared: f"{folder}/{Path(declared).name}" for declared in case.declared}
    moved |= {
        word: f"{folder}/state" for flag, word in zip(case.words, case.words[1:], strict=False) if flag == "--state"
    }
    words = [moved.get(word, word) for word in case.words]
    return Case(case.stage, words, list(moved.values()), [folder], 0, 0)


def run(case: Case) -> int:
    status: int = importlib.import_module(case.stage).main(case.words)
    return status


def left(case: Case) -> dict[str, str]:
    """What a stage left, by the names within its folder."""
    return {str(Path(path).relative_to(case.leaves[0])): digest for path, digest in contents(case).items()}


@pytest.mark.road
@pytest.mark.parametrize("stage", WRITING)
def test_a_full_or_read_only_disk_is_told_and_the_rerun_is_as_if_nothing_had_been(
    road_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    monkeypatch.chdir(road_copy)
    case = case_of(road_copy, stage)
    roomy, small = elsewhere(case, "roomy"), elsewhere(case, "small")
    assert run(roomy) == 0
    needed = sum(path.stat().st_size for path in Path("roomy").rglob("*") if path.is_file())
    capsys.readouterr()
    with small_disk(Path("small"), 4096, "ro"):
        assert run(small) == 2
    said = capsys.readouterr().err
    assert "error: small/" in said
    assert "Read-only file system" in said
    with small_disk(Path("small"), needed // 2):
        assert run(small) == 2
        said = capsys.readouterr().err
        assert "error: small" in said
        assert "No space left on device" in said
        assert "run again" in said
        assert "Traceback" not in said
        enlarge(Path("small"))
        assert run(small) == 0
        assert left(small) == left(roomy)


def test_a_state_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    folder, run_of = tmp_path / "small", {"stage": "toy"}
    with small_disk(folder, 200_000):
        state = TrainingState(folder / "state", run_of)
        state.save({"epoch": 1, "weights": torch.zeros(10_000)})
        with pytest.raises(PipelineError, match=r"state-2\.pt: cannot be written \(No space left on device\); free"):
            state.save({"epoch": 2, "weights": torch.zeros(40_000)})
        again = TrainingState(folder / "state", run_of)
        kept = again.load()
        assert kept is not None
        assert kept["epoch"] == 1
        enlarge(folder)
        again.save({"epoch": 2, "weights": torch.zeros(40_000)})
        again.clear()
        assert list(folder.iterdir()) == []
