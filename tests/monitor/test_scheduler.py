"""The repair of Snakemake's scheduler."""

import threading

from snakemake.scheduling.job_scheduler import JobScheduler

from pipeline.monitor.scheduler import NAME, limit_reevaluations


class SchedulerStub:
    """A scheduler without jobs.

    Attributes:
        looks: number of looks for jobs that a timer caused.
    """

    def __init__(self) -> None:
        self.looks = 0
        self.has_looked = threading.Event()
        self._open_jobs = self

    def release(self) -> None:
        """Count a look."""
        self.looks += 1
        self.has_looked.set()

    def _schedule_reevalutation(self, delay: float) -> None:
        raise AssertionError(f"a timer of {delay} s of snakemake's own")


def test_snakemake_has_the_method_that_is_replaced() -> None:
    assert callable(getattr(JobScheduler, NAME))


def test_one_timer_at_a_time() -> None:
    scheduler = SchedulerStub()
    limit_reevaluations(scheduler)
    threads = threading.active_count()
    for looks in (1, 2):
        scheduler.has_looked.clear()
        for _ in range(100):
            scheduler._schedule_reevalutation(0.2)
        assert threading.active_count() <= threads + 1
        assert scheduler.has_looked.wait(10)
        assert scheduler.looks == looks


def test_a_scheduler_without_timers_stays_as_it_is() -> None:
    scheduler = object()
    limit_reevaluations(scheduler)
    assert not hasattr(scheduler, NAME)
