"""Several processes train what one trains alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filmed import SMALL, Filmed, write_filmed
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


def together(given: list[str], processes: int) -> subprocess.CompletedProcess[str]:
    command = shared([sys.executable, "-m", "pipeline.pretrain_encoder", *given], processes)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_two_processes_and_one_with_accumulation_give_the_same(filmed: Filmed) -> None:
    alone, one = words(filmed, "one", replicas=4)
    assert main(alone) == 0
    split, two = words(filmed, "two", replicas=4, processes=2, save_every=1)
    done = together(split, 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch 2 train_loss") == 1, "one process talks"
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


def test_a_number_of_processes_that_cannot_share_the_parts_is_told(filmed: Filmed) -> None:
    given, output = words(filmed, "three", replicas=3)
    done = together(given, 2)
    assert done.returncode != 0
    assert "error: pretrain_encoder.replicas 3 cannot be shared by 2 processes" in done.stderr
    assert not output.exists()
