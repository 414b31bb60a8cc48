"""What the tests of the metrics share: one METEOR, real captions that are read once, and faulty substitutes of Java."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from pipeline.config.evaluate import Evaluate
from pipeline.config.metrics import METRICS
from pipeline.evaluation.evaluator import read_predicted_events, read_reference_events
from pipeline.evaluation.matching import EventsByVideo
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.metric import Metric, MetricContext, build_metrics

FakeJava = Callable[[str], Path]


@pytest.fixture(scope="session")
def read_predicted(shared: Path) -> Callable[[str], EventsByVideo]:
    """Return a function that reads captions of `../shared`, each file once; tests must not change them."""
    read = cache(read_predicted_events)
    return lambda path: read((shared / path).resolve())


@pytest.fixture(scope="session")
def read_references(shared: Path) -> Callable[[str], EventsByVideo]:
    """Return a function that reads references of `../shared`, each file once; tests must not change them."""
    read = cache(read_reference_events)
    return lambda path: read((shared / path).resolve())


@pytest.fixture(scope="session")
def meteor() -> Meteor:
    return Meteor(timeout_s=300.0)


@pytest.fixture(scope="session")
def metrics() -> Iterator[dict[str, Metric]]:
    """All metrics, which share one METEOR."""
    with MetricContext(Evaluate(metrics=list(METRICS))) as context:
        yield build_metrics(context)


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeJava:
    """Return a function that installs a Python program as the `java` on PATH, and returns the folder it runs in."""

    def install(text: str) -> Path:
        folder = tmp_path / "fake"
        folder.mkdir()
        program = folder / "java"
        program.write_text(f"#!{sys.executable} -IS\nimport os, sys\nos.chdir({str(folder)!r})\n{text}")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder

    return install
