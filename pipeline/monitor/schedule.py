"""Estimate how long the jobs of a run will take: a simulation of the scheduler, with an estimated time for each job."""

import heapq
import statistics
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
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
        past_seconds: time that it took in earlier runs [s], if there were any; 0 for a rule without a command.
    """

    id: int
    rule: str
    wildcards: Mapping[str, str]
    log: str | None = None
    needs: frozenset[int] = frozenset()
    threads: int = 1
    past_seconds: float | None = None

    def name(self, *, with_dataset: bool) -> str:
        """Return the stage and the wildcards as one line."""
        values = [value for key, value in self.wildcards.items() if with_dataset or key != "dataset"]
        return " ".join([self.rule, *filter(None, values)])


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


def simulate(jobs: Collection[PlannedJob], seconds: Mapping[int, float], running: Iterable[int], cores: int) -> float:
    """Return the time until the last job ends [s]. Jobs start in their order, as soon as they can.

    Args:
        jobs: the jobs that have not finished. A job that needs a failed job never starts.
        seconds: the time that each of them will still take, by id; jobs without one have failed.
        running: ids of the running jobs.
        cores: number of threads at a time; a job that wants more gets these.
    """
    threads = {job.id: min(job.threads, cores) for job in jobs}
    num_needs = {job.id: len(job.needs & threads.keys()) for job in jobs}
    dependents: dict[int, list[int]] = defaultdict(list)
    for job in jobs:
        for need in job.needs & threads.keys():
            dependents[need].append(job.id)
    active = [(seconds[key], key) for key in running]
    heapq.heapify(active)
    started = {key for _, key in active}
    ready = deque(key for key in threads if key in seconds and key not in started and not num_needs[key])
    now, free = 0.0, cores - sum(threads[key] for key in started)
    while active or ready:
        while ready and (threads[ready[0]] <= free or not active):
            key = ready.popleft()
            heapq.heappush(active, (now + seconds[key], key))
            free -= threads[key]
        now, ended = heapq.heappop(active)
        free += threads[ended]
        for key in dependents[ended]:
            num_needs[key] -= 1
            if not num_needs[key] and key in seconds:
                ready.append(key)
    return now
