"""A call in a worker process may fail, hang or crash; the caller gets an exception and the next call works."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io.worker import CrashedError, SubprocessWorker, TooLongError, TransportError
from pipeline.video.encode import RejectedError

HANG = [sys.executable, "-c", "import time; time.sleep(600)"]


class NotUnpicklableError(Exception):
    """Can be pickled but not unpickled, because its constructor takes two arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class NotPicklable:
    """Cannot be pickled."""

    def __reduce__(self) -> str:
        raise TypeError("bug of ours")


def work(action: str, path: Path | None = None) -> str:
    """Do what `action` says in the worker process."""
    if action == "hang" and path:
        child = subprocess.Popen(HANG)
        path.write_text(str(child.pid))
        child.wait()
    if action in ("SIGSEGV", "SIGKILL"):
        os.kill(os.getpid(), signal.Signals[action])
    if action == "exit":
        os._exit(3)
    if action == "reject":
        raise RejectedError("empty", "nothing in it")
    if action == "local":
        raise type("LocalError", (Exception,), {})("bug of ours")
    if action == "not_unpicklable":
        raise NotUnpicklableError("bug of", "ours")
    if action == "not_picklable":
        return NotPicklable()  # type: ignore[return-value]
    if action == "bug":
        raise TypeError("bug of ours")
    if action == "user":
        raise PipelineError("a.mp4: replace it")
    return f"{action} {os.getpid()}"


def test_subprocess_worker_uses_one_process_for_all_calls() -> None:
    with SubprocessWorker(work) as worker:
        first, second = worker.call(60.0, "a"), worker.call(60.0, "b")
    assert first.split()[1] == second.split()[1] != str(os.getpid())
    with pytest.raises(ProcessLookupError):
        os.kill(int(first.split()[1]), 0)


def test_subprocess_worker_raises_the_exceptions_of_the_function() -> None:
    with SubprocessWorker(work) as worker:
        with pytest.raises(RejectedError, match="empty: nothing in it") as error:
            worker.call(60.0, "reject")
        assert (error.value.reason, error.value.detail) == ("empty", "nothing in it")
        with pytest.raises(PipelineError, match=r"^a\.mp4: replace it$"):
            worker.call(60.0, "user")


@pytest.mark.parametrize("action", ["local", "not_unpicklable", "not_picklable", "bug"])
def test_subprocess_worker_survives_bugs_and_unpicklable_results(action: str) -> None:
    with SubprocessWorker(work) as worker:
        before = worker.call(60.0, "a")
        with pytest.raises(TypeError if action == "bug" else TransportError, match="bug of ours"):
            worker.call(60.0, action)
        assert worker.call(60.0, "a") == before, "the same process"


def test_subprocess_worker_kills_a_hanging_process_and_its_children(tmp_path: Path) -> None:
    with SubprocessWorker(work) as worker:
        before = worker.call(60.0, "a")
        with pytest.raises(TooLongError):
            while True:  # on a busy machine the child may not have started yet
                try:
                    worker.call(2.0, "hang", tmp_path / "pid")
                except TooLongError:
                    if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                        raise
        assert not is_running(int((tmp_path / "pid").read_text()))
        assert worker.call(60.0, "a") != before


CALLER = """
import sys
from pathlib import Path
from test_worker import work
from pipeline.io.worker import SubprocessWorker
SubprocessWorker(work).call(600.0, "hang", Path(sys.argv[1]))
"""


def test_subprocess_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, "-c", CALLER, str(tmp_path / "pid")], env={**os.environ, "PYTHONPATH": path}
    ) as caller:
        until = time.monotonic() + 120
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < until:
            assert caller.poll() is None
        caller.kill()
    assert not is_running(int((tmp_path / "pid").read_text()))


def is_running(pid: int) -> bool:
    """Return whether a process is alive after a minute; a zombie counts as ended."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except (FileNotFoundError, ProcessLookupError):
            return False
    return True


@pytest.mark.parametrize(
    ("action", "status", "message"), [("SIGSEGV", -11, "SIGSEGV"), ("SIGKILL", -9, "SIGKILL"), ("exit", 3, "3")]
)
def test_subprocess_worker_reports_a_crash_and_restarts(action: str, status: int, message: str) -> None:
    with SubprocessWorker(work) as worker:
        with pytest.raises(CrashedError, match=message) as error:
            worker.call(60.0, action)
        assert error.value.status == status
        assert worker.call(60.0, "a").startswith("a ")
