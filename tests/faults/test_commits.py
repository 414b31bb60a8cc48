"""A stage that is killed just before or just after it commits a file, and run again, ends like an undisturbed run.

The stages run on the files of a finished run, with the command lines that made those files. `tests/test_kills.py` has
all stages, and more kills.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.kill_runner import Result, check_result, kill_in_fork
from helpers.stage_cases import QUICK_CASES, QUICK_KILLS, case_of, check_stage_alone

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def folder(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the results."""
    folder = tmp_path_factory.mktemp("killed")
    shutil.copytree(finished_run / "results", folder / "results")
    return folder


@pytest.fixture(scope="module")
def results(finished_run: Path, folder: Path) -> dict[str, Result]:
    """Case -> what its kills led to; one fork runs all."""
    cases = [replace(case_of(finished_run, name), kills=QUICK_KILLS, moments="commits") for name in QUICK_CASES]
    results, _ = kill_in_fork(cases, folder)
    return dict(zip(QUICK_CASES, results, strict=True))


@pytest.mark.parametrize("name", QUICK_CASES)
def test_a_kill_before_or_after_a_commit_changes_nothing(results: dict[str, Result], name: str) -> None:
    assert results[name]["moments"] >= QUICK_KILLS
    check_result(results[name], QUICK_KILLS)
    check_stage_alone(name, results[name])


def test_no_partial_file_is_left(results: dict[str, Result], folder: Path) -> None:
    assert results
    assert list((folder / "results").rglob(".*.tmp*")) == []
