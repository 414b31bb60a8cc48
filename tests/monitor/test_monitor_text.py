"""The status of a run as text, at every width and height."""

import pytest

from pipeline.io.progress import LoopState
from pipeline.monitor.run import JobStatus, RunStatus
from pipeline.monitor.text import log_line, status_lines

EPOCHS = LoopState("epochs", 0, 2, 8, 240.0, 0.0, 0.25)
STEPS = LoopState("steps", 0, 31, 120, 10.0, 0.0, 0.258)


def run_of(*jobs: JobStatus, failed: int = 0, left: float | None = 360, complete: bool = True) -> RunStatus:
    return RunStatus(jobs, 12, failed, 29, 190.0, left, complete)


TRAINING = JobStatus("pretrain_encoder sa_tsp", [EPOCHS, STEPS], 250.0, 720.0)
CORPUS = JobStatus("build_corpus", [], 3.0, None)


@pytest.mark.parametrize("columns", [10, 20, 40, 71, 72, 100, 200])
@pytest.mark.parametrize("rows", [3, 10, 24])
@pytest.mark.parametrize("num_jobs", [1, 2, 500])
def test_the_lines_fit_every_terminal(columns: int, rows: int, num_jobs: int) -> None:
    jobs = [TRAINING, CORPUS, *[TRAINING] * num_jobs][:num_jobs]
    lines = status_lines(run_of(*jobs, failed=1), columns, rows)
    assert max(map(len, lines)) < columns
    assert len(lines) < max(rows, 5)
    assert lines[-1].strip("[]#. ").startswith("12 of"[: columns - 4])


def test_a_wide_terminal_shows_loops_rate_and_time_left_in_one_line() -> None:
    training, corpus, whole = status_lines(run_of(TRAINING, CORPUS), 110, 24)
    for fact in ("pretrain_encoder sa_tsp", "2 of 8 epochs", "31 of 120 steps", "3.1 steps/s", "12.0 min left", "####"):
        assert fact in training
    assert corpus.startswith("build_corpus")
    assert "3 s" in corpus
    for fact in ("12 of 29 jobs", "3.2 min", "6.0 min left"):
        assert fact in whole


def test_only_the_outer_loops_are_named() -> None:
    training = JobStatus("finetune_scst", [EPOCHS, STEPS, LoopState("pairs", 0, 1, 50, 0.1, 0.0, 0.02)], 250.0, 720.0)
    for text in (log_line(run_of(training)), *status_lines(run_of(training), 200, 24)):
        assert "pairs" not in text
    assert "3.1 steps/s" in status_lines(run_of(training), 200, 24)[0]


def test_40_columns_show_the_most_important_in_two_lines_per_job() -> None:
    name, details, _, _, whole = status_lines(run_of(TRAINING, CORPUS), 40, 24)
    assert name == "pretrain_encoder sa_tsp"
    assert "2 of 8 epochs" in details
    assert "12.0 min left" in details
    assert "12 of 29 jobs" in whole
    assert "6.0 min left" in whole


def test_jobs_that_do_not_fit_are_counted() -> None:
    lines = status_lines(run_of(*[TRAINING] * 50), 100, 10)
    count = sum("pretrain_encoder" in line for line in lines)
    assert 3 < count < 9
    assert str(50 - count) in lines[-2]


def test_failed_jobs_are_counted_at_every_width() -> None:
    for columns in (40, 100):
        assert "2 failed" in status_lines(run_of(TRAINING, failed=2), columns, 24)[-1]


def test_a_bound_is_no_estimate() -> None:
    bound, estimate = (run_of(TRAINING, complete=complete) for complete in (False, True))
    assert "at least 6.0 min" in log_line(bound)
    assert "at least 6.0 min" in status_lines(bound, 100, 24)[-1]
    assert "about 6.0 min" in log_line(estimate)
    assert "in all" not in log_line(run_of(TRAINING, left=None, complete=False))


def test_a_line_of_a_log_holds_the_jobs_the_loops_and_the_times() -> None:
    line = log_line(run_of(TRAINING, CORPUS, failed=1))
    for fact in ("12 of 29 jobs", "1 failed", "pretrain_encoder sa_tsp: 2 of 8 epochs, 31 of 120 steps, 12.0 min left"):
        assert fact in line
    assert "\n" not in line
    assert "46 more" in log_line(run_of(*[CORPUS] * 50))
