"""Every stage that is killed with its processes and run again ends like an undisturbed run: many kills.

The stages run on the files of a finished run, with the command lines that made those files.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.kill_runner import Case, Result, check_result, kill_in_fork
from helpers.measurements import Measurements
from helpers.stage_cases import CASES, COMMIT_KILLS, RANDOM_KILLS, case_of, check_stage_alone

pytestmark = [pytest.mark.end_to_end, pytest.mark.campaign]


def kill(finished_run: Path, folder: Path, case: Case) -> Result:
    """Kill a stage on a copy of the results of the finished run."""
    shutil.copytree(finished_run / "results", folder / "results")
    [result], _ = kill_in_fork([case], folder)
    return result


@pytest.mark.parametrize("name", CASES)
def test_a_kill_before_or_after_a_commit_changes_nothing(finished_run: Path, tmp_path: Path, name: str) -> None:
    case = replace(case_of(finished_run, name), kills=COMMIT_KILLS, moments="commits")
    result = kill(finished_run, tmp_path, case)
    check_result(result, COMMIT_KILLS)
    check_stage_alone(name, result)
    assert list((tmp_path / "results").rglob(".*.tmp*")) == []


@pytest.mark.parametrize("name", CASES)
def test_kills_at_random_moments_change_nothing(
    finished_run: Path, tmp_path: Path, measurements: Measurements, name: str
) -> None:
    result = kill(finished_run, tmp_path, replace(case_of(finished_run, name), kills=RANDOM_KILLS))
    undisturbed = result["ends"][0]
    measurements.add_row(
        "killed at random moments and run again",
        case=name,
        kills=result["kills"],
        ended=len(result["ends"]),
        unequal=sum(end != undisturbed for end in result["ends"]),
        s_undisturbed=result["seconds"],
        cpu_s=result["cpu_s"],
    )
    check_result(result, RANDOM_KILLS)
    assert list((tmp_path / "results").rglob(".*.tmp*")) == []
