"""Runs a pretraining again and again and kills it, for test_kill: a process of its own, which can fork safely.

Forked children need not import anything, so that kills fall into the stage's own work and not into its start.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from pipeline.pretrain_encoder import main


def attempt(words: list[str], seconds: float) -> int | None:
    """Run the stage; kill it after so many seconds, unless it ended before. Gives its status, None if killed."""
    child = os.fork()
    if child == 0:
        os._exit(main(words))
    if signal.sigtimedwait({signal.SIGCHLD}, seconds) is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    signal.sigtimedwait({signal.SIGCHLD}, 0)
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def kill_often(words: list[str], output: Path, kills: int, seed: int) -> dict[str, object]:
    """Undisturbed first, which tells how long it takes; then killed so often, at random moments, and let end.

    Gives the statuses and the digests of weights and metrics after every run that ended.
    """
    torch.set_num_threads(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    began = time.monotonic()
    ends = [(attempt(words, 300.0), contents(output))]
    whole, draw = time.monotonic() - began, random.Random(seed)
    shutil.rmtree(output)
    killed = 0
    while killed < kills:
        status = attempt(words, draw.uniform(0.05, 0.5) * whole)
        if status is None:
            killed += 1
        else:
            ends.append((status, contents(output)))
            shutil.rmtree(output)
    ends.append((attempt(words, 300.0), contents(output)))
    return {"kills": killed, "ends": ends}


def contents(output: Path) -> list[str]:
    """Weights and metrics as text."""
    files = [output / name for name in ("model.safetensors", "metrics.jsonl", "manifest.json")]
    return [path.read_bytes().hex() for path in files]


if __name__ == "__main__":
    print(json.dumps(kill_often(sys.argv[4:], Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
