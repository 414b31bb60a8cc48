"""Tests of the output of training runs: metrics in a file and in TensorBoard, progress as a bar or as log lines."""

import io
import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from pipeline.training import log
from pipeline.training.log import MetricsLog, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The current time, seconds; tests set it."""
    now = [100.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    return now


def test_progress_logs_at_most_one_line_a_minute_without_a_terminal(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(logging.root, "handlers", [caplog.handler])  # no handler of an earlier test
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress = Progress("clips", 100)
    for _ in range(10):
        clock[0] += 25
        progress.step(10)
    assert caplog.messages == [
        "clips: 30 of 100, about 175 s left",
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
    progress = Progress("clips", 10)
    clock[0] += 5
    progress.step(5)
    assert terminal.getvalue() == f"\rclips [{'#' * 15}{'.' * 15}] 5 of 10, about 5 s left\033[K\r"
    progress.step()
    assert terminal.getvalue().count("clips") == 1, "no output before the interval has passed"
    clock[0] += 5
    progress.step(4)
    assert terminal.getvalue().endswith("\r\033[K")
    assert not caplog.messages


def test_metrics_log_writes_to_tensorboard_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            calls.append(("folder", folder))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            calls.append((name, value, step))

        def flush(self) -> None:
            calls.append(("flush",))

    tensorboard = types.ModuleType("torch.utils.tensorboard")
    tensorboard.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", tensorboard)
    metrics = MetricsLog(tmp_path / "metrics.jsonl")
    metrics.restore([{"epoch": 1, "loss": 3.0}])
    metrics.append({"epoch": 2, "loss": 2.0})
    metrics.append({"epoch": 3, "loss": 1.5, "score": 0.5})
    assert calls == [
        ("folder", str(tmp_path / "metrics.tensorboard")),
        ("loss", 2.0, 2),
        ("flush",),
        ("loss", 1.5, 3),
        ("score", 0.5, 3),
        ("flush",),
    ]


@pytest.mark.parametrize("earlier", [[], [{"epoch": 1, "head_lr": 0.1}]])
def test_metrics_log_writes_only_the_file_without_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: list[dict]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    metrics = MetricsLog(tmp_path / "metrics.jsonl", earlier)
    metrics.append({"epoch": 1, "loss": 2.0})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [*earlier, {"epoch": 1, "loss": 2.0}]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_metrics_log_without_a_path_writes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    metrics = MetricsLog(None)
    metrics.append({"epoch": 1, "loss": 2.0})
    assert metrics.rows == [{"epoch": 1, "loss": 2.0}]
