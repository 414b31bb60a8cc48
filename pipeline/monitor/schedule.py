"""Estimate how long the jobs of a run will take: a simulation of the scheduler, with an estimated time for each job."""

import heapq
import statistics
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

PRIOR_S = 30.0
"""Weight, in seconds of finished jobs, of the assumption that this machine is as fast as it was in earlier runs."""


@dataclass(frozen=True)
class PlannedJob:
    """A job that a run will execute.

    Attributes:
        id: number of the job in this run.
        rule: the rule; also the name of the stage.
        wildcards: values of the rule's wildcards, with the dataset among them.
        log: its log file; None for a rule without a command.
        needs: ids of the jobs whose outputs it reads.
        threads: number of threads that it occupies.
        gpus: number of GPUs that it occupies.
        past_seconds: time that it took in earlier runs [s], if there were any; 0 for a rule without a command.
    """

    id: int
    rule: str
    wildcards: Mapping[str, str]
    log: str | None = None
    needs: frozenset[int] = frozenset()
    threads: int = 1
    gpus: int = 0
    past_seconds: float | None = None

    def name(self, *, with_dataset: bool) -> str:
        """Return the stage and the wildcards as one line."""
        values = [value for key, value in self.wildcards.items() if with_dataset or key != "dataset"]
        return " ".join([self.rule, *filter(None, values)])


@dataclass(frozen=True)
class Capacity:
    """What can run at a time. A job runs within one node.

    Attributes:
        cores: threads of a node.
        gpus: GPUs of a node; None: jobs do not wait for GPUs.
        nodes: number of nodes.
    """

    cores: int
    gpus: int | None = None
    nodes: int = 1

    def demand(self, job: PlannedJob) -> tuple[int, int]:
        """Return the threads and GPUs that a job occupies; a job that wants more than a node has gets the node."""
        return min(job.threads, self.cores), min(job.gpus, self.gpus or 0)


@dataclass
class SpeedRecord:
    """The times of the jobs that finished in this run, which correct the times of earlier runs."""

    _seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    _medians: dict[tuple[str, str], float] = field(default_factory=dict)
    _actual: float = PRIOR_S
    _past: float = PRIOR_S

    def add(self, job: PlannedJob, seconds: float) -> None:
        """Record the time of a finished job [s]."""
        kind = _kind(job)
        self._seconds[kind].append(seconds)
        self._medians[kind] = statistics.median(self._seconds[kind])
        if job.past_seconds:
            self._actual += seconds
            self._past += job.past_seconds

    def estimate(self, job: PlannedJob) -> float | None:
        """Estimate the time of a job [s]: from its earlier runs, else from jobs of the same rule in this run."""
        if job.past_seconds is not None:
            return job.past_seconds * self._actual / self._past
        return self._medians.get(_kind(job))


def _kind(job: PlannedJob) -> tuple[str, str]:
    return job.rule, job.wildcards.get("dataset", "")


def simulate(
    jobs: Collection[PlannedJob], seconds: Mapping[int, float], running: Iterable[int], capacity: Capacity
) -> float:
    """Return the time until the last job ends [s]. A job starts as soon as it can, the one that waits longest first.

    Args:
        jobs: the jobs that have not finished. A job that needs a failed job never starts.
        seconds: the time that each of them will still take, by id; jobs without one have failed.
        running: ids of the running jobs.
        capacity: what can run at a time.
    """
    graph = _OpenNeeds(jobs)
    slots = _Slots({job.id: capacity.demand(job) for job in jobs}, capacity)
    active = [(seconds[key], key) for key in running]
    heapq.heapify(active)
    for _, key in active:
        slots.occupy(key, 0)
    started = {key for _, key in active}
    for key in graph.ready():
        if key in seconds and key not in started:
            slots.add(key)
    now = 0.0
    while True:
        for key in slots.start():
            heapq.heappush(active, (now + seconds[key], key))
        if not active:
            return now
        now, ended = heapq.heappop(active)
        slots.release(ended)
        for key in graph.finish(ended):
            if key in seconds:
                slots.add(key)


class _OpenNeeds:
    """How many jobs each job still waits for."""

    def __init__(self, jobs: Collection[PlannedJob]) -> None:
        ids = {job.id for job in jobs}
        self._open = {job.id: len(job.needs & ids) for job in jobs}
        self._dependents: dict[int, list[int]] = defaultdict(list)
        for job in jobs:
            for need in job.needs & ids:
                self._dependents[need].append(job.id)

    def ready(self) -> list[int]:
        """Return the jobs that wait for none, in their order."""
        return [key for key, count in self._open.items() if not count]

    def finish(self, job: int) -> Iterator[int]:
        """Count a finished job, and yield the jobs that now wait for none."""
        for key in self._dependents[job]:
            self._open[key] -= 1
            if not self._open[key]:
                yield key


class _Slots:
    """The nodes, and the jobs that wait for a place on them.

    Args:
        demands: id of a job -> its threads and GPUs.
        capacity: what can run at a time.
    """

    def __init__(self, demands: Mapping[int, tuple[int, int]], capacity: Capacity) -> None:
        self._demands = demands
        self._free = [[capacity.cores, capacity.gpus or 0] for _ in range(capacity.nodes)]
        self._node_of: dict[int, int] = {}
        self._waiting: dict[tuple[int, int], deque[tuple[int, int]]] = defaultdict(deque)
        self._num_added = 0

    def add(self, job: int) -> None:
        """Let a job wait."""
        self._waiting[self._demands[job]].append((self._num_added, job))
        self._num_added += 1

    def start(self) -> Iterator[int]:
        """Place the waiting jobs that fit, and yield their ids."""
        while places := [
            (queue[0], node)
            for demand, queue in self._waiting.items()
            if queue and (node := self._find_node(demand)) is not None
        ]:
            (_, job), node = min(places)
            self._waiting[self._demands[job]].popleft()
            self.occupy(job, node)
            yield job

    def occupy(self, job: int, node: int) -> None:
        """Place a job on a node."""
        self._node_of[job] = node
        self._change(job, -1)

    def release(self, job: int) -> None:
        """Free the place of a job that has ended."""
        self._change(job, 1)

    def _change(self, job: int, sign: int) -> None:
        free = self._free[self._node_of[job]]
        for index, amount in enumerate(self._demands[job]):
            free[index] += sign * amount

    def _find_node(self, demand: tuple[int, int]) -> int | None:
        fitting = (node for node, (cores, gpus) in enumerate(self._free) if demand[0] <= cores and demand[1] <= gpus)
        return next(fitting, None)


def find_critical_path(jobs: Iterable[PlannedJob], seconds: Mapping[int, float]) -> list[PlannedJob]:
    """Return the chain of dependent jobs that takes longest; more machines do not shorten it.

    Args:
        jobs: every job comes after the jobs that it needs.
        seconds: the time of each job by id [s]; jobs without one take none.
    """
    ends: dict[int, float] = {}
    before: dict[int, int | None] = {}
    by_id: dict[int, PlannedJob] = {}
    for job in jobs:
        by_id[job.id] = job
        needs = job.needs & ends.keys()
        before[job.id] = max(needs, key=lambda need: (ends[need], -need), default=None)
        ends[job.id] = max((ends[need] for need in needs), default=0.0) + seconds.get(job.id, 0.0)
    path: list[PlannedJob] = []
    key = max(ends, key=lambda job: (ends[job], -job), default=None)
    while key is not None:
        path.append(by_id[key])
        key = before[key]
    return path[::-1]
