"""Runs stages again and again and kills them, for tests of kills; `kill_in_fork` starts it in a process of its own.

Forked children need not import anything, so kills hit the work of a stage and not its start. Cases come as a JSON list
on standard input (see `Case`). For each case a line of JSON is printed (see `Result`).
"""

import contextlib
import ctypes
import dataclasses
import hashlib
import importlib
import json
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypedDict

Main = Callable[[list[str]], int]

ATTEMPTS = 25
"""Attempts to land one kill."""
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux's prctl: this process becomes the parent of orphans below it."""
TIME_DEPENDENT = (".provenance.json", ".computation.json", "card.md", "finished.jsonl")
"""Ends of the names of files that contain times, speeds or numbers of runs."""


COMMITTING = ("replace", "rename", "link", "fsync", "unlink")
"""Functions of `os` that make a change of a file final."""
TIMEOUT_S = 300.0
"""When a run that should end is killed."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A stage to kill.

    Attributes:
        stage: module of the stage.
        words: its command line.
        declared: outputs that a rule declares. Snakemake removes them before it runs the rule again.
        leaves: all files and folders that the stage leaves, including its training state.
        kills: number of kills.
        seed: seed of the moments of the kills.
        moments: `random`, or `commits`: just before and just after the stage commits a file, from the first to the
            last time, evenly spaced.
    """

    stage: str
    words: list[str]
    declared: list[str]
    leaves: list[str]
    kills: int
    seed: int
    moments: Literal["random", "commits"] = "random"


class Result(TypedDict):
    """What the kills of a case led to.

    Attributes:
        stage: module of the stage.
        kills: number of kills.
        moments: number of moments at which the stage could be killed, 0 for random moments.
        ends: status and contents after each run that ended, the undisturbed run first.
        before: the contents before it.
        scratch: temporary files that the undisturbed run left.
        seconds: time of the undisturbed run.
        cpu_s: processor time of all runs.
    """

    stage: str
    kills: int
    moments: int
    ends: list[tuple[int | None, dict[str, str]]]
    before: dict[str, str]
    scratch: list[str]
    seconds: float
    cpu_s: float


