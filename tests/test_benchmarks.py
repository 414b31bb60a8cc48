"""Tests of the benchmarks: each runs at its smallest size, and its sides compute the same."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.evaluation_files import write_captions, write_references
from helpers.model_folders import write_untrained_model
from helpers.video_corpus import write_video_corpus

from pipeline.config.captioners import CAPTIONERS
from pipeline.config.localizers import LOCALIZERS
from pipeline.config.proposers import PROPOSERS

ROOT = Path(__file__).resolve().parents[1]


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a benchmark with one thread."""
    return subprocess.run(
        [sys.executable, f"benchmarks/{script}", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def assert_measured(process: subprocess.CompletedProcess[str]) -> None:
    """Accept a speed that misses its aim: so short a run measures no speed."""
    assert process.returncode == 0 or process.stderr.startswith("missed: "), process.stderr


@pytest.mark.campaign
def test_evaluate_agrees_with_the_official_algorithm(tmp_path: Path) -> None:
    events = {
        "v_a": [(0.0, 10.0, "A man rides a horse."), (10.0, 20.0, "The horse jumps over a fence, doesn't it?")],
        "v_b": [(0.0, 30.0, "Two dogs play in the snow.")],
    }
    captions = {
        "v_a": [(0.0, 9.0, "Someone is riding."), (50.0, 60.0, "A cat's caf\u00e9.")],
        "v_without_reference": events["v_b"],
    }
    references = write_references(tmp_path / "r.json", events)
    predictions = write_captions(tmp_path / "p.json", captions)
    process = run("evaluate.py", "--predictions", predictions, "--references", references, references, "--tious", "0.5")
    assert process.returncode == 0, process.stderr
    assert "ratio" in process.stdout
    assert "in 7 scores" in process.stdout


@pytest.mark.campaign
def test_pretrain_reads_all_clips_with_every_side() -> None:
    process = run("pretraining_input.py", "--clips", 2, "--rounds", 1, "--seconds", 3)
    assert_measured(process)
    assert all(f"{side} " in process.stdout for side in ("TSP's access pattern, GOP 250", "loader, GOP 30"))


@pytest.mark.campaign
def test_sgalign_computes_what_a_loop_over_segments_computes() -> None:
    process = run(
        "localizers.py", "--positions", 8, "--dim", 8, "--narrow", 8, "--batch", 2, "--videos", 3, "--rounds", 1
    )
    assert_measured(process)
    assert "largest difference" in process.stdout
    assert "% of the step" in process.stdout
    assert "extrapolated to 4,700 videos" in process.stdout


@pytest.mark.campaign
def test_extract_computes_the_features_of_tsps_access_pattern() -> None:
    process = run("extract.py", "--videos", 1, "--seconds", 2, "--rounds", 1)
    assert_measured(process)
    assert "largest difference of the features" in process.stdout
    assert all(f"\n{side} " in process.stdout for side in ("one pass", "decoding alone", "one pass, free extractor"))


@pytest.mark.campaign
def test_caption_shares_the_time_of_the_command_among_its_steps(tmp_path: Path) -> None:
    model = write_untrained_model(tmp_path)
    process = run("caption.py", "--model", model, "--seconds", 3, "--json", tmp_path / "c.json")
    assert_measured(process)
    [film] = json.loads((tmp_path / "c.json").read_text())
    parts = ("decoding", "features", "proposals", "captions", "start and files")
    assert sum(film[part] for part in parts) == pytest.approx(film["total_s"])
    assert film["peak_gb"] > 0


@pytest.mark.campaign
def test_scst_rewards_equal_those_of_the_jar(tmp_path: Path) -> None:
    video = {"duration": 9.0, "timestamps": [[0.0, 4.0], [3.0, 9.5]], "sentences": ["A man runs.", " He doesn't stop."]}
    (tmp_path / "train.json").write_text(json.dumps({f"v_{name}": video for name in "abc"}))
    small = ["--steps", 2, "--dim", 6, "--hidden", 16, "--vocabulary", 8, "--samples", 2, "--device", "cpu"]
    process = run("scst.py", "--captions", tmp_path / "train.json", *small)
    assert_measured(process)  # in a step of so small a captioner, the reward may take more than its share
    assert all(f"\n{part} " in process.stdout for part in ("sampling", "reward", "backward", "the jar, pair by pair"))
    assert "largest difference of rewards 0.0e+00" in process.stdout


def test_bmn_agrees_with_the_dense_mask() -> None:
    small = ["--positions", 12, "--dim", 8, "--narrow", 16, "--videos", 2, "--rounds", 1, "--device", "cpu"]
    process = run("bmn.py", *small)
    assert process.returncode == 0, process.stderr
    assert "ratio" in process.stdout


@pytest.mark.campaign
def test_contention_measures_every_job_with_both_sides(tmp_path: Path) -> None:
    process = run("contention.py", "--rounds", 1, "--seconds", 0.01, "--threads", 1, "--json", tmp_path / "c.json")
    assert_measured(process)
    record = json.loads((tmp_path / "c.json").read_text())
    measured = [(row["job"], row["condition"], row["side"]) for row in record["rows"]]
    assert len(measured) == len(set(measured)) == 3 * 4 * 2
    assert all(row["ms_per_step"] > 0 and row["threads"] == 1 for row in record["rows"])


def run_gpu(json_file: Path, *words: object) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """Run gpu.py on the CPU; return the process and the rows of its JSON file."""
    process = run("gpu.py", "--device", "cpu", "--json", json_file, *words)
    assert process.returncode == 0, process.stdout + process.stderr
    result = json.loads(json_file.read_text())
    assert result["crashes"] == {}
    return process, result["rows"]


@pytest.mark.campaign
def test_gpu_measures_every_section_that_needs_no_demo(tmp_path: Path) -> None:
    sections = ["agreement", "steps", "step", "input", "extractors", "captions"]
    process, rows = run_gpu(tmp_path / "gpu.json", "--demo", tmp_path, "--only", *sections)
    assert {row["section"] for row in rows} == set(sections)
    networks = [*CAPTIONERS, *(f"proposer {name}" for name in PROPOSERS), *(f"localizer {name}" for name in LOCALIZERS)]
    for name in [*networks, "nacf with attributes", "two-channel network"]:
        errors = [
            row["value"] for row in rows if row["subject"] == f"{name}, float32" and row["section"] == "agreement"
        ]
        assert errors == [0.0, 0.0, 0.0], name
        assert {row["figure"] for row in rows if row["subject"] == name} >= {"continued training differs"}, name
    assert "| `gpu.py --only step` |" in process.stdout


@pytest.mark.campaign
def test_gpu_repeatability_finds_equal_weights_after_a_kill_and_by_torchrun(tmp_path: Path) -> None:
    write_video_corpus(tmp_path, {"train": 8, "val": 1})
    _, rows = run_gpu(tmp_path / "gpu.json", "--demo", tmp_path, "--only", "resume")
    assert [row["value"] for row in rows] == [0.0] * 4


def test_gpu_repeatability_reports_a_missing_demo(tmp_path: Path) -> None:
    process = run("gpu.py", "--device", "cpu", "--json", tmp_path / "gpu.json", "--demo", tmp_path, "--only", "resume")
    assert process.returncode == 1
    assert str(tmp_path / "concepts.json") in json.loads((tmp_path / "gpu.json").read_text())["crashes"]["resume"]


@pytest.mark.campaign
@pytest.mark.parametrize("count", [30, 2990])
def test_evaluate_agrees_with_pycocoevalcap_on_made_clips(count: int) -> None:
    process = run("evaluate.py", "--clips", count)
    assert process.returncode == 0, process.stderr
    assert f"in {7 * (count + 1)} scores" in process.stdout


@pytest.mark.campaign
def test_clip_captioners_write_the_same_captions_with_and_without_a_cache() -> None:
    process = run("clip_captioners.py", "--clips", 3, "--hidden", 32, "--vocabulary", 50, "--rounds", 1)
    assert_measured(process)
    assert "equal captions 3 of 3" in process.stdout
    assert "nacf, teacher" in process.stdout
