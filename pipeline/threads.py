"""Threads of the numerical libraries: how many a process uses, and how they wait for each other.

The threads of an operator wait for the slowest of them. By default they spin for milliseconds before they sleep. A
thread that spins occupies the core that the slowest thread needs as soon as a machine has other work to do. A short
spin covers the pauses between two operators, and costs little on a busy machine: `benchmarks/contention.py` compares.

The libraries read these variables when they are loaded. `pipeline/__init__.py` therefore calls `set_thread_defaults`
before any module imports PyTorch. Variables that the environment has already keep their values. Snakemake sets the
number of threads (`OMP_NUM_THREADS` and others) of each job to the `threads` of its rule.
"""

import math
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

SPIN_COUNT = "3000"
"""How often a waiting thread of GNU's OpenMP looks for work before it sleeps; the library's default is 300,000."""
BLOCK_TIME_MS = "1"
"""The same for the OpenMP of LLVM and Intel [ms]; their default is 200."""

WAIT_VARIABLES = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"}
"""Variables by which a user decides how threads wait."""

SYSTEM = Path("/")
"""Root of the files by which Linux describes limits."""


def set_thread_defaults(environment: MutableMapping[str, str]) -> None:
    """Set the variables of threads that the environment leaves open.

    The number of threads is set only if the container or the cluster job has a limit of processor time, which the
    libraries do not see. They see by themselves which cores the process may use.

    Args:
        environment: environment of this process.
    """
    if not WAIT_VARIABLES & environment.keys():
        environment["GOMP_SPINCOUNT"] = SPIN_COUNT
        environment["KMP_BLOCKTIME"] = BLOCK_TIME_MS
    if count_cores() < _count_allowed_cores():
        environment.setdefault("OMP_NUM_THREADS", str(count_cores()))


def count_cores() -> int:
    """Return the number of cores that this process may use: a container or a cluster job may have few of them."""
    limits = [math.ceil(limit) for limit in _processor_limits(SYSTEM)]
    return max(1, min([_count_allowed_cores(), *limits]))


def _count_allowed_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor_limits(system: Path) -> Iterator[float]:
    """Yield the limits of processor time of this process's control groups [cores]; only Linux has them.

    Args:
        system: folder with `proc` and `sys`.
    """
    membership, mount = system / "proc/self/cgroup", system / "sys/fs/cgroup"
    for line in membership.read_text().splitlines() if membership.is_file() else []:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            yield from _limits_of(mount, group, ["cpu.max"])
        elif "cpu" in controllers.split(","):
            yield from _limits_of(mount / "cpu", group, ["cpu.cfs_quota_us", "cpu.cfs_period_us"])


def _limits_of(mount: Path, group: str, names: list[str]) -> Iterator[float]:
    """Yield the limits of a control group and of the groups that contain it.

    Args:
        mount: folder of the outermost group.
        group: path of the group below it. In a container the path may be one of the host, which the container lacks.
        names: files of a group; together they hold the time per period and the period [us].
    """
    inner = mount / group.strip("/")
    for folder in (inner, *inner.parents):
        files = [folder / name for name in names]
        if folder.is_relative_to(mount) and all(file.is_file() for file in files):
            quota, period = " ".join(file.read_text() for file in files).split()
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
