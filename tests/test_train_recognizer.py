"""The stage `train_recognizer`: it learns from pixels, resumes exactly, and runs at full size."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.measurements import Measurements
from helpers.recognizers import small_recognizer_words, write_labelled_corpus
from helpers.video_corpus import VideoCorpus
from safetensors.torch import load_file

from pipeline import train_recognizer
from pipeline.config.train_recognizer import RecognizerEntry
from pipeline.datasets.caption_tokens import GO, CaptionTokens
from pipeline.encoders.clip_training import ClipTrainer
from pipeline.encoders.two_channel.losses import caption_loss, class_loss
from pipeline.encoders.two_channel.recognizer import build_network, read_recognizer
from pipeline.io.atomic import read_json
from pipeline.provenance.computation import KEPT_FOLDER
from workflow.scripts.gpu_lease import distributed_command

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> VideoCorpus:
    return write_labelled_corpus(tmp_path_factory.mktemp("corpus"), {"train": 8, "val": 4})[0]


def labels_of(paths: VideoCorpus) -> Path:
    return paths.corpus.parent.parent / "clip_labels" / "manifest.json"


def run(paths: VideoCorpus, folder: Path, **changes: Any) -> int:
    return train_recognizer.main(small_recognizer_words(paths, labels_of(paths), folder, **changes))


def test_it_learns_class_and_caption_and_lists_its_files(corpus: VideoCorpus, tmp_path: Path) -> None:
    # The colour of the middle of each video is its class, and the last word of its caption.
    assert run(corpus, tmp_path, epochs=20, patience=20, encoder_dim=32, decoder_dim=32) == 0
    manifest = read_json(tmp_path / "manifest.json")
    assert set(manifest["files"]) == {"model.safetensors", "config.json", "metrics.jsonl", "dropped.parquet"}
    best = manifest["metadata"]["best"]
    assert best["val_class_accuracy"] == best["val_exact_match"] == 1.0
    assert best["val_score"] == 1.0
    recognizer = read_recognizer(tmp_path / "manifest.json")
    assert recognizer.classes == ["glow blue", "glow red"]
    assert recognizer.tokens is not None
    assert {"BLUE", "RED"} <= set(recognizer.tokens.words)
    assert not (tmp_path / "state").exists()


def test_an_interrupted_training_equals_an_uninterrupted_one(
    corpus: VideoCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(corpus, whole, batch_size=2, save_every=1) == 0
    calls, share_unreadable = [], ClipTrainer.share_unreadable

    def interrupt(trainer: ClipTrainer) -> None:
        calls.append(None)
        share_unreadable(trainer)
        if len(calls) in (2, 5):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ClipTrainer, "share_unreadable", interrupt)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                run(corpus, parts, batch_size=2, save_every=1)
    assert run(corpus, parts, batch_size=2, save_every=1) == 0
    for name in ("metrics.jsonl", "model.safetensors", "manifest.json"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    # Finished work is published again.
    (parts / "manifest.json").unlink()
    assert run(corpus, parts, batch_size=2, save_every=1) == 0
    assert (whole / "manifest.json").read_bytes() == (parts / "manifest.json").read_bytes()
    assert (parts / KEPT_FOLDER).is_dir()


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"captions": None}, {"encoder", "classifier"}),
        ({"classes": None, "precision": "bfloat16"}, {"encoder", "decoder"}),
    ],
)
def test_either_head_can_be_off(changes: dict[str, Any], keys: set[str], corpus: VideoCorpus, tmp_path: Path) -> None:
    assert run(corpus, tmp_path, epochs=1, steps_per_epoch=1, **changes) == 0
    assert {name.partition(".")[0] for name in load_file(tmp_path / "model.safetensors")} == keys
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert ("val_class_accuracy" in row, "val_exact_match" in row) == ("classifier" in keys, "decoder" in keys)


def test_the_caption_loss_is_a_sum_or_a_mean_over_the_tokens(corpus: VideoCorpus, tmp_path: Path) -> None:
    rows = {}
    for kind in ("sum", "mean"):
        settings = {"classes": None, "epochs": 1, "steps_per_epoch": 1, "batch_size": 8, "accumulate_steps": 1}
        assert run(corpus, tmp_path / kind, caption_loss=kind, **settings) == 0
        rows[kind] = json.loads((tmp_path / kind / "metrics.jsonl").read_text())
    tokens = read_json(tmp_path / "sum" / "config.json")["length"]
    assert rows["mean"]["train_loss"] == pytest.approx(rows["mean"]["train_caption_loss"])
    assert rows["sum"]["train_loss"] == pytest.approx(tokens * rows["mean"]["train_loss"])


@pytest.mark.campaign
def test_two_processes_equal_one(corpus: VideoCorpus, tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 2, "accumulate_steps": 4}
    assert run(corpus, tmp_path / "one", **settings) == 0
    words = small_recognizer_words(corpus, labels_of(corpus), tmp_path / "two", **settings, world_size=2)
    command = distributed_command([sys.executable, "-m", "pipeline.train_recognizer", *words], 2)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-4, rtol=0, msg=lambda text, at=name: f"{at}: {text}")


def test_two_processes_cannot_share_one_micro_batch(
    corpus: VideoCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(corpus, tmp_path, world_size=2, accumulate_steps=1) == 2
    assert "accumulate_steps" in capsys.readouterr().err


@pytest.mark.campaign
def test_full_size_trains_two_steps(measurements: Measurements) -> None:
    """M(256-256), 48 frames of 96 x 96, 174 classes and 2,880 token ids: two steps of Adam on one clip."""
    words = tuple(f"W{number}" for number in range(2877))
    config, tokens = RecognizerEntry(), CaptionTokens(words, 14)
    torch.manual_seed(0)
    network = build_network(config, [f"c{number}" for number in range(174)], tokens)
    assert tokens.size == 2880
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    clips = torch.randint(0, 256, (1, 3, 48, 96, 96)).float() / 64
    captions = torch.randint(3, 2880, (1, 14))
    inputs = torch.cat([torch.full((1, 1), GO), captions[:, :-1]], 1)
    losses, start = [], time.process_time()
    for _ in range(2):
        output = network(clips, inputs)
        loss = 0.1 * class_loss(output.class_log_probs, torch.tensor([7])) + 0.9 * caption_loss(
            output.token_log_probs, captions
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    measurements.append(f"M(256-256): a step on one clip takes {(time.process_time() - start) / 2:.1f} s of processor")