class Commits:
    """Counts the moments before and after the commits of a forked process, and kills it at one of them.

    Args:
        kill_at: number of the moment, from 1 on; 0 for none.
    """

    def __init__(self, kill_at: int) -> None:
        self.kill_at = kill_at
        self._memory = mmap.mmap(-1, 8)  # shared with the parent

    @property
    def count(self) -> int:
        """Number of moments that have passed."""
        return int.from_bytes(self._memory[:])

    def watch(self) -> None:
        """Count in this process from now on, and not in processes that it starts."""
        process = os.getpid()

        def pass_moment() -> None:
            if os.getpid() == process:
                self._memory[:] = (self.count + 1).to_bytes(8)
                if self.count == self.kill_at:
                    os.kill(process, signal.SIGKILL)

        def watched(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                pass_moment()
                result = function(*arguments, **options)
                pass_moment()
                return result

            return call

        for name in COMMITTING:
            setattr(os, name, watched(getattr(os, name)))


def attempt(main: Main, words: list[str], seconds: float, commits: Commits | None = None) -> int | None:
    """Run a stage, and kill it with all its processes after some seconds, unless it has ended.

    Args:
        main: the stage.
        words: its command line.
        seconds: time until the kill.
        commits: counts the commits of the stage, and may kill it earlier.

    Returns:
        the status, or None if it was killed.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgrp()
            os.dup2(2, 1)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            if commits:
                commits.watch()
            status = main(words)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        signal.sigtimedwait({signal.SIGCHLD}, left)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
    else:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    kill_children()
    code = os.waitstatus_to_exitcode(status)
    return None if code == -signal.SIGKILL else code


def kill_children() -> None:
    """Kill and reap all children of this process; orphans are among them."""
    while True:
        for child in list_children():
            os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def list_children() -> list[int]:
    """Return the processes whose parent is this process."""
    children = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process has ended in the meantime
            parent = file.read_text(errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                children.append(int(file.parent.name))
    return children


def run_case(case: Case) -> Result:
    """Run a stage undisturbed, then kill it and run it again until it ends, time after time.

    Before about half of the reruns the declared outputs are removed, as Snakemake does.
    """
    main: Main = importlib.import_module(case.stage).main
    cpu = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    before = contents(case)
    set_aside(case.leaves)
    start = time.monotonic()
    commits = Commits(0)
    ends = [(attempt(main, case.words, TIMEOUT_S, commits), contents(case))]
    seconds = time.monotonic() - start
    scratch = [path.name for path in scratch_files() if path.is_file() or any(path.rglob("*"))]
    remove(case.leaves)
    if case.moments == "commits":
        moments, kills = commits.count, kill_at_commits(case, main, commits.count, ends)
    else:
        moments, kills = 0, kill_at_random(case, main, seconds, ends)
    put_back(case.leaves)
    cpu = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - cpu
    return Result(
        stage=case.stage,
        kills=kills,
        moments=moments,
        ends=ends,
        before=before,
        scratch=scratch,
        seconds=seconds,
        cpu_s=cpu,
    )


def kill_at_random(case: Case, main: Main, seconds: float, ends: list[tuple[int | None, dict[str, str]]]) -> int:
    """Kill a stage at random moments, several times before a run ends.

    Args:
        case: the case.
        main: the stage.
        seconds: time of an undisturbed run.
        ends: status and contents after each run that ends are appended.

    Returns:
        the number of kills.
    """
    draw = random.Random(f"{case.stage} {case.seed}")
    kills = 0
    for _ in range(ATTEMPTS * case.kills):
        if kills == case.kills:
            break
        start = time.monotonic()
        status = attempt(main, case.words, draw.uniform(0.05, 0.9) * seconds)
        if status is None:
            kills += 1
            if draw.random() < 0.5:
                remove(case.declared)
        else:
            seconds = min(seconds, time.monotonic() - start)
            ends.append((status, contents(case)))
            remove(case.leaves)
    remove(scratch_files())
    ends.append((attempt(main, case.words, TIMEOUT_S), contents(case)))
    return kills


def kill_at_commits(case: Case, main: Main, moments: int, ends: list[tuple[int | None, dict[str, str]]]) -> int:
    """Kill a stage at some moments before or after its commits, and let the next run end.

    Args:
        case: the case.
        main: the stage.
        moments: number of moments of an undisturbed run.
        ends: status and contents after each run that ends are appended.

    Returns:
        the number of kills.
    """
    chosen = sorted({1 + round(index * (moments - 1) / max(1, case.kills - 1)) for index in range(case.kills)})
    kills = 0
    for number, moment in enumerate(chosen):
        kills += attempt(main, case.words, TIMEOUT_S, Commits(moment)) is None
        if number % 2:
            remove(case.declared)
        remove(scratch_files())
        ends.append((attempt(main, case.words, TIMEOUT_S), contents(case)))
        remove(case.leaves)
    return kills


def scratch_files() -> list[Path]:
    """Return the files in TMPDIR, if it is set."""
    folder = os.environ.get("TMPDIR")
    return sorted(Path(folder).iterdir()) if folder else []


def set_aside(paths: list[str]) -> None:
    """Move files and folders out of the way."""
    for number, path in enumerate(map(Path, paths)):
        if path.exists():
            shutil.move(path, f"set-aside-{number}")


def put_back(paths: list[str]) -> None:
    """Restore what `set_aside` moved, so that the next case finds its inputs unchanged."""
    for number, path in enumerate(paths):
        if Path(f"set-aside-{number}").exists():
            remove([path])
            shutil.move(f"set-aside-{number}", path)


def remove(paths: Iterable[str | Path]) -> None:
    """Remove files and folders, if they exist."""
    for path in map(Path, paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def contents(case: Case) -> dict[str, str]:
    """Return all files that a stage left, hidden ones too: name -> sha256, empty for files that depend on time."""
    digests = {}
    for path in map(Path, case.leaves):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                timed = file.name.endswith(TIME_DEPENDENT)
                digests[str(file)] = "" if timed else hashlib.sha256(file.read_bytes()).hexdigest()
    return digests


def kill_in_fork(cases: list[Case], folder: Path) -> tuple[list[Result], str]:
    """Run cases in a process of its own, a fork that need not import the stages.

    Args:
        cases: the cases.
        folder: working folder; temporary files come into its folder `scratch`.

    Returns:
        the result of each case, and the standard error of all runs.
    """
    # Not at the top: a kill runner needs no server.
    from helpers.fork_server import start_server
    from helpers.fork_site.fork_client import run_in_fork

    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryFile("w+") as source,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as log,
    ):
        json.dump([dataclasses.asdict(case) for case in cases], source)
        source.seek(0)
        status = run_in_fork(
            start_server(),
            "helpers.kill_runner",
            [],
            folder=str(folder),
            environment={**os.environ, "TMPDIR": str(scratch)},
            streams=[source.fileno(), output.fileno(), log.fileno()],
        )
        output.seek(0)
        log.seek(0)
        errors = log.read()
        assert status == 0, errors
        return [json.loads(line) for line in output], errors


def check_result(result: Result, kills: int) -> None:
    """Check that every run ended as the undisturbed one, and left no temporary file.

    Args:
        result: the result of a case.
        kills: number of kills that the case has at least.
    """
    assert result["kills"] >= kills
    undisturbed, *disturbed = result["ends"]
    assert undisturbed[0] == 0
    assert undisturbed[1], "the stage left files to compare"
    assert disturbed
    for status, files in disturbed:
        assert status == 0
        names = sorted({name for name, _ in files.items() ^ undisturbed[1].items()})
        assert names == [], f"files that differ: {', '.join(names)}"
    assert not [path for path in undisturbed[1] if ".tmp" in Path(path).name], "partial files"
    assert result["scratch"] == [], "temporary files of a run that ended"


def run(cases: list[Case]) -> None:
    """Run the cases and print the result of each."""
    import torch  # not at the top: processes that a stage starts read this file again

    torch.set_num_threads(1)
    tempfile.tempdir = None  # the process that was forked may know another folder than TMPDIR
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for case in cases:
        importlib.import_module(case.stage)
    for case in cases:
        print(json.dumps(run_case(case)), flush=True)


if __name__ == "__main__":
    run([Case(**case) for case in json.load(sys.stdin)])
