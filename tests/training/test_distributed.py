"""Tests of training with several processes: the result equals that of one process."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from helpers.video_corpus import CLIP, SMALL, VideoCorpus, write_video_corpus
from safetensors.torch import load_file

from pipeline.pretrain_encoder import main
from pipeline.provenance.computation import computation_path
from workflow.scripts.gpu_lease import distributed_command

ROOT = Path(__file__).resolve().parents[2]


TWO = {"accumulate_steps": 4, "world_size": 2, "save_every": 1}
"""Settings of two processes."""


class Training(NamedTuple):
    """A pretraining by two processes.

    Attributes:
        corpus: its videos.
        output: its manifest.
        log: what it printed.
    """

    corpus: VideoCorpus
    output: Path
    log: str


@pytest.fixture
def corpus(tmp_path: Path) -> VideoCorpus:
    return write_video_corpus(tmp_path, {"train": 3, "val": 2})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Training:
    corpus = write_video_corpus(tmp_path_factory.mktemp("two"), {"train": 3, "val": 2})
    arguments, output = build_arguments(corpus, "undisturbed", **TWO)
    status, log = run(arguments)
    assert status == 0, log
    return Training(corpus, output, log)


def build_arguments(corpus: VideoCorpus, name: str, **changes: object) -> tuple[list[str], Path]:
    folder = corpus.corpus.parents[1]
    output = folder / name / "manifest.json"
    config = json.dumps({**SMALL, "batch_size": 3, "epochs": 2, **changes})
    files = {"--corpus": corpus.corpus, "--videos": corpus.videos, "--concepts": corpus.concepts}
    files |= {"--state": folder / "state" / name, "--output": output}
    return ["--name", name, "--config", config, *(str(word) for pair in files.items() for word in pair)], output


def start(arguments: list[str]) -> subprocess.Popen[str]:
    command = distributed_command([sys.executable, "-m", "pipeline.pretrain_encoder", *arguments], 2)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def run(arguments: list[str]) -> tuple[int, str]:
    job = start(arguments)
    _, log = job.communicate(timeout=300)
    return job.returncode, log


def test_two_processes_equal_one_process_with_accumulation(undisturbed: Training) -> None:
    corpus, double, log = undisturbed
    arguments, single = build_arguments(corpus, "one", accumulate_steps=4)
    assert main(arguments) == 0
    assert log.count("epoch 2 train_loss") == 1, "only one process logs"
    expected, weights = (load_file(output.parent / "model.safetensors") for output in (single, double))
    assert expected.keys() == weights.keys()
    for name, tensor in expected.items():  # running statistics among them
        torch.testing.assert_close(
            weights[name], tensor, atol=1e-5, rtol=0, msg=lambda message, at=name: f"{at}: {message}"
        )
    rows = [
        [json.loads(line) for line in (output.parent / "metrics.jsonl").read_text().splitlines()]
        for output in (single, double)
    ]
    for row_single, row_double in zip(*rows, strict=True):
        assert row_single == pytest.approx(row_double, abs=1e-5)
    assert not (double.parents[1] / "state" / "undisturbed").exists()


@pytest.mark.campaign
def test_killed_process_of_two_resumes_and_equals_an_uninterrupted_run(undisturbed: Training) -> None:
    corpus, expected, _ = undisturbed
    arguments, resumed = build_arguments(corpus, "killed", **TWO)
    job = start(arguments)
    assert job.stderr
    while "epoch 1 train_loss" not in job.stderr.readline():
        assert job.poll() is None
    first = re.match(r"process (\d+) ", (corpus.corpus.parents[1] / "state" / "killed" / "state.lock").read_text())
    assert first
    os.kill(int(first[1]), signal.SIGKILL)
    job.communicate(timeout=120)
    assert job.returncode != 0
    status, log = run(arguments)
    assert status == 0, log
    assert "resuming" in log
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (resumed.parent / name).read_bytes() == (expected.parent / name).read_bytes()
    manifest = resumed.read_bytes()
    resumed.unlink()
    status, log = run(arguments)
    assert status == 0, log
    assert "train_loss" not in log, "both processes end without training"
    assert log.count(str(computation_path(resumed))) == 1, "one process publishes"
    assert resumed.read_bytes() == manifest


@pytest.mark.campaign
def test_world_size_must_divide_accumulate_steps(corpus: VideoCorpus) -> None:
    arguments, output = build_arguments(corpus, "three", accumulate_steps=3)
    status, log = run(arguments)
    assert status != 0
    assert "error: pretrain_encoder.accumulate_steps 3 cannot be shared by 2 processes" in log
    assert not output.exists()


@pytest.mark.campaign
def test_unreadable_videos_of_one_process_stop_all_with_the_same_error(corpus: VideoCorpus) -> None:
    for name in ("v_train0", "v_train1", "v_train2"):
        path = next(corpus.videos.rglob(f"{name}.mp4"))
        path.write_bytes(path.read_bytes()[:300] + bytes(path.stat().st_size - 300))
    # A micro-batch is one clip, so each process reads other videos. The crop leaves the batch statistics of the last
    # layer more than one value per channel.
    single_clips = {"batch_size": 1, "epochs": 1, "clips_per_segment": 1, "clip": {**CLIP, "crop": 24}}
    arguments, _ = build_arguments(corpus, "bad", accumulate_steps=2, world_size=2, **single_clips)
    status, log = run(arguments)
    assert status != 0
    assert "3 of 3 videos of the epoch are unreadable" in log
