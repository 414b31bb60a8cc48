"""Captioners on disk."""

import json
from pathlib import Path

import pytest
import torch
from helpers.caption_corpus import WORDS

from pipeline.captioning.bundle import METRICS, load_captioner, save_captioner
from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.errors import PipelineError
from pipeline.io.atomic import write_json
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.training.trainer import Selected, copy_of


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    vocabulary = tmp_path / "vocabulary.json"
    write_json(vocabulary, {"min_count": 1, "words": list(WORDS)})
    folder = tmp_path / "captioner"
    folder.mkdir()
    (folder / METRICS).write_text("")
    captioner = Captioner(Architecture(4, 8, len(WORDS) + 2, 6, 0.0))
    selected = Selected(3, 0.25, copy_of(captioner))
    with torch.no_grad():
        captioner.event.weight += 1  # the epochs after the selected one
    save_captioner(
        folder / "manifest.json",
        captioner,
        vocabulary,
        selected,
        {"stage": "test", "features": ["a"], "combination": {}, "seed": 5},
    )
    return folder / "manifest.json"


def test_the_selected_weights_come_back(saved: Path) -> None:
    trained = load_captioner(saved)
    assert trained.captioner.architecture == Architecture(4, 8, 9, 6, 0.0)
    assert trained.vocabulary.words == WORDS
    assert (trained.features, trained.epoch) == (["a"], 3)
    assert not trained.captioner.training
    facts = read_manifest(saved).facts
    assert (facts["meteor"], facts["seed"], facts["vocabulary"]) == (0.25, 5, trained.vocabulary.digest)


def test_the_card_tells_the_facts(saved: Path) -> None:
    card = (saved.parent / "card.md").read_text()
    assert "25.00 of 100" in card
    assert "seed: 5" in card
    assert "events related by self-attention, one after another" in card


@pytest.mark.parametrize("fact", ["vocabulary", "features", "combination", "epoch"])
def test_what_does_not_say_what_it_was_trained_with_is_refused(saved: Path, fact: str) -> None:
    found = json.loads(saved.read_text())
    del found["facts"][fact]
    write_json(saved, found)
    with pytest.raises(PipelineError, match=f"manifest.json: no captioner, its facts lack {fact}; train it again"):
        load_captioner(saved)


def test_a_captioner_says_which_it_is(saved: Path) -> None:
    config, found = saved.with_name("config.json"), json.loads(saved.read_text())
    told = json.loads(config.read_text())
    del told["name"]
    write_json(config, told)
    write_manifest(saved, [saved.with_name(name) for name in found["payloads"]], found["facts"])
    with pytest.raises(PipelineError, match=r"config\.json: not the architecture of an event captioner"):
        load_captioner(saved)


def test_a_captioner_of_another_build_is_refused(saved: Path) -> None:
    folder = saved.parent
    write_json(folder / "config.json", json.loads((folder / "config.json").read_text()) | {"relations": False})
    found = json.loads(saved.read_text())
    write_manifest(saved, [folder / name for name in found["payloads"]], found["facts"])
    with pytest.raises(PipelineError, match=r"model\.safetensors: weights of another architecture"):
        load_captioner(saved)


def test_a_vocabulary_of_another_run_is_refused(saved: Path) -> None:
    vocabulary = saved.parent / "vocabulary.json"
    write_json(vocabulary, {"min_count": 1, "words": sorted(WORDS)})
    with pytest.raises(PipelineError, match=r"vocabulary\.json: not as"):
        load_captioner(saved)
    found = json.loads(saved.read_text())
    write_manifest(saved, [saved.parent / name for name in found["payloads"]], found["facts"])
    with pytest.raises(PipelineError, match="not the one it was trained with"):
        load_captioner(saved)
