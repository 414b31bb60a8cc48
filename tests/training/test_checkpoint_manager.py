"""Tests of the checkpoint folder: it holds the state of one run only, and is complete whenever the job is killed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.provenance.computation import Computation
from pipeline.training import checkpoints as module
from pipeline.training.checkpoints import CheckpointManager, ReadOnlyCheckpoints, open_checkpoints

ROOT = Path(__file__).resolve().parents[2]
RUN = {"config": "a", "code": "b"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def loaded_epoch(folder: Path) -> int | None:
    state = CheckpointManager(folder, RUN).load()
    return None if state is None else state["epoch"]


def test_checkpoint_manager_resumes_the_same_run_and_removes_the_state_of_another(tmp_path: Path) -> None:
    CheckpointManager(tmp_path / "state", RUN).save({"epoch": 3, "weights": torch.ones(2)})
    state = CheckpointManager(tmp_path / "state", RUN).load()
    assert state is not None
    assert state["epoch"] == 3
    assert CheckpointManager(tmp_path / "state", RUN | {"code": "c"}).load() is None


def test_checkpoint_manager_refuses_a_folder_with_other_files_and_leaves_it_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PipelineError, match="holds other files"):
        CheckpointManager(tmp_path, RUN)
    assert names(tmp_path) == {"thesis.txt"}


def test_clear_removes_the_checkpoints_and_nothing_else(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path / "state", RUN)
    manager.save({"epoch": 1})
    (tmp_path / "state" / "notes.txt").write_text("mine")
    manager.clear()
    assert names(tmp_path / "state") == {"notes.txt"}


def test_checkpoint_manager_removes_files_of_a_killed_writer(tmp_path: Path) -> None:
    (tmp_path / ".fingerprint.77.tmp.json").write_text("{")
    manager = CheckpointManager(tmp_path, RUN)  # killed before the first fingerprint was written
    manager.save({"epoch": 1})
    for name in (".state-2.77.tmp.pt", ".state-2.77.tmp.json", "state-2.pt"):
        (tmp_path / name).write_bytes(b"half")
    assert loaded_epoch(tmp_path) == 1
    assert names(tmp_path) == {"fingerprint.json", "state.lock", "state-1.pt", "state-1.json"}


def test_save_keeps_the_two_newest_checkpoints(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, RUN)
    for epoch in range(1, 5):
        manager.save({"epoch": epoch})
    assert names(tmp_path) == {
        "fingerprint.json", "state.lock", "state-3.pt", "state-3.json", "state-4.pt", "state-4.json"
    }  # fmt: skip
    assert loaded_epoch(tmp_path) == 4


@pytest.mark.parametrize("suffix", ["pt", "json"])
def test_load_falls_back_to_the_previous_checkpoint_with_a_warning_if_the_newest_is_damaged(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = CheckpointManager(tmp_path, RUN)
    manager.save({"epoch": 1})
    manager.save({"epoch": 2})
    damaged = tmp_path / f"state-2.{suffix}"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert loaded_epoch(tmp_path) == 1
    assert f"{tmp_path / 'state-2.pt'}: damaged" in caplog.text
    CheckpointManager(tmp_path, RUN).save({"epoch": 3})
    assert "state-1.pt" in names(tmp_path), "the checkpoint fallen back to is the second newest now"
    assert loaded_epoch(tmp_path) == 3


def test_load_returns_none_without_a_valid_checkpoint(tmp_path: Path) -> None:
    CheckpointManager(tmp_path, RUN).save({"epoch": 1})
    (tmp_path / "state-1.pt").write_bytes(b"")
    assert loaded_epoch(tmp_path) is None
    (tmp_path / "fingerprint.json").write_text("{")
    assert loaded_epoch(tmp_path) is None


def test_save_flushes_a_checkpoint_before_it_removes_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = CheckpointManager(tmp_path, RUN)
    manager.save({"epoch": 1})
    manager.save({"epoch": 2})
    flushed: list[str] = []

    def flush(path: Path) -> None:
        flushed.append(path.name)
        assert "state-1.pt" in names(tmp_path)

    monkeypatch.setattr(module, "flush", flush)
    manager.save({"epoch": 3})
    assert flushed == ["state-3.pt", "state-3.json"]
    assert "state-1.pt" not in names(tmp_path)


HOLD_LOCK = """
import sys
from pathlib import Path
from pipeline.errors import PipelineError
from pipeline.training.checkpoints import CheckpointManager
try:
    CheckpointManager(Path(sys.argv[1]), {"config": "a", "code": "b"})
