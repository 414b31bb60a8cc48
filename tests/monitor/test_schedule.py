"""The time that a run will take: the jobs' estimates, and the simulation of the scheduler."""

import pytest

from pipeline.monitor.schedule import Capacity, PlannedJob, SpeedRecord, find_critical_path, simulate


def job(
    number: int, *needs: int, threads: int = 1, gpus: int = 0, rule: str = "train", past: float | None = None
) -> PlannedJob:
    wildcards, needed = {"dataset": "demo"}, frozenset(needs)
    return PlannedJob(number, rule, wildcards, needs=needed, threads=threads, gpus=gpus, past_seconds=past)


@pytest.mark.parametrize(
    ("cores", "seconds"),
    [(1, 60.0), (2, 40.0), (8, 30.0)],
    ids=["one after the other", "two at a time", "as many as are ready"],
)
def test_jobs_wait_for_cores_and_for_the_jobs_that_they_need(cores: int, seconds: float) -> None:
    jobs = [job(1), job(2), job(3), job(4, 1, 2, 3)]
    assert (
        simulate(jobs, {1: 10, 2: 10, 3: 20, 4: 10} | ({3: 30} if cores == 1 else {}), [], Capacity(cores)) == seconds
    )


def test_a_job_that_wants_more_threads_than_there_are_runs_alone() -> None:
    assert simulate([job(1, threads=8), job(2)], {1: 10, 2: 5}, [], Capacity(2)) == 15


def test_running_jobs_go_first_and_occupy_their_threads() -> None:
    assert simulate([job(1), job(2, threads=2)], {1: 4, 2: 10}, [1], Capacity(2)) == 14


def test_a_job_that_needs_a_failed_job_takes_no_time() -> None:
    assert simulate([job(1), job(2, 1), job(3)], {2: 100, 3: 7}, [3], Capacity(2)) == 7


def test_jobs_wait_for_gpus_and_let_others_pass() -> None:
    jobs = [job(1, gpus=1), job(2, gpus=1), job(3)]
    assert simulate(jobs, {1: 10, 2: 10, 3: 15}, [], Capacity(8, gpus=1)) == 20
    assert simulate(jobs, {1: 10, 2: 10, 3: 25}, [], Capacity(8, gpus=1)) == 25
    assert simulate(jobs, {1: 10, 2: 10, 3: 15}, [], Capacity(8, gpus=2)) == 15


def test_without_a_limit_jobs_do_not_wait_for_gpus() -> None:
    assert simulate([job(1, gpus=1), job(2, gpus=1)], {1: 10, 2: 10}, [], Capacity(2)) == 10


@pytest.mark.parametrize(("nodes", "seconds"), [(1, 30.0), (2, 20.0), (3, 10.0)])
def test_a_job_runs_within_one_node(nodes: int, seconds: float) -> None:
    jobs = [job(number, threads=3) for number in range(3)]
    assert simulate(jobs, dict.fromkeys(range(3), 10.0), [], Capacity(4, nodes=nodes)) == seconds


def test_the_critical_path_is_the_longest_chain_of_dependent_jobs() -> None:
    jobs = [job(1), job(2, 1), job(3, 1), job(4, 2, 3), job(5)]
    seconds = {1: 1.0, 2: 5.0, 3: 7.0, 4: 1.0, 5: 8.5}
    assert [step.id for step in find_critical_path(jobs, seconds)] == [1, 3, 4]
    assert [step.id for step in find_critical_path(jobs, seconds | {5: 10.0})] == [5]
    assert find_critical_path([], {}) == []


def test_thousands_of_jobs_are_simulated_at_once() -> None:
    jobs = [job(number, *([number - 1] if number % 2 else [])) for number in range(4000)]
    assert simulate(jobs, dict.fromkeys(range(4000), 1.0), [], Capacity(4)) == 1000


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
