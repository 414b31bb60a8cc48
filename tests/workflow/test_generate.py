"""Generated files and the skeleton of a new stage, in copies of the project."""

import subprocess
from pathlib import Path

import pytest
from helpers.workflow_sandbox import ROOT, copy_project, run_module

from workflow.scripts import generate


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project without its results."""
    return copy_project(tmp_path / "project")


@pytest.mark.campaign  # make check shows it too
def test_generated_files_are_up_to_date() -> None:
    process = run_module(ROOT, "workflow.scripts.generate", "--check")
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("config/config.yaml", "crf: 23", "crf: 24"),
        pytest.param("docs/architecture.md", "    make_demo --> build_corpus\n", "", marks=pytest.mark.campaign),
        ("pipeline/config/reencode.py", "x264", "x265"),
    ],
)
def test_generate_check_names_a_file_that_is_not_up_to_date(project: Path, path: str, before: str, after: str) -> None:
    file = project / path
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    process = run_module(project, "workflow.scripts.generate", "--check")
    assert process.returncode == 2
    assert "make generate" in process.stdout
    assert process.stdout.count("\n") == 1
    assert (path if "pipeline" not in path else "config/config.yaml") in process.stdout


def test_generate_says_that_no_file_changed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "generated_files", lambda **_: [(ROOT / "Makefile", (ROOT / "Makefile").read_text())])
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0))
    assert generate.main([]) == 0
    assert capsys.readouterr().out == "all generated files were up to date\n"


def test_generate_reports_an_unknown_marker(project: Path) -> None:
    page = project / "docs" / "architecture.md"
    page.write_text(page.read_text().replace("generated: dag", "generated: dg"))
    process = run_module(project, "workflow.scripts.generate", "--check")
    assert (process.returncode, process.stdout.count("\n")) == (2, 1)
    assert "docs/architecture.md: no generated part 'dg'; did you mean 'dag'?" in process.stdout


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('            headline="METEOR",\n', "", "MetricSpec 'METEOR': missing in the spec: headline"),
        ('name="Bleu"', 'name="CIDEr"', "metric 'CIDEr' is registered twice"),
        (
            "pipeline.evaluation.rouge:",
            "pipeline.metrics.rouge:",
            "expected the file pipeline/metrics/rouge.py; move pipeline/evaluation/rouge.py there",
        ),
        ("headline=", "headlin=", "MetricSpec 'METEOR': no field 'headlin'; did you mean 'headline'?"),
    ],
)
def test_generate_reports_a_wrong_entry_of_a_registry_in_one_line(
    project: Path, before: str, after: str, expected: str
) -> None:
    registry = project / "pipeline" / "config" / "metrics.py"
    registry.write_text(registry.read_text().replace(before, after))
    process = run_module(project, "workflow.scripts.generate")
    assert (process.returncode, process.stdout.count("\n")) == (2, 1), process.stdout
    assert expected in process.stdout


def test_new_stage_writes_a_stage_whose_test_passes(project: Path) -> None:
    words = ["count_words", "--does", "Count words.", "--rules", "report"]
    assert run_module(project, "workflow.scripts.new_stage", *words).returncode == 0
    assert "rule count_words:" in (project / "workflow" / "rules" / "report.smk").read_text()
    process = run_module(project, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_count_words.py")
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["Words"], "NAME=Words: expected verb_noun"),
        (["words"], "NAME=words: expected verb_noun"),
        (["make_demo"], "NAME=make_demo: the name is taken (pipeline/make_demo.py)"),
        (["count_words", "--does", 'Count "words".'], 'DOES=Count "words".: expected one sentence'),
        (["count_words", "--rules", "reprot"], "RULES=reprot: no such file in workflow/rules; did you mean 'report'?"),
    ],
)
def test_new_stage_refuses_invalid_names_in_one_line(words: list[str], expected: str) -> None:
    process = run_module(ROOT, "workflow.scripts.new_stage", *words)
    assert (process.returncode, process.stdout.count("\n")) == (2, 1)
    assert expected in process.stdout
