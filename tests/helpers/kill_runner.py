"""Runs stages again and again and kills them, for tests of kills. It is a process of its own, which can fork safely.

Forked children need not import anything, so kills hit the work of a stage and not its start. Cases come as a JSON list
on standard input (see `Case`). For each case a line of JSON is printed (see `kill_repeatedly`).
"""

import contextlib
import ctypes
import dataclasses
import hashlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Main = Callable[[list[str]], int]

ATTEMPTS = 25
"""Attempts to land one kill."""
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux's prctl: this process becomes the parent of orphans below it."""
TIME_DEPENDENT = (".provenance.json", "card.md", "finished.jsonl")
"""Ends of the names of files that contain times, speeds or numbers of runs."""


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
    """

    stage: str
    words: list[str]
    declared: list[str]
    leaves: list[str]
    kills: int
    seed: int


def attempt(main: Main, words: list[str], seconds: float) -> int | None:
    """Run a stage, and kill it with all its processes after some seconds, unless it has ended.

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
            kill_children()
            return os.waitstatus_to_exitcode(status)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    kill_children()
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


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


def kill_repeatedly(case: Case) -> dict[str, Any]:
    """Run a stage undisturbed, then kill it at random moments and run it again until it ends.

    Before about half of the reruns the declared outputs are removed, as Snakemake does.

    Returns:
        `stage`; `kills`, the number of kills; `ends`, the status and the contents after each run that ended, the
        undisturbed run first; `before`, the contents before it; `scratch`, temporary files that the undisturbed run
        left; `seconds`, its time; `cpu_s`, the processor time of all runs.
    """
    main: Main = importlib.import_module(case.stage).main
    draw = random.Random(f"{case.stage} {case.seed}")
    cpu = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    before = contents(case)
    set_aside(case.leaves)
    start = time.monotonic()
    ends = [(attempt(main, case.words, 300.0), contents(case))]
    duration = undisturbed = time.monotonic() - start
    scratch = [path.name for path in scratch_files() if path.is_file() or any(path.rglob("*"))]
    remove(case.leaves)
    kills = 0
    for _ in range(ATTEMPTS * case.kills):
        if kills == case.kills:
            break
        start = time.monotonic()
        status = attempt(main, case.words, draw.uniform(0.05, 0.9) * duration)
        if status is None:
            kills += 1
            if draw.random() < 0.5:
                remove(case.declared)
        else:
            duration = min(duration, time.monotonic() - start)
            ends.append((status, contents(case)))
            remove(case.leaves)
    remove(scratch_files())
    ends.append((attempt(main, case.words, 300.0), contents(case)))
    put_back(case.leaves)
    return {
        "stage": case.stage,
        "kills": kills,
        "ends": ends,
        "before": before,
        "scratch": scratch,
        "seconds": undisturbed,
        "cpu_s": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - cpu,
    }


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


def kill_in_subprocess(case: Case, folder: Path) -> str:
    """Kill a stage repeatedly in a process of its own, and check that every run ends as the undisturbed one.

    Returns:
        the standard error of all runs.
    """
    process = subprocess.run(
        [sys.executable, __file__],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        input=json.dumps([dataclasses.asdict(case)]),
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(process.stdout)
    assert result["kills"] == case.kills
    assert {status for status, _ in result["ends"]} == {0}
    undisturbed, *disturbed = (files for _, files in result["ends"])
    assert all(files == undisturbed for files in disturbed)
    return process.stderr


def run(cases: list[Case]) -> None:
    """Run the cases and print the result of each."""
    import torch  # not at the top: processes that a stage starts read this file again

    torch.set_num_threads(1)
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for case in cases:
        importlib.import_module(case.stage)
    for case in cases:
        print(json.dumps(kill_repeatedly(case)), flush=True)


if __name__ == "__main__":
    run([Case(**case) for case in json.load(sys.stdin)])
