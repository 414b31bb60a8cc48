"""The state of a run, from the events of its jobs and from what they report."""

import json
from dataclasses import asdict
from pathlib import Path

from pipeline.io.progress import LoopState, progress_path
from pipeline.monitor.run import Run
from pipeline.monitor.schedule import PlannedJob


def plan(folder: Path, num_jobs: int, past: float | None = None) -> list[PlannedJob]:
    return [
        PlannedJob(
            number,
            "reencode",
            {"dataset": "demo", "shard": f"{number:04}"},
            log=str(folder / f"{number}.log"),
            past_seconds=past,
        )
        for number in range(num_jobs)
    ]


def report(job: PlannedJob, done: int, total: int, seconds: float) -> None:
    assert job.log
    state = LoopState("videos", 0, done, total, seconds, 0.0, done / total)
    progress_path(Path(job.log)).write_text(json.dumps([asdict(state)]))


def test_jobs_are_counted_and_named_without_the_dataset_that_all_share(tmp_path: Path) -> None:
    run = Run(plan(tmp_path, 3), cores=2, now=0)
    run.start(0, 1)
    run.start(1, 3)
    assert run.finish(0, 5) == 4
    status = run.status(6)
    assert (status.num_done, status.num_jobs, status.num_failed, status.elapsed) == (1, 3, 0, 6)
    assert [(job.name, job.elapsed) for job in status.jobs] == [("reencode 0001", 3)]
    assert status.jobs[0].left == 1
    assert status.left == 4, "the third job, on the free core"
    assert status.is_complete


def test_several_datasets_are_named() -> None:
    jobs = [PlannedJob(number, "build_corpus", {"dataset": name}) for number, name in enumerate(("demo", "anet"))]
    assert Run(jobs, 1, 0).name(1) == "build_corpus anet"


def test_the_time_left_is_a_bound_where_the_time_of_a_job_is_unknown(tmp_path: Path) -> None:
    run = Run(plan(tmp_path, 2), cores=1, now=0)
    run.start(0, 0)
    assert run.status(3).left is None
    report(run.jobs[0], 1, 4, 3.0)
    run.read_progress(3)
    status = run.status(3)
    assert (status.left, status.is_complete) == (9, False)
    assert run.status(8).left == 4, "the time goes on between two reports"


def test_a_job_that_takes_longer_than_ever_has_no_estimate(tmp_path: Path) -> None:
    run = Run(plan(tmp_path, 1, past=10), cores=1, now=0)
    run.start(0, 0)
    assert run.status(4).jobs[0].left == 6
    status = run.status(11)
    assert status.jobs[0].left is None
    assert not status.is_complete


def test_a_failed_job_counts_until_it_is_tried_again(tmp_path: Path) -> None:
    run = Run(plan(tmp_path, 1), cores=1, now=0)
    run.start(0, 0)
    run.fail(0)
    assert (run.status(1).num_failed, len(run.status(1).jobs)) == (1, 0)
    run.start(0, 2)
    assert (run.status(3).num_failed, len(run.status(3).jobs)) == (0, 1)


def test_with_many_running_jobs_files_are_read_less_often(tmp_path: Path) -> None:
    run = Run(plan(tmp_path, 100), cores=100, now=0)
    for number in run.jobs:
        run.start(number, 0)
    report(run.jobs[0], 1, 4, 1.0)
    run.read_progress(4)
    assert run.status(4).jobs[0].loops == []
    run.read_progress(5)
    assert run.status(5).jobs[0].loops[0].done == 1
