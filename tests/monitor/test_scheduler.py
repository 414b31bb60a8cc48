"""The repair of Snakemake's scheduler."""

from collections.abc import Callable

import pytest
from snakemake.scheduling.job_scheduler import JobScheduler

from pipeline.monitor import scheduler as scheduler_module
from pipeline.monitor.scheduler import NAME, limit_reevaluations


class TimerStub:
    """A timer that the test ends.

    Attributes:
        started: all timers that were started.
    """

    started: list["TimerStub"]
    daemon = False

    def __init__(self, delay: float, end: Callable[[], None]) -> None:
        self.delay, self.end = delay, end

    def start(self) -> None:
        """List the timer."""
        self.started.append(self)


class SchedulerStub:
    """A scheduler without jobs.

    Attributes:
        looks: number of looks for jobs that a timer caused.
    """

    def __init__(self) -> None:
        self.looks = 0
        self._open_jobs = self

    def release(self) -> None:
        """Count a look."""
        self.looks += 1

    def _schedule_reevalutation(self, delay: float) -> None:
        raise AssertionError(f"a timer of {delay} s of snakemake's own")


def test_snakemake_has_the_method_that_is_replaced() -> None:
    assert callable(getattr(JobScheduler, NAME))


def test_one_timer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimerStub, "started", [], raising=False)
    monkeypatch.setattr(scheduler_module.threading, "Timer", TimerStub)
    scheduler = SchedulerStub()
    limit_reevaluations(scheduler)
    for count in (1, 2):
        for _ in range(100):
            scheduler._schedule_reevalutation(0.5)
        assert len(TimerStub.started) == count
        timer = TimerStub.started[-1]
        assert (timer.delay, timer.daemon) == (0.5, True), "it does not keep snakemake alive"
        timer.end()
        assert scheduler.looks == count


def test_a_scheduler_without_timers_stays_as_it_is() -> None:
    scheduler = object()
    limit_reevaluations(scheduler)
    assert not hasattr(scheduler, NAME)
