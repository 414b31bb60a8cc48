"""Java for the tests of the metrics: the real METEOR, started once, and faulty substitutes."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.evaluation.meteor import JarMeteor, Meteor

FakeJava = Callable[[str], Path]


@pytest.fixture(scope="session")
def meteor() -> Meteor:
    return Meteor(timeout_s=300.0)


@pytest.fixture(scope="session")
def jar() -> Iterator[JarMeteor]:
    with JarMeteor(timeout_s=300.0) as running:
        yield running


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
