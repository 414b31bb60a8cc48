"""Several processes train what one trains alone."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.video_corpus import CLIP, SMALL, Filmed, write_filmed
from safetensors.torch import load_file

from pipeline.pretrain_encoder import main
from workflow.scripts.gpu_lease import shared

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def filmed(tmp_path: Path) -> Filmed:
    return write_filmed(tmp_path, {"train": 3, "val": 2})


def words(filmed: Filmed, name: str, **changes: object) -> tuple[list[str], Path]:
    folder = filmed.corpus.parents[1]
    output = folder / name / "manifest.json"
    config = json.dumps({**SMALL, "batch_size": 3, "epochs": 2, **changes})
    files = {"--corpus": filmed.corpus, "--videos": filmed.videos, "--concepts": filmed.concepts}
    files |= {"--state": folder / "state" / name, "--output": output}
    return ["--name", name, "--config", config, *(str(word) for pair in files.items() for word in pair)], output


def start(given: list[str]) -> subprocess.Popen[str]:
    command = shared([sys.executable, "-m", "pipeline.pretrain_encoder", *given], 2)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def ended(given: list[str]) -> tuple[int, str]:
    job = start(given)
    _, said = job.communicate(timeout=300)
    return job.returncode, said


def test_two_processes_and_one_with_accumulation_give_the_same(filmed: Filmed) -> None:
    alone, one = words(filmed, "one", replicas=4)
    assert main(alone) == 0
    split, two = words(filmed, "two", replicas=4, processes=2, save_every=1)
    status, said = ended(split)
    assert status == 0, said
    assert said.count("epoch 2 train_loss") == 1, "one process talks"
    expected, found = (load_file(output.parent / "model.safetensors") for output in (one, two))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():  # running statistics among them
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=0, msg=lambda said, at=name: f"{at}: {said}")
    rows = [
        [json.loads(line) for line in (output.parent / "metrics.jsonl").read_text().splitlines()]
        for output in (one, two)
    ]
    for ours, theirs in zip(*rows, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert not (two.parents[1] / "state" / "two").exists()


def test_two_processes_of_which_one_is_killed_go_on_as_if_nothing_had_happened(filmed: Filmed) -> None:
    changes = {"replicas": 2, "processes": 2, "save_every": 1, "epochs": 6}
    given, expected = words(filmed, "one", **changes)
    assert ended(given)[0] == 0
    given, found = words(filmed, "two", **changes)
    job = start(given)
    assert job.stderr
    while "epoch 1 train_loss" not in job.stderr.readline():
        assert job.poll() is None
    first = re.match(r"process (\d+) ", (filmed.corpus.parents[1] / "state" / "two" / "state.lock").read_text())
    assert first
    os.kill(int(first[1]), signal.SIGKILL)
    job.communicate(timeout=120)
    assert job.returncode != 0
    status, said = ended(given)
    assert status == 0, said
    assert "resuming" in said
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (found.parent / name).read_bytes() == (expected.parent / name).read_bytes()


def test_a_number_of_processes_that_cannot_share_the_parts_is_told(filmed: Filmed) -> None:
    given, output = words(filmed, "three", replicas=3)
    status, said = ended(given)
    assert status != 0
    assert "error: pretrain_encoder.replicas 3 cannot be shared by 2 processes" in said
    assert not output.exists()


def test_what_one_process_cannot_read_stops_all_with_the_same_words(filmed: Filmed) -> None:
    for name in ("v_train0", "v_train1", "v_train2"):
        bad = next(filmed.videos.rglob(f"{name}.mp4"))
        bad.write_bytes(bad.read_bytes()[:300] + bytes(bad.stat().st_size - 300))
    # One part of a step is one clip: what a process reads, the other does not. A crop that leaves the last layer's
    # batch statistics more than one value of it.
    one = {"batch_size": 1, "epochs": 1, "clips_per_segment": 1, "clip": {**CLIP, "crop": 24}}
    given, _ = words(filmed, "bad", replicas=2, processes=2, **one)
    status, said = ended(given)
    assert status != 0
    assert "3 of 3 videos of the epoch are unreadable" in said
