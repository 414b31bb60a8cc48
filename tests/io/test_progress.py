"""Tests of the progress of loops: as a bar, as log lines, and in the file that the monitor of a run reads."""

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from pipeline.io import progress
from pipeline.io.progress import PROGRESS_FILE, Progress, format_duration, progress_path, read_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The current time, seconds; tests set it."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """The file in which this process reports its progress."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_progress_file", progress._ProgressFile())
    path = progress_path(tmp_path / "logs" / "train.log")
    monkeypatch.setenv(PROGRESS_FILE, str(path))
    return path


def test_progress_logs_at_most_one_line_a_minute_without_a_terminal(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(logging.root, "handlers", [caplog.handler])  # no handler of an earlier test
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    loop = Progress("clips", 100)
    for _ in range(10):
        clock[0] += 25
        loop.step(10)
    assert caplog.messages == [
        "clips: 30 of 100, about 2.9 min left",
        "clips: 60 of 100, about 100 s left",
        "clips: 90 of 100, about 25 s left",
    ]
    assert sys.stderr.getvalue() == ""


def test_progress_shows_a_bar_on_a_terminal_and_erases_it_at_the_end(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    loop = Progress("clips", 10)
    clock[0] += 5
    loop.step(5)
    assert terminal.getvalue() == f"\rclips [{'#' * 15}{'.' * 15}] 5 of 10, about 5 s left\033[K\r"
    loop.step()
    assert terminal.getvalue().count("clips") == 1, "no output before the interval has passed"
    clock[0] += 5
    loop.step(4)
    assert terminal.getvalue().endswith("\r\033[K")
    assert not caplog.messages


def test_a_resumed_loop_does_not_count_what_an_earlier_run_did_as_its_own_speed(
    clock: list[float], report: Path
) -> None:
    loop = Progress("epochs", 100, 80)
    clock[0] += 10
    loop.step()
    [state] = read_progress(report)
    assert (state.first, state.done, state.total) == (80, 81, 100)
    assert state.seconds_left == pytest.approx(190)


def test_without_the_variable_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROGRESS_FILE, raising=False)
    monkeypatch.chdir(tmp_path)
    Progress("epochs", 2).step()
    assert list(tmp_path.iterdir()) == []


def test_the_file_holds_the_running_loops_the_outermost_first(clock: list[float], report: Path) -> None:
    epochs = Progress("epochs", 4)
    assert [(loop.unit, loop.done, loop.total) for loop in read_progress(report)] == [("epochs", 0, 4)]
    assert read_progress(report)[0].seconds_left is None
    clock[0] += 5
    steps = Progress("steps", 10)
    clock[0] += 5
    steps.step(5)
    outer, inner = read_progress(report)
    assert (outer.unit, outer.done, inner.unit, inner.done) == ("epochs", 0, "steps", 5)
    assert outer.share == pytest.approx(1 / 8)
    assert outer.seconds_left == pytest.approx(70)
    clock[0] += 5
    steps.step(5)
    epochs.step()
    clock[0] += 5
    epochs.step(2)
    [outer] = read_progress(report)
    assert (outer.done, outer.share) == (3, 0.75)
    epochs.step()
    assert report.exists()
    assert read_progress(report) == []


def test_the_file_is_written_at_most_once_a_second(clock: list[float], report: Path) -> None:
    loop = Progress("videos", 100)
    for _ in range(3):
        clock[0] += 0.25
        loop.step()
        assert read_progress(report)[0].done == 0
    clock[0] += 0.25
    loop.step()
    assert read_progress(report)[0].done == 4


def test_a_second_inner_loop_of_a_step_does_not_set_the_outer_loop_back(clock: list[float], report: Path) -> None:
    Progress.step(epochs := Progress("epochs", 2), 1)
    Progress("steps", 3).step(3)
    clock[0] += 5
    validation = Progress("validation videos", 8)
    validation.step()
    assert [loop.unit for loop in read_progress(report)] == ["epochs", "validation videos"]
    assert read_progress(report)[0].share == 1.0
    epochs.step()


def test_the_steps_of_an_epoch_that_was_resumed_do_not_count_as_speed(clock: list[float], report: Path) -> None:
    epochs = Progress("epochs", 4, 1)
    clock[0] += 1
    steps = Progress("steps", 10, 5)
    assert read_progress(report)[0].seconds_left is None
    clock[0] += 9
    steps.step(1)
    outer, _ = read_progress(report)
    assert outer.seconds_left == pytest.approx(10 / 0.1 * 2.4)
    epochs.step()


def test_a_loop_that_was_left_early_ends_with_its_function(clock: list[float], report: Path) -> None:
    def search() -> None:
        loop = Progress("candidates", 1000)
        loop.step()

    search()
    clock[0] += 5
    videos = Progress("videos", 2)
    assert [loop.unit for loop in read_progress(report)] == ["videos"]
    videos.step(2)


def test_a_file_that_cannot_be_written_is_one_warning_and_the_loop_goes_on(
    clock: list[float], report: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report.parent.write_text("a file in the place of the folder")
    loop = Progress("videos", 3)
    for _ in range(3):
        clock[0] += 5
        loop.step()
    assert loop.num_done == 3
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert str(report) in warning.getMessage()


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"unit": "epochs"}]', "null"])
def test_a_damaged_file_reports_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.progress.json"
    path.write_text(text)
    assert read_progress(path) == []
    assert read_progress(tmp_path / "absent.json") == []


def test_the_file_is_plain_json(clock: list[float], report: Path) -> None:
    loop = Progress("videos", 3)
    assert json.loads(report.read_text())[0]["unit"] == "videos"
    loop.step(3)


def test_format_duration_chooses_the_unit() -> None:
    assert [format_duration(seconds) for seconds in (0.4, 119, 120, 7199, 7200)] == [
        "0 s",
        "119 s",
        "2.0 min",
        "120.0 min",
        "2.0 h",
    ]
