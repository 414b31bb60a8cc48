"""The time that a run will take: the jobs' estimates, and the simulation of the scheduler."""

import pytest

from pipeline.monitor.schedule import PlannedJob, SpeedRecord, simulate


def job(number: int, *needs: int, threads: int = 1, rule: str = "train", past: float | None = None) -> PlannedJob:
    return PlannedJob(number, rule, {"dataset": "demo"}, needs=frozenset(needs), threads=threads, past_seconds=past)


@pytest.mark.parametrize(
    ("cores", "seconds"),
    [(1, 60.0), (2, 40.0), (8, 30.0)],
    ids=["one after the other", "two at a time", "as many as are ready"],
)
def test_jobs_wait_for_cores_and_for_the_jobs_that_they_need(cores: int, seconds: float) -> None:
    jobs = [job(1), job(2), job(3), job(4, 1, 2, 3)]
    assert simulate(jobs, {1: 10, 2: 10, 3: 20, 4: 10} | ({3: 30} if cores == 1 else {}), [], cores) == seconds


def test_a_job_that_wants_more_threads_than_there_are_runs_alone() -> None:
    assert simulate([job(1, threads=8), job(2)], {1: 10, 2: 5}, [], 2) == 15


def test_running_jobs_go_first_and_occupy_their_threads() -> None:
    assert simulate([job(1), job(2, threads=2)], {1: 4, 2: 10}, [1], 2) == 14


def test_a_job_that_needs_a_failed_job_takes_no_time() -> None:
    assert simulate([job(1), job(2, 1), job(3)], {2: 100, 3: 7}, [3], 2) == 7


def test_thousands_of_jobs_are_simulated_at_once() -> None:
    jobs = [job(number, *([number - 1] if number % 2 else [])) for number in range(4000)]
    assert simulate(jobs, dict.fromkeys(range(4000), 1.0), [], 4) == 1000


def test_the_time_of_a_job_comes_from_earlier_runs_corrected_by_the_speed_of_this_one() -> None:
    speed = SpeedRecord()
    assert speed.estimate(job(1, past=10)) == 10
    speed.add(job(2, past=1000), 2000)
    assert speed.estimate(job(1, past=10)) == pytest.approx(20, rel=0.02)


def test_without_earlier_runs_the_time_comes_from_jobs_of_the_same_rule() -> None:
    speed = SpeedRecord()
    assert speed.estimate(job(1)) is None
    for seconds in (10, 12, 50):
        speed.add(job(2), seconds)
    assert speed.estimate(job(1)) == 12
    assert speed.estimate(job(1, rule="evaluate")) is None
