"""Runs a stage again and again and kills it, for tests of kills: a process of its own, which can fork safely.

Forked children need not import anything, so that kills fall into the stage's own work and not into its start.
"""

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

Main = Callable[[list[str]], int]


def attempt(main: Main, words: list[str], seconds: float) -> int | None:
    """Run the stage; kill it after so many seconds, unless it ended before. Gives its status, None if killed."""
    child = os.fork()
    if child == 0:
        os._exit(main(words))
    if signal.sigtimedwait({signal.SIGCHLD}, seconds) is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    signal.sigtimedwait({signal.SIGCHLD}, 0)
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def kill_often(main: Main, words: list[str], output: Path, kills: int, seed: int) -> dict[str, object]:
    """Undisturbed first, which tells how long it takes; then killed so often, at random moments, and let end.

    Gives the statuses and the payloads after every run that ended.
    """
    import torch  # not where a stage starts processes of its own, which read this file again

    torch.set_num_threads(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    began = time.monotonic()
    ends = [(attempt(main, words, 300.0), contents(output))]
    whole, draw = time.monotonic() - began, random.Random(seed)
    shutil.rmtree(output)
    killed = 0
    while killed < kills:
        status = attempt(main, words, draw.uniform(0.05, 0.9) * whole)
        if status is None:
            killed += 1
        else:
            ends.append((status, contents(output)))
            shutil.rmtree(output, ignore_errors=True)  # what a killed run had started may still write
    ends.append((attempt(main, words, 300.0), contents(output)))
    return {"kills": killed, "ends": ends}


def contents(output: Path) -> list[str]:
    """The manifest and its payloads as text."""
    manifest = output / "manifest.json"
    files = [manifest, *(output / name for name in sorted(json.loads(manifest.read_bytes())["payloads"]))]
    return [path.read_bytes().hex() for path in files]


if __name__ == "__main__":
    stage, folder, kills, seed, *words = sys.argv[1:]
    main = importlib.import_module(stage).main
    print(json.dumps(kill_often(main, words, Path(folder), int(kills), int(seed))))
