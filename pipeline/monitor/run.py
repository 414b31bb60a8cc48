"""The state of a run: the jobs that wait, run, have finished or failed, their progress, and the time left."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.io.progress import LoopState, progress_path, read_progress
from pipeline.monitor.schedule import Capacity, PlannedJob, SpeedRecord, simulate

READS_PER_SECOND = 20
"""Progress files that are read in one second at most: on a cluster thousands of jobs may run, on a network disk."""


@dataclass
class RunningJob:
    """A job that runs.

    Attributes:
        job: the job.
        start: when it started [s].
        loops: its running loops, the outermost first, as it reported them last.
        report_time: when this report was first seen [s].
    """

    job: PlannedJob
    start: float
    loops: list[LoopState] = field(default_factory=list)
    report_time: float = 0.0

    def read(self, now: float) -> None:
        """Read what the job reports."""
        loops = read_progress(progress_path(Path(self.job.log))) if self.job.log else []
        if loops != self.loops:
            self.loops, self.report_time = loops, now

    def seconds_left(self, now: float, estimate: float | None) -> float | None:
        """Estimate the time until the job ends [s]: from its report, else from the estimate of its whole time.

        None if both are unknown, or if the job takes longer than estimated.
        """
        left = self.loops[0].seconds_left if self.loops else None
        if left is not None:
            return max(0.0, left - (now - self.report_time))
        elapsed = now - self.start
        return estimate - elapsed if estimate is not None and elapsed <= estimate else None


@dataclass(frozen=True)
class JobStatus:
    """What is shown of a running job.

    Attributes:
        name: stage and wildcards.
        loops: its running loops, the outermost first.
        elapsed: time since its start [s].
        left: estimated time until its end [s]; None if unknown.
    """

    name: str
    loops: Sequence[LoopState]
    elapsed: float
    left: float | None


@dataclass(frozen=True)
class RunStatus:
    """What is shown of a run.

    Attributes:
        jobs: the running jobs, in the order of their start.
        num_done: number of finished jobs.
        num_failed: number of failed jobs.
        num_jobs: number of all jobs.
        elapsed: time since the start [s].
        left: estimated time until the end [s]; None if nothing is known.
        is_complete: whether the time of every job is known; otherwise the run takes longer than `left`.
    """

    jobs: Sequence[JobStatus]
    num_done: int
    num_failed: int
    num_jobs: int
    elapsed: float
    left: float | None
    is_complete: bool


class Run:
    """The state of a run.

    Args:
        jobs: the jobs of the run.
        cores: number of threads that run at a time.
        now: the time of the start [s], of any clock; all later times are of the same clock.
    """

    def __init__(self, jobs: Sequence[PlannedJob], cores: int, now: float) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.running: dict[int, RunningJob] = {}
        self.finished: set[int] = set()
        self.failed: set[int] = set()
        self._capacity, self._start, self._last_read = Capacity(cores), now, now
        self._speed = SpeedRecord()
        self._with_dataset = len({job.wildcards.get("dataset") for job in jobs} - {None}) > 1

    def start(self, job: int, now: float) -> None:
        """Note that a job starts; a failed job may be tried again."""
        self.failed.discard(job)
        self.running[job] = RunningJob(self.jobs[job], now)

    def finish(self, job: int, now: float) -> float:
        """Note that a running job has finished; return the time that it took [s]."""
        running = self.running.pop(job)
        self.finished.add(job)
        seconds = now - running.start
        self._speed.add(running.job, seconds)
        return seconds

    def fail(self, job: int) -> None:
        """Note that a job has failed."""
        self.running.pop(job, None)
        self.failed.add(job)

    def name(self, job: int) -> str:
        """Return stage and wildcards of a job, with the dataset where the run has several."""
        return self.jobs[job].name(with_dataset=self._with_dataset)

    def read_progress(self, now: float) -> None:
        """Read what the running jobs report, unless that was done a moment ago."""
        if now - self._last_read >= len(self.running) / READS_PER_SECOND:
            self._last_read = now
            for job in self.running.values():
                job.read(now)

    def status(self, now: float) -> RunStatus:
        """Return what is shown of the run."""
        estimates = {key: self._speed.estimate(job) for key, job in self.jobs.items()}
        left_of_running = {key: job.seconds_left(now, estimates[key]) for key, job in self.running.items()}
        unfinished = [job for key, job in self.jobs.items() if key not in self.finished]
        seconds = {
            job.id: left_of_running.get(job.id, estimates[job.id]) for job in unfinished if job.id not in self.failed
        }
        is_complete = None not in seconds.values()
        left = simulate(
            unfinished, {key: time or 0.0 for key, time in seconds.items()}, self.running.keys(), self._capacity
        )
        return RunStatus(
            jobs=[
                JobStatus(self.name(key), job.loops, now - job.start, left_of_running[key])
                for key, job in self.running.items()
            ],
            num_done=len(self.finished),
            num_failed=len(self.failed),
            num_jobs=len(self.jobs),
            elapsed=now - self._start,
            left=left if left or is_complete else None,
            is_complete=is_complete,
        )
