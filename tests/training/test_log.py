"""Tests of the metrics of training runs, in a file and in TensorBoard."""

import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from pipeline.training.log import MetricsLog


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
