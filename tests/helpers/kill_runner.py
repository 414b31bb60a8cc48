"""Runs stages again and again and kills them, for tests of kills: a process of its own, which can fork safely.

Forked children need not import anything, so that kills fall into a stage's own work and not into its start. Cases come
as a JSON list on standard input (see `Case`); for each, a line of JSON says what came of it (see `kill_often`).
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
"""To land one kill before giving up."""
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux's prctl: whoever loses its parent becomes ours."""
TELLS_OF_TIME = (".provenance.json", "card.md", "finished.jsonl")
"""Ends of the names of files that say when, how fast or in how many runs something was made."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A stage to be killed.

    Attributes:
        stage: its module.
        words: its command line.
        declared: outputs that a rule declares. Snakemake removes them before it runs the rule again.
        leaves: files and folders that are all of what the stage leaves, its training state among them.
        kills: how often.
        seed: of the moments.
    """

    stage: str
    words: list[str]
    declared: list[str]
    leaves: list[str]
    kills: int
    seed: int


def attempt(main: Main, words: list[str], seconds: float) -> int | None:
    """Run the stage; kill it and all that it started after so many seconds, unless it ended before.

    Returns:
        its status, None if it was killed.
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
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        signal.sigtimedwait({signal.SIGCHLD}, left)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            end_all()
            return os.waitstatus_to_exitcode(status)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    end_all()
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def end_all() -> None:
    """Kill and bury all children: who has lost its parent is one of ours."""
    while True:
        for child in children():
            os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children() -> list[int]:
    """Processes whose parent we are."""
    found = []
    for told in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = told.read_text(errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(told.parent.name))
    return found


def kill_often(case: Case) -> dict[str, Any]:
    """Undisturbed first, which tells how long it takes; then killed so often, at random moments, and let end.

    Before some of the reruns the declared outputs are removed, as Snakemake does, before others not.

    Returns:
        `stage`; `kills` that landed; `ends`, the status and what was left after every run that ended, the
        undisturbed one first; `before`, what was there before that; `scratch`, what the undisturbed run left among
        temporary files; `seconds` that it took; `cpu_s`, the processor's time of all runs.
    """
    main: Main = importlib.import_module(case.stage).main
    draw = random.Random(f"{case.stage} {case.seed}")
    cpu = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    before = contents(case)
    keep(case.leaves)
    began = time.monotonic()
    ends = [(attempt(main, case.words, 300.0), contents(case))]
    whole = undisturbed = time.monotonic() - began
    scratch = [path.name for path in scratch_files() if path.is_file() or any(path.rglob("*"))]
    remove(case.leaves)
    kills = 0
    for _ in range(ATTEMPTS * case.kills):
        if kills == case.kills:
            break
        began = time.monotonic()
        status = attempt(main, case.words, draw.uniform(0.05, 0.9) * whole)
        if status is None:
            kills += 1
            if draw.random() < 0.5:
                remove(case.declared)
        else:
            whole = min(whole, time.monotonic() - began)
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
    """What stands where temporary files go, if that is a folder of our own."""
    folder = os.environ.get("TMPDIR")
    return sorted(Path(folder).iterdir()) if folder else []


def keep(paths: list[str]) -> None:
    """Put files and folders out of the way."""
    for number, path in enumerate(map(Path, paths)):
        if path.exists():
            shutil.move(path, f"kept-{number}")


def put_back(paths: list[str]) -> None:
    """Put what was there before in its place again: the next case is to find its inputs as they were."""
    for number, path in enumerate(paths):
        if Path(f"kept-{number}").exists():
            remove([path])
            shutil.move(f"kept-{number}", path)


def remove(paths: Iterable[str | Path]) -> None:
    """Remove files and folders, if they are there."""
    for path in map(Path, paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def contents(case: Case) -> dict[str, str]:
    """All that a stage left: names, hidden ones too, and what files hold that do not tell of time."""
    found = {}
    for path in map(Path, case.leaves):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                timed = file.name.endswith(TELLS_OF_TIME)
                found[str(file)] = "" if timed else hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def said_by_survivors(case: Case, folder: Path) -> str:
    """Kill a stage, in a process of its own, and see that its ends are the undisturbed run's.

    Returns:
        what its runs wrote to standard error.
    """
    done = subprocess.run(
        [sys.executable, __file__],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        input=json.dumps([dataclasses.asdict(case)]),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["kills"] == case.kills
    assert {status for status, _ in told["ends"]} == {0}
    undisturbed, *others = (contents for _, contents in told["ends"])
    assert all(contents == undisturbed for contents in others)
    return done.stderr


def run(cases: list[Case]) -> None:
    """Run the cases and print what came of each."""
    import torch  # not where a stage starts processes of its own, which read this file again

    torch.set_num_threads(1)
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for case in cases:
        importlib.import_module(case.stage)
    for case in cases:
        print(json.dumps(kill_often(case)), flush=True)


if __name__ == "__main__":
    run([Case(**case) for case in json.load(sys.stdin)])
