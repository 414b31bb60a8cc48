"""Every stage that is killed with its processes at random moments and run again ends like an undisturbed run.

The stages run on the files of a finished run, with the command lines that made those files.
"""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from helpers import kill_runner
from helpers.kill_runner import Case
from helpers.stage_cases import DEFAULT_KILLS, KILLS, cases

from pipeline.config.load import stages

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).resolve().parents[1]

THREADED = {f"pipeline.{stage}" for stage in ("pretrain_encoder", "extract_features", "finetune_scst")}
"""Stages whose sums over several threads come in another order under snakemake."""


@pytest.fixture(scope="module")
def folders(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two copies of the results, for two processes that kill side by side."""
    folders = [tmp_path_factory.mktemp("killed") for _ in range(2)]
    for folder in folders:
        shutil.copytree(finished_run / "results", folder / "results")
        (folder / "scratch").mkdir()
    return folders


def kill(cases: list[Case], folder: Path) -> list[dict[str, Any]]:
    """Return the results of some cases in a folder; see `kill_runner.kill_repeatedly`."""
    process = subprocess.run(
        [sys.executable, kill_runner.__file__],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "scratch")},
        input=json.dumps([asdict(case) for case in cases]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


@pytest.fixture(scope="module")
def results(finished_run: Path, folders: list[Path], measurements: list[str]) -> list[dict[str, Any]]:
    """The results of all cases; they are also printed as a table."""
    listed = cases(finished_run)
    with ThreadPoolExecutor() as pool:
        halves = list(pool.map(kill, (listed[::2], listed[1::2]), folders))
    results = [result for half in halves for result in half]
    measurements.append(
        f"{'killed and run again':30}{'kills':>6}{'ended':>6}{'equal':>6}{'s undisturbed':>15}{'CPU s in all':>14}"
    )
    for result in results:
        ends = result["ends"]
        equal = sum(end == ends[0] for end in ends)
        times = f"{result['seconds']:15.1f}{result['cpu_s']:14.1f}"
        measurements.append(f"{result['stage']:30}{result['kills']:6}{len(ends):6}{equal:6}{times}")
    kills, ends = sum(result["kills"] for result in results), sum(len(result["ends"]) for result in results)
    equal = sum(end == result["ends"][0] for result in results for end in result["ends"])
    measurements.append(f"{'all':30}{kills:6}{ends:6}{equal:6}")
    return results


@pytest.mark.parametrize("stage", stages())
def test_kills_at_random_moments_change_nothing(results: list[dict[str, Any]], stage: str) -> None:
    of_stage = [result for result in results if result["stage"] == f"pipeline.{stage}"]
    assert sum(result["kills"] for result in of_stage) >= KILLS.get(stage, DEFAULT_KILLS)
    for result in of_stage:
        undisturbed, *disturbed = result["ends"]
        assert undisturbed[0] == 0
        assert undisturbed[1], "the stage left files to compare"
        for end in disturbed:
            assert end == undisturbed
        assert result["scratch"] == [], "temporary files of a run that ended"


def test_no_partial_file_is_left(results: list[dict[str, Any]], folders: list[Path]) -> None:
    assert results
    for folder in folders:
        assert [path for path in (folder / "results").rglob(".*") if path.name != ".stamps"] == []


def test_a_stage_run_alone_makes_what_snakemake_made(results: list[dict[str, Any]]) -> None:
    compared = [result for result in results if result["before"] and result["stage"] not in THREADED]
    assert len(compared) > 10
    for result in compared:
        assert result["before"] == result["ends"][0][1], result["stage"]
