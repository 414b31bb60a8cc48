"""Tests in several worker processes: their number, their shares, and folders that they share."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from pipeline.threads import count_cores

MAX_WORKERS = 8
"""Each worker needs up to 1.5 GB of memory."""

LONG = (
    "tests/test_contributing.py",
    "tests/workflow/test_reruns.py",
    "tests/video/test_raw_and_reencoded.py",
    "tests/evaluation/test_captions.py",
    "tests/video/test_film_matrix.py",
    "tests/workflow/test_plan.py",
    "tests/training/test_distributed.py",
)
"""Files whose tests take more than 15 s together."""

SPREAD = ("tests/test_kills.py",)
"""Files with long tests that share no fixture of their module; every worker takes some of these tests."""


def count_workers() -> int:
    """Return the number of workers: one more than cores, because some tests wait."""
    return min(count_cores() + 1, MAX_WORKERS)


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process is one of several workers."""
    return hasattr(config, "workerinput")


class FileScheduling(LoadScopeScheduling):
    """Gives a worker one file after the other, in their order, so that the fixtures of a module are made once."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return nodeid if path in SPREAD else path


def sort_by_duration(items: list[pytest.Item]) -> None:
    """Sort tests so that files with long tests come first, and no worker waits for the others at the end.

    The first file makes the finished run. Meanwhile other workers have files that do not need it.
    """
    long_files = {item.path for item in items if any(map(item.get_closest_marker, ("campaign", "end_to_end")))}
    long_files |= {item.path for item in items if item.nodeid.startswith(LONG)}
    waiting = list(dict.fromkeys(item.path for item in items if "finished_run" in getattr(item, "fixturenames", ())))

    def rank(item: pytest.Item) -> int:
        if item.path in waiting:
            return 2 if waiting.index(item.path) else 0
        return 1 if item.path in long_files else 3

    items.sort(key=rank)


def make_once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """Return a folder that one worker fills; the others wait for it.

    Args:
        factory: pytest's folders.
        name: name of the folder.
        fill: fills the empty folder.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    complete = folder.with_name(f"{name}.complete")
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            complete.touch()
    return folder
