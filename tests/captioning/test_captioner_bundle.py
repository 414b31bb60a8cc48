"""Captioners on disk."""

import json
from pathlib import Path

import pytest
import torch
from helpers.caption_corpus import WORDS
from helpers.captioners import event_lstm, small_sizes

from pipeline.captioning.bundle import METRICS, load_captioner, save_captioner
from pipeline.config.captioners import EventLstmSettings
from pipeline.errors import PipelineError
from pipeline.io.atomic import write_json
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.training.training_loop import BestCheckpoint, cpu_state_dict


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    vocabulary = tmp_path / "vocabulary.json"
    write_json(vocabulary, {"min_count": 1, "words": list(WORDS)})
    folder = tmp_path / "captioner"
    folder.mkdir()
    (folder / METRICS).write_text("")
    captioner = event_lstm(dim=4, hidden=8, num_ids=len(WORDS) + 2, max_words=6)
    selected = BestCheckpoint(3, 0.25, cpu_state_dict(captioner))
    with torch.no_grad():
        captioner.event.weight += 1  # the epochs after the selected one
    metadata = {"stage": "test", "features": ["a"], "combination": {}, "seed": 5}
    save_captioner(folder / "manifest.json", captioner, vocabulary, selected, metadata)
    return folder / "manifest.json"


def rewrite_manifest(manifest: Path) -> None:
    """Let the manifest list the files as they are now."""
    saved = json.loads(manifest.read_text())
    write_manifest(manifest, [manifest.with_name(name) for name in saved["files"]], saved["metadata"])


def test_load_captioner_returns_the_selected_weights(saved: Path) -> None:
    bundle = load_captioner(saved)
    assert bundle.captioner.settings == EventLstmSettings(hidden=8, dropout=0.0)
    assert bundle.captioner.sizes == small_sizes({"features": 4}, num_ids=9, max_words=6)
    assert torch.equal(bundle.captioner.event.weight, event_lstm(dim=4, hidden=8, num_ids=9, max_words=6).event.weight)
    assert bundle.vocabulary.words == WORDS
    assert (bundle.features, bundle.epoch) == (["a"], 3)
    assert not bundle.captioner.training
    metadata = read_manifest(saved).metadata
    assert (metadata["meteor"], metadata["seed"], metadata["vocabulary"]) == (0.25, 5, bundle.vocabulary.digest)


def test_card_lists_the_metadata_and_the_settings(saved: Path) -> None:
    card = (saved.parent / "card.md").read_text()
    assert "# Captioner event_lstm" in card
    assert "25.00 of 100" in card
    assert "seed: 5" in card
    assert '"relations": true, "context": true' in card


@pytest.mark.parametrize("key", ["vocabulary", "features", "combination", "epoch"])
def test_load_captioner_names_missing_metadata(saved: Path, key: str) -> None:
    manifest = json.loads(saved.read_text())
    del manifest["metadata"][key]
    write_json(saved, manifest)
    with pytest.raises(PipelineError, match=rf"manifest\.json: .*{key}"):
        load_captioner(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": {}},
        {"architecture": {"architecture": "event_lstm", "hiden": 8}},
        {"architecture": {"architecture": "none"}},
        {"sizes": {"streams": {"features": 4}}},
    ],
    ids=str,
)
def test_load_captioner_names_the_file_of_an_invalid_architecture(saved: Path, change: dict) -> None:
    config = saved.with_name("config.json")
    write_json(config, json.loads(config.read_text()) | change)
    rewrite_manifest(saved)
    with pytest.raises(PipelineError, match=r"config\.json"):
        load_captioner(saved)


def test_load_captioner_refuses_weights_of_another_architecture(saved: Path) -> None:
    config = saved.with_name("config.json")
    architecture = json.loads(config.read_text())
    architecture["architecture"]["relations"] = False
    write_json(config, architecture)
    rewrite_manifest(saved)
    with pytest.raises(PipelineError, match=r"model\.safetensors: weights of another architecture"):
        load_captioner(saved)


def test_load_captioner_refuses_the_vocabulary_of_another_training(saved: Path) -> None:
    vocabulary = saved.parent / "vocabulary.json"
    write_json(vocabulary, {"min_count": 1, "words": sorted(WORDS)})
    with pytest.raises(PipelineError, match=r"vocabulary\.json: .*manifest\.json"):
        load_captioner(saved)
    rewrite_manifest(saved)
    with pytest.raises(PipelineError, match=r"manifest\.json: vocabulary\.json"):
        load_captioner(saved)
