"""The benchmarks run, and compare equal things."""

import json
import os
import subprocess
import sys
from pathlib import Path

from helpers.evaluation_files import write_captions, write_references

ROOT = Path(__file__).resolve().parents[1]


def test_the_evaluator_agrees_with_the_official_algorithm(tmp_path: Path) -> None:
    events = {
        "v_a": [(0.0, 10.0, "A man rides a horse."), (10.0, 20.0, "The horse jumps over a fence, doesn't it?")],
        "v_b": [(0.0, 30.0, "Two dogs play in the snow.")],
    }
    captions = {"v_a": [(0.0, 9.0, "Someone is riding."), (50.0, 60.0, "A cat's caf\u00e9.")], "v_stranger": events["v_b"]}
    references, predictions = write_references(tmp_path / "r.json", events), write_captions(tmp_path / "p.json", captions)
    call = [
        sys.executable,
        "benchmarks/evaluate.py",
        "--predictions",
        predictions,
        "--references",
        references,
        references,
    ]
    done = subprocess.run(
        [*call, "--tious", "0.5"], capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert "ratio" in done.stdout
    assert "in 7 scores" in done.stdout


def test_one_pass_gives_the_features_of_the_references_way() -> None:
    call = [sys.executable, "benchmarks/extract.py", "--videos", "1", "--seconds", "2", "--rounds", "1"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    # Two seconds say nothing of speed, so its aims may be missed; but both sides must have computed the same.
    assert done.returncode == 0 or done.stderr.startswith("missed: "), done.stderr
    assert "largest difference of the features" in done.stdout
    assert all(f"\n{side} " in done.stdout for side in ("one pass", "decoding alone", "one pass, free extractor"))


def test_a_step_of_self_critical_training_is_timed_with_the_jars_own_rewards(tmp_path: Path) -> None:
    video = {"duration": 9.0, "timestamps": [[0.0, 4.0], [3.0, 9.5]], "sentences": ["A man runs.", " He doesn't stop."]}
    (tmp_path / "train.json").write_text(json.dumps({f"v_{name}": video for name in "abc"}))
    small = ["--steps", "2", "--dim", "6", "--hidden", "16", "--vocabulary", "8", "--samples", "2", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "benchmarks/scst.py", "--captions", str(tmp_path / "train.json"), *small],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    # A captioner this small takes no time, beside which the reward may take more than its share.
    assert done.returncode == 0 or done.stderr.startswith("missed: "), done.stderr
    assert all(f"\n{part} " in done.stdout for part in ("sampling", "reward", "backward", "the jar, pair by pair"))
    assert "largest difference of rewards 0.0e+00" in done.stdout


def test_the_two_ways_of_boundary_matching_agree() -> None:
    small = ["--positions", "12", "--dim", "8", "--narrow", "16", "--videos", "2", "--rounds", "1", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "benchmarks/bmn.py", *small],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "ratio" in done.stdout
