"""What runs in forks does what new processes do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.fork_server import fork_environment, forked_snakemake
from helpers.workflow_sandbox import snakemake


def run_stage(folder: Path, environment: dict[str, str], *words: str) -> tuple[int, str, str]:
    """Return status, output and errors of `python -m words`."""
    process = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode, process.stdout, process.stderr


@pytest.mark.campaign
def test_a_forked_plan_equals_that_of_a_new_process(clone: Path) -> None:
    words = ("-n", "results/demo/vocabulary.json", "-q", "rules")
    forked, new = forked_snakemake(clone, *words), snakemake(clone, *words)
    plans = [process.stdout.partition("Building DAG of jobs...")[2] for process in (forked, new)]
    assert plans[0] == plans[1]
    assert "mine_concepts" in plans[0]
    assert (forked.returncode, new.returncode) == (0, 0)


def test_errors_of_forks_equal_those_of_new_processes(clone: Path) -> None:
    words = ("pipeline.write_submission", "--captions", "none.json", "--output", "out/submission.json")
    new, forked = (run_stage(clone, environment, *words) for environment in ({}, fork_environment()))
    assert forked == new
    assert new[0] == 2
    assert "error: " in new[2]


@pytest.mark.campaign
def test_a_fork_has_its_own_folder_command_line_and_files(clone: Path) -> None:
    (clone / "mine.yaml").write_text("reencode: {crf: 20}\n")
    words = ("pipeline.commands", "plan", "results/demo/concepts.json", "--configfile", "mine.yaml")
    new, forked = (run_stage(clone, environment, *words) for environment in ({}, fork_environment()))
    assert forked == new
    assert new[0] == 0, new
    assert "make_demo" in new[1]
