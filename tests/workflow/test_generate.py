"""Generated files and the skeleton of a new stage, in copies of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.workflow_sandbox import ROOT, snakemake

FOLDERS = ("pipeline", "workflow", "config", "docs", "tests", "profiles")
FILES = ("Snakefile", "README.md", "CONTRIBUTING.md", "pyproject.toml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project without its results."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the copy; `stdout` holds all output."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{folder / 'tests'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )


def test_generated_files_are_up_to_date() -> None:
    process = run(ROOT, "workflow.scripts.generate", "--check")
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("config/config.yaml", "crf: 23", "crf: 24"),
        ("docs/architecture.md", "    make_demo --> build_corpus\n", ""),
        ("pipeline/config/reencode.py", "x264", "x265"),
    ],
)
def test_generate_check_names_a_file_that_is_not_up_to_date(project: Path, path: str, before: str, after: str) -> None:
    file = project / path
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    process = run(project, "workflow.scripts.generate", "--check")
    assert process.returncode == 2
    assert "make generate" in process.stdout
    assert process.stdout.count("\n") == 1
    assert (path if "pipeline" not in path else "config/config.yaml") in process.stdout


def test_generate_reports_an_unknown_marker(project: Path) -> None:
    page = project / "docs" / "architecture.md"
    page.write_text(page.read_text().replace("generated: outputs", "generated: output"))
    process = run(project, "workflow.scripts.generate", "--check")
    assert (process.returncode, process.stdout.count("\n")) == (2, 1)
    assert "docs/architecture.md: no generated part 'output'; did you mean 'outputs'?" in process.stdout


@pytest.mark.end_to_end
def test_a_new_stage_runs_and_needs_no_other_file(project: Path) -> None:
    process = run(project, "workflow.scripts.new_stage", "count_words")
    assert process.returncode == 0, process.stdout
    assert run(project, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_count_words.py").returncode == 0
    assert run(project, "workflow.scripts.generate", "--check").returncode == 0
    conventions = run(
        project, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_conventions.py", "-k", "stage or one"
    )
    assert conventions.returncode == 0, conventions.stdout
    plan = snakemake(project, "-n", "-q", "rules", "--", "results/demo/count_words.json", PYTHONPATH=str(project))
    assert re.search(r"^count_words +1$", plan.stdout, flags=re.MULTILINE), plan.stdout
    table = (project / "tests" / "workflow" / "reruns.yaml").read_text()
    assert "  count_words.title: [count_words]\n" in table
    assert "`count_words`" in (project / "config" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["Words"], "NAME=Words: expected verb_noun"),
        (["words"], "NAME=words: expected verb_noun"),
        (["make_demo"], "NAME=make_demo: the name is taken (pipeline/make_demo.py)"),
        (["count_words", "--rules", "reprot"], "RULES=reprot: no such file in workflow/rules; did you mean 'report'?"),
    ],
)
def test_new_stage_refuses_invalid_names_in_one_line(words: list[str], expected: str) -> None:
    process = run(ROOT, "workflow.scripts.new_stage", *words)
    assert (process.returncode, process.stdout.count("\n")) == (2, 1)
    assert expected in process.stdout
