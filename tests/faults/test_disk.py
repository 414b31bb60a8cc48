"""A full or read-only disk is an error in one line; the same command succeeds once the disk is repaired."""

import importlib
from pathlib import Path

import pytest
import torch
from helpers.campaigns import quick_cases
from helpers.disks import enlarge_disk, mount_small_disk
from helpers.kill_runner import Case, contents
from helpers.stage_cases import case_of

from pipeline.errors import PipelineError
from pipeline.provenance.computation import KEPT_FOLDER
from pipeline.training.checkpoints import CheckpointManager

WRITING = quick_cases(["build_corpus", "train_captioner", "reencode", "extract_features", "evaluate"], 2)
"""Stages that write much, or late."""


def move_outputs(case: Case, folder: str) -> Case:
    """Return the case with its outputs and state in another folder."""
    moved = {declared: f"{folder}/{Path(declared).name}" for declared in case.declared}
    moved |= {
        word: f"{folder}/state" for flag, word in zip(case.words, case.words[1:], strict=False) if flag == "--state"
    }
    words = [moved.get(word, word) for word in case.words]
    return Case(case.stage, words, list(moved.values()), [folder], 0, 0)


def run(case: Case) -> int:
    status: int = importlib.import_module(case.stage).main(case.words)
    return status


def files_of(case: Case) -> dict[str, str]:
    """Return the files that a stage left, named relative to their folder, with their sha256."""
    return {str(Path(path).relative_to(case.leaves[0])): digest for path, digest in contents(case).items()}


@pytest.mark.end_to_end
@pytest.mark.parametrize("stage", WRITING)
def test_a_full_or_read_only_disk_is_an_error_and_the_rerun_succeeds(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: str
) -> None:
    monkeypatch.chdir(run_copy)
    case = case_of(run_copy, stage)
    roomy, small = move_outputs(case, "roomy"), move_outputs(case, "small")
    assert run(roomy) == 0
    files = (path for path in Path("roomy").rglob("*") if path.is_file() and KEPT_FOLDER not in path.parts)
    needed = sum(path.stat().st_size for path in files)
    capsys.readouterr()
    with mount_small_disk(Path("small"), 4096, "ro"):
        assert run(small) == 2
    output = capsys.readouterr().err
    assert "error: small/" in output
    assert "Read-only file system" in output
    with mount_small_disk(Path("small"), needed // 2):
        assert run(small) == 2
        output = capsys.readouterr().err
        assert "error: small" in output
        assert "No space left on device" in output
        assert "run again" in output
        assert "Traceback" not in output
        enlarge_disk(Path("small"))
        assert run(small) == 0
        assert files_of(small) == files_of(roomy)


def test_a_checkpoint_that_does_not_fit_leaves_the_previous_one(tmp_path: Path) -> None:
    folder, run_of = tmp_path / "small", {"stage": "toy"}
    with mount_small_disk(folder, 200_000):
        state = CheckpointManager(folder / "state", run_of)
        state.save({"epoch": 1, "weights": torch.zeros(10_000)})
        with pytest.raises(PipelineError, match=r"state-2\.pt: cannot be written \(No space left on device\); free"):
            state.save({"epoch": 2, "weights": torch.zeros(40_000)})
        again = CheckpointManager(folder / "state", run_of)
        checkpoint = again.load()
        assert checkpoint is not None
        assert checkpoint["epoch"] == 1
        enlarge_disk(folder)
        again.save({"epoch": 2, "weights": torch.zeros(40_000)})
        again.clear()
        assert list(folder.iterdir()) == []