except PipelineError as error:
    print(error, flush=True)
else:
    print("held", flush=True)
    sys.stdin.readline()
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD_LOCK, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_checkpoint_manager_refuses_a_second_process_until_the_first_has_ended(tmp_path: Path) -> None:
    first = start_holder(tmp_path)
    assert first.stdout
    assert first.stdout.readline().strip() == "held"
    with pytest.raises(PipelineError, match=rf"process {first.pid} on .* is training with this state"):
        CheckpointManager(tmp_path, RUN)
    first.kill()
    first.communicate(timeout=30)
    manager = CheckpointManager(tmp_path, RUN)
    second, _ = start_holder(tmp_path).communicate("\n", timeout=60)
    assert "is training with this state" in second
    manager.clear()
    assert not tmp_path.exists()


def test_read_only_checkpoints_read_and_never_write(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, RUN)
    manager.save({"epoch": 1})
    files_before = names(tmp_path)
    read_only = ReadOnlyCheckpoints(tmp_path)
    read_only.save({"epoch": 9})
    read_only.clear()
    assert read_only.load() == {"epoch": 1}
    assert names(tmp_path) == files_before


def compute(folder: Path, **arguments: int) -> Computation:
    return Computation("reencode", Reencode(), [], [folder / "scores.json"], **arguments)


def finish(folder: Path, **arguments: int) -> None:
    (folder / "scores.json").write_text("{}")
    compute(folder, **arguments).keep_outputs()


def test_open_checkpoints_opens_those_of_a_training_that_is_not_finished(tmp_path: Path) -> None:
    manager = open_checkpoints(tmp_path / "state", compute(tmp_path))
    assert manager is not None
    manager.save({"epoch": 1})
    again = open_checkpoints(tmp_path / "state", compute(tmp_path))
    assert again is not None
    assert again.load() == {"epoch": 1}
    again.clear()


def test_a_finished_training_is_published_and_only_its_own_checkpoints_are_removed(tmp_path: Path) -> None:
    finish(tmp_path, seed=1)
    (tmp_path / "scores.json").unlink()
    CheckpointManager(tmp_path / "state", compute(tmp_path, seed=2).key).save({"epoch": 7})
    assert open_checkpoints(tmp_path / "state", compute(tmp_path, seed=1)) is None
    assert (tmp_path / "scores.json").is_file()
    assert "state-1.pt" in names(tmp_path / "state"), "of another computation, which goes on later"
    CheckpointManager(tmp_path / "state", compute(tmp_path, seed=1).key).save({"epoch": 9})
    assert open_checkpoints(tmp_path / "state", compute(tmp_path, seed=1)) is None
    assert not (tmp_path / "state").exists(), "killed between the last output and the removal"


def test_a_training_that_another_process_has_just_finished_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = module.CheckpointManager.__init__

    def finish_first(self: CheckpointManager, folder: Path, fingerprint: dict[str, Any]) -> None:
        finish(tmp_path)
        (tmp_path / "scores.json").unlink()
        prepare(self, folder, fingerprint)

    monkeypatch.setattr(module.CheckpointManager, "__init__", finish_first)
    assert open_checkpoints(tmp_path / "state", compute(tmp_path)) is None
    assert (tmp_path / "scores.json").is_file()
    assert not (tmp_path / "state").exists()
