"""Every stage, killed with all that it started at random moments and run again, ends as if nothing had happened.

The stages run on the files of a finished road, with the command lines that made those.
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
from helpers.kill_runner import Case
from helpers.stage_cases import KILLS, cases

from pipeline.config.load import Config

pytestmark = pytest.mark.road

ROOT = Path(__file__).resolve().parents[1]


HALVES = ("pipeline.make_demo", "pipeline.finetune_scst")
"""The first stages of what two processes kill side by side; each half takes as long as the other."""


@pytest.fixture(scope="module")
def folders(road: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Copies of the road's results, with what a comparison of encoders needs besides."""
    folders = [tmp_path_factory.mktemp("killed") for _ in HALVES]
    for folder in folders:
        shutil.copytree(road / "results", folder / "results")
        for seed in (5, 6):  # which corpora are compared is no matter here
            (folder / f"results/demo_s{seed}").symlink_to("demo")
        (folder / "scratch").mkdir()
    return folders


def kill(cases: list[Case], folder: Path) -> list[dict[str, Any]]:
    """What comes of some cases in a folder: see `killing.kill_often`."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "killing.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "scratch")},
        input=json.dumps([asdict(case) for case in cases]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def killed(road: Path, folders: list[Path], told: list[str]) -> list[dict[str, Any]]:
    """What came of all cases; and a table of it for people."""
    listed = cases(road)
    middle = next(number for number, case in enumerate(listed) if case.stage == HALVES[1])
    with ThreadPoolExecutor() as pool:
        found = [one for half in pool.map(kill, (listed[:middle], listed[middle:]), folders) for one in half]
    told.append(
        f"{'killed and run again':30}{'kills':>6}{'ended':>6}{'equal':>6}{'s undisturbed':>15}{'CPU s in all':>14}"
    )
    for one in found:
        ends = one["ends"]
        equal = sum(end == ends[0] for end in ends)
        times = f"{one['seconds']:15.1f}{one['cpu_s']:14.1f}"
        told.append(f"{one['stage']:30}{one['kills']:6}{len(ends):6}{equal:6}{times}")
    kills, ends = sum(one["kills"] for one in found), sum(len(one["ends"]) for one in found)
    equal = sum(end == one["ends"][0] for one in found for end in one["ends"])
    told.append(f"{'all':30}{kills:6}{ends:6}{equal:6}")
    return found


def test_no_stage_is_missing() -> None:
    assert set(KILLS) == set(Config.model_fields)


@pytest.mark.parametrize("stage", KILLS)
def test_kills_at_random_moments_change_nothing(killed: list[dict[str, Any]], stage: str) -> None:
    found = [one for one in killed if one["stage"] == f"pipeline.{stage}"]
    assert sum(one["kills"] for one in found) >= KILLS[stage]
    for one in found:
        undisturbed, *others = one["ends"]
        assert undisturbed[0] == 0
        assert undisturbed[1], "there is something to compare"
        for end in others:
            assert end == undisturbed
        assert one["scratch"] == [], "temporary files of a run that ended"


def test_nothing_half_written_is_left(killed: list[dict[str, Any]], folders: list[Path]) -> None:
    assert killed
    for folder in folders:
        assert [path for path in (folder / "results").rglob(".*") if path.name != ".stamps"] == []


def test_alone_a_stage_makes_what_snakemake_made(killed: list[dict[str, Any]]) -> None:
    threaded = {f"pipeline.{stage}" for stage in ("pretrain_encoder", "extract_features", "finetune_scst")}
    # Sums of several threads come in another order.
    compared = [one for one in killed if one["before"] and one["stage"] not in threaded]
    assert len(compared) > 10
    for one in compared:
        assert one["before"] == one["ends"][0][1], one["stage"]
