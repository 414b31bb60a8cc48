"""Whatever happens to a call in another process, the caller learns of it and goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io.worker import Apart, CrashedError, ForeignError, TooLongError
from pipeline.video.encode import RejectedError

HANG = [sys.executable, "-c", "import time; time.sleep(600)"]


class UnreadableError(Exception):
    """Can be written, but not read again: that takes two arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


class Unsendable:
    """Cannot be written."""

    def __reduce__(self) -> str:
        raise TypeError("ours alone")


def work(what: str, path: Path | None = None) -> str:
    """The function that is called elsewhere."""
    if what == "hang" and path:
        child = subprocess.Popen(HANG)
        path.write_text(str(child.pid))
        child.wait()
    if what in ("SIGSEGV", "SIGKILL"):
        os.kill(os.getpid(), signal.Signals[what])
    if what == "exit":
        os._exit(3)
    if what == "reject":
        raise RejectedError("empty", "nothing in it")
    if what == "local":
        raise type("LocalError", (Exception,), {})("ours alone")
    if what == "unreadable":
        raise UnreadableError("ours", "alone")
    if what == "unsendable":
        return Unsendable()  # type: ignore[return-value]
    if what == "ours":
        raise TypeError("ours alone")
    if what == "mend":
        raise PipelineError("a.mp4: mend it")
    return f"{what} {os.getpid()}"


def test_one_process_answers_all_calls_and_ends_with_them() -> None:
    with Apart(work) as apart:
        first, second = apart.call(60.0, "a"), apart.call(60.0, "b")
    assert first.split()[1] == second.split()[1] != str(os.getpid())
    with pytest.raises(ProcessLookupError):
        os.kill(int(first.split()[1]), 0)


def test_errors_come_back_as_they_were() -> None:
    with Apart(work) as apart:
        with pytest.raises(RejectedError, match="empty: nothing in it") as error:
            apart.call(60.0, "reject")
        assert (error.value.reason, error.value.detail) == ("empty", "nothing in it")
        with pytest.raises(PipelineError, match=r"^a\.mp4: mend it$"):
            apart.call(60.0, "mend")


@pytest.mark.parametrize("what", ["local", "unreadable", "unsendable", "ours"])
def test_what_is_wrong_with_our_own_code_is_no_crash(what: str) -> None:
    with Apart(work) as apart:
        before = apart.call(60.0, "a")
        with pytest.raises(TypeError if what == "ours" else ForeignError, match="ours alone"):
            apart.call(60.0, what)
        assert apart.call(60.0, "a") == before, "the process goes on"


def test_a_process_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    with Apart(work) as apart:
        before = apart.call(60.0, "a")
        with pytest.raises(TooLongError):
            while True:  # on a busy machine it may not have come so far
                try:
                    apart.call(2.0, "hang", tmp_path / "pid")
                except TooLongError:
                    if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                        raise
        assert not running(int((tmp_path / "pid").read_text()))
        assert apart.call(60.0, "a") != before


CALLER = """
import sys
from pathlib import Path
from test_worker import work
from pipeline.io.worker import Apart
Apart(work).call(600.0, "hang", Path(sys.argv[1]))
"""


def test_a_caller_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, "-c", CALLER, str(tmp_path / "pid")], env={**os.environ, "PYTHONPATH": path}
    ) as caller:
        until = time.monotonic() + 120
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < until:
            assert caller.poll() is None
        caller.kill()
    assert not running(int((tmp_path / "pid").read_text()))


def running(pid: int) -> bool:
    """Whether a process does anything still; one that was killed may wait for its parent to notice."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except (FileNotFoundError, ProcessLookupError):
            return False
    return True


@pytest.mark.parametrize(
    ("how", "status", "told"), [("SIGSEGV", -11, "SIGSEGV"), ("SIGKILL", -9, "SIGKILL"), ("exit", 3, "3")]
)
def test_a_crash_is_told_and_the_next_call_goes_on(how: str, status: int, told: str) -> None:
    with Apart(work) as apart:
        with pytest.raises(CrashedError, match=told) as error:
            apart.call(60.0, how)
        assert error.value.status == status
        assert apart.call(60.0, "a").startswith("a ")
