"""The state folder holds the state of one run, and nobody else's files; it is whole whenever the job is killed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.training import checkpoints as module
from pipeline.training.checkpoints import FollowedState, TrainingState

ROOT = Path(__file__).resolve().parents[2]
RUN = {"config": "a", "code": "b"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def loaded(folder: Path) -> int | None:
    found = TrainingState(folder, RUN).load()
    return None if found is None else found["epoch"]


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
    assert names(tmp_path) == {"thesis.txt"}


def test_clearing_removes_the_state_and_nothing_else(tmp_path: Path) -> None:
    state = TrainingState(tmp_path / "state", RUN)
    state.save({"epoch": 1})
    (tmp_path / "state" / "notes.txt").write_text("mine")
    state.clear()
    assert names(tmp_path / "state") == {"notes.txt"}


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".identity.77.tmp.json").write_text("{")
    state = TrainingState(tmp_path, RUN)  # killed before the first identity stood
    state.save({"epoch": 1})
    for name in (".state-2.77.tmp.pt", ".state-2.77.tmp.json", "state-2.pt"):
        (tmp_path / name).write_bytes(b"half")
    assert loaded(tmp_path) == 1
    assert names(tmp_path) == {"identity.json", "state.lock", "state-1.pt", "state-1.json"}


def test_the_newest_two_generations_are_kept(tmp_path: Path) -> None:
    state = TrainingState(tmp_path, RUN)
    for epoch in range(1, 5):
        state.save({"epoch": epoch})
    assert names(tmp_path) == {
        "identity.json", "state.lock", "state-3.pt", "state-3.json", "state-4.pt", "state-4.json"
    }  # fmt: skip
    assert loaded(tmp_path) == 4


@pytest.mark.parametrize("suffix", ["pt", "json"])
def test_a_damaged_newest_state_is_told_and_the_one_before_is_taken(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = TrainingState(tmp_path, RUN)
    state.save({"epoch": 1})
    state.save({"epoch": 2})
    torn = tmp_path / f"state-2.{suffix}"
    torn.write_bytes(torn.read_bytes()[:-9])
    assert loaded(tmp_path) == 1
    assert f"{tmp_path / 'state-2.pt'}: damaged" in caplog.text
    TrainingState(tmp_path, RUN).save({"epoch": 3})
    assert "state-1.pt" in names(tmp_path), "what was fallen back to is the second generation now"
    assert loaded(tmp_path) == 3


def test_nothing_whole_begins_anew(tmp_path: Path) -> None:
    TrainingState(tmp_path, RUN).save({"epoch": 1})
    (tmp_path / "state-1.pt").write_bytes(b"")
    assert loaded(tmp_path) is None
    (tmp_path / "identity.json").write_text("{")
    assert loaded(tmp_path) is None


def test_a_state_is_on_the_disk_before_an_older_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = TrainingState(tmp_path, RUN)
    state.save({"epoch": 1})
    state.save({"epoch": 2})
    flushed: list[str] = []

    def flush(path: Path) -> None:
        flushed.append(path.name)
        assert "state-1.pt" in names(tmp_path)

    monkeypatch.setattr(module, "_flush", flush)
    state.save({"epoch": 3})
    assert flushed == ["state-3.pt", "state-3.json"]
    assert "state-1.pt" not in names(tmp_path)


HOLD = """
import sys
from pathlib import Path
from pipeline.errors import PipelineError
from pipeline.training.checkpoints import TrainingState
try:
    TrainingState(Path(sys.argv[1]), {"config": "a", "code": "b"})
except PipelineError as error:
    print(error, flush=True)
else:
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLD, str(folder)]
    return subprocess.Popen(words, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_second_trainer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    first = holder(tmp_path)
    assert first.stdout
    assert first.stdout.readline().strip() == "held"
    with pytest.raises(PipelineError, match=rf"process {first.pid} on .* is training with this state"):
        TrainingState(tmp_path, RUN)
    first.kill()
    first.communicate(timeout=30)
    state = TrainingState(tmp_path, RUN)
    second, _ = holder(tmp_path).communicate("\n", timeout=60)
    assert "is training with this state" in second
    state.clear()
    assert not tmp_path.exists()


def test_followers_read_and_never_write(tmp_path: Path) -> None:
    state = TrainingState(tmp_path, RUN)
    state.save({"epoch": 1})
    before = names(tmp_path)
    follower = FollowedState(tmp_path)
    follower.save({"epoch": 9})
    follower.clear()
    assert follower.load() == {"epoch": 1}
    assert names(tmp_path) == before
