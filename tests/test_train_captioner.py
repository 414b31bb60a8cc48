"""The stage train_captioner."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.caption_corpus import (
    CaptionCorpus,
    FakeMeteor,
    count_steps,
    fake_tokenize,
    interrupt_in_call,
    write_caption_corpus,
)
from helpers.captioners import TOYS

from pipeline import train_captioner
from pipeline.captioning.bundle import load_captioner
from pipeline.captioning.decoding import Greedy
from pipeline.captioning.event_sequences import annotated_sequences, sentences_of
from pipeline.captioning.shared_training import CaptionerTrainer
from pipeline.captioning.streams import StreamCache
from pipeline.commands.exchange import main as exchange
from pipeline.config.captioners import CAPTIONERS, EventLstmSettings
from pipeline.config.train_captioner import CaptionerEntry
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import read_manifest

CONFIG = {"features": ["toy"], "hidden": 16, "lr": 0.01, "dropout": 0.2, "batch_videos": 4, "max_words": 6}


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_captioner, "Meteor", FakeMeteor)
    monkeypatch.setattr(train_captioner, "tokenize", fake_tokenize)


def run(
    corpus: CaptionCorpus, folder: Path, *, seed: int = 0, base: dict[str, object] = CONFIG, **config: object
) -> int:
    text = json.dumps(base | {"selection": "last", "epochs": 3} | config)
    state = ["--state", str(folder / "state"), "--output", str(folder / "captioner" / "manifest.json")]
    inputs = [*corpus.arguments(), "--vocabulary", str(corpus.vocabulary), "--seed", str(seed)]
    return train_captioner.main(["--config", text, *inputs, *state])


def test_train_captioner_writes_a_bundle_with_its_metadata(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 6, "val": 2})
    assert run(corpus, tmp_path, seed=3, selection="meteor", evaluate_every=2) == 0
    manifest = read_manifest(tmp_path / "captioner" / "manifest.json")
    assert set(manifest.files) == {
        "model.safetensors",
        "config.json",
        "vocabulary.json",
        "metrics.jsonl",
        "card.md",
    }
    metadata = manifest.metadata
    assert (metadata["features"], metadata["seed"], metadata["stage"]) == (["toy"], 3, "train_captioner")
    assert metadata["sizes"]["streams"] == {"features": 6}
    rows = [json.loads(line) for line in (tmp_path / "captioner" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    meteor = {row["epoch"]: row["meteor"] for row in rows if "meteor" in row}
    assert list(meteor) == [2, 3]
    assert metadata["meteor"] == max(meteor.values()) == meteor[metadata["epoch"]]
    provenance = json.loads((tmp_path / "captioner" / "manifest.provenance.json").read_text())
    assert len(provenance["inputs"]) == 3
    assert not (tmp_path / "state").exists()


def test_a_captioner_reads_features_combined_as_in_its_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    corpus.add_audio(reject=["v_train1"])
    combined = {"features": ["toy", "audio"], "align": "linear", "epochs": 1}
    assert run(corpus, tmp_path, **combined) == 2
    assert "v_train1: no_audio" in capsys.readouterr().err
    assert run(corpus, tmp_path, **combined, missing="zeros") == 0
    assert "v_train1: no_audio" in capsys.readouterr().err
    output = tmp_path / "captioner" / "manifest.json"
    metadata = read_manifest(output).metadata
    assert set(metadata["combination"]) == {"features"}
    assert set(metadata["combination"]["features"]["expected"]) == {"toy", "audio"}
    assert metadata["sizes"]["streams"] == {"features": 6 + 3 + 2}
    features = load_captioner(output).open_features(corpus.features, 1).features["features"]
    assert (features.align, features.missing, features.dim) == ("linear", "zeros", 11)
    assert features.grid == corpus.open_features().grid
    corpus.add_audio(weights="bbb", reject=["v_train1"])
    with pytest.raises(PipelineError, match=r"audio.*weights_sha256 is 'bbb', expected 'aaa'"):
        load_captioner(output).open_features(corpus.features, 1)


def test_named_streams_reach_a_captioner_that_reads_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in TOYS:
        monkeypatch.setitem(CAPTIONERS._specs, spec.name, spec)
    corpus = write_caption_corpus(tmp_path, {"train": 8, "val": 2})
    corpus.add_audio(reject=["v_train1"])
    config = {
        "architecture": "toy_transformer",
        "features": {"visual": ["toy"], "audio": ["audio"]},
        "lr": 0.01,
        "max_words": 6,
    }
    assert run(corpus, tmp_path, base=config, selection="meteor") == 0
    bundle = load_captioner(tmp_path / "captioner" / "manifest.json")
    assert bundle.captioner.sizes.streams == {"visual": 6, "audio": 3}
    assert bundle.features == config["features"]
    streams = bundle.open_features(corpus.features, 1)
    assert set(streams.features) == {"visual", "audio"}
    sequences = annotated_sequences(Corpus.open(corpus.manifest), ["train"], streams.durations)
    assert len(sequences) == 7, "a video without audio is left out"
    captions = bundle.captioner.generate(StreamCache(streams, 1.0).collate(sequences), Greedy())
    assert len(captions.word_ids()) == 14


def test_event_lstm_refuses_named_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    assert run(corpus, tmp_path, features={"visual": ["toy"], "audio": ["audio"]}) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "event_lstm" in error
    assert "(visual, audio)" in error


def test_exported_and_imported_features_train_the_same_captioner(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 4})
    exported, imported = tmp_path / "toy.h5", tmp_path / "elsewhere" / "features"
    assert exchange(["export", str(corpus.features / "toy"), "--output", str(exported)]) == 0
    grid = ["--fps", "16", "--frames", "16", "--stride", "16", "--corpus", str(corpus.manifest)]
    assert exchange(["import", str(exported), "--output", str(imported / "toy"), *grid]) == 0
    for folder, used in {"own": corpus, "imported": replace(corpus, features=imported)}.items():
        assert run(used, tmp_path / folder, epochs=1) == 0
    weights = [tmp_path / folder / "captioner" / "model.safetensors" for folder in ("own", "imported")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_train_captioner_learns_what_the_features_show(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 24, "test": 8})
    assert run(corpus, tmp_path, epochs=25) == 0
    bundle = load_captioner(tmp_path / "captioner" / "manifest.json")
    streams = corpus.open_streams()
    unseen = annotated_sequences(Corpus.open(corpus.manifest), ["test"], streams.durations)
    captions = bundle.captioner.generate(StreamCache(streams, 1.0).collate(unseen), Greedy()).word_ids()
    sentences = fake_tokenize(sentences_of(unseen))
    correct = [bundle.vocabulary.decode(ids) == sentence for ids, sentence in zip(captions, sentences, strict=True)]
    assert sum(correct) / len(correct) > 0.9


def test_a_stopped_run_continues_with_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 6, "val": 2})
    settings = {"selection": "meteor", "epochs": 4}
    assert run(corpus, tmp_path / "undisturbed", **settings) == 0

    with monkeypatch.context() as patch:
        interrupt_in_call(patch, CaptionerTrainer, "train_epoch", 3)
        with pytest.raises(KeyboardInterrupt):
            run(corpus, tmp_path / "stopped", **settings)
    assert not (tmp_path / "stopped" / "captioner" / "manifest.json").exists()
    assert run(corpus, tmp_path / "stopped", **settings) == 0
    for name in ("manifest.json", "model.safetensors", "metrics.jsonl", "card.md"):
        one, other = (tmp_path / folder / "captioner" / name for folder in ("undisturbed", "stopped"))
        assert sha256(one) == sha256(other), name


def test_a_state_of_other_settings_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 4})
    with monkeypatch.context() as patch:
        patch.setattr(train_captioner, "save_captioner", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(corpus, tmp_path, lr=0.1)
    assert run(corpus, tmp_path, seed=1) == 0
    assert run(corpus, tmp_path / "fresh", seed=1) == 0
    one, other = (folder / "captioner" / "model.safetensors" for folder in (tmp_path, tmp_path / "fresh"))
    assert sha256(one) == sha256(other)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 4})
    weights = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(1)  # earlier draws do not matter
        assert run(corpus, tmp_path / name, seed=seed, epochs=1) == 0
        weights[name] = sha256(tmp_path / name / "captioner" / "model.safetensors")
    assert weights["a"] == weights["b"] != weights["c"]


def test_every_epoch_and_every_seed_has_its_own_data_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 8})
    orders: list[tuple[int, ...]] = []

    def note_order(_trainer: CaptionerTrainer, order: Sequence[int], *_: object, **__: object) -> dict[str, float]:
        orders.append(tuple(order))
        return {"loss": 0.0}

    monkeypatch.setattr(CaptionerTrainer, "train_epoch", note_order)
    for seed in (0, 1):
        assert run(corpus, tmp_path, seed=seed, epochs=3) == 0
    assert len(set(orders)) == 6
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(8))}


def test_splits_choose_the_training_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3, "enlarged": 2})
    assert run(corpus, tmp_path, epochs=1) == 0
    assert "3 sequences of 6 events" in capsys.readouterr().err
    assert run(corpus, tmp_path, epochs=1, splits=["train", "enlarged"]) == 0
    assert "7 sequences of 14 events" in capsys.readouterr().err


@pytest.mark.parametrize("ablation", [{"relations": False}, {"context": False}])
def test_ablations_are_saved_with_the_captioner(tmp_path: Path, ablation: dict[str, bool]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    assert run(corpus, tmp_path, epochs=1, **ablation) == 0
    settings = load_captioner(tmp_path / "captioner" / "manifest.json").captioner.settings
    assert settings == EventLstmSettings(hidden=16, dropout=0.2, **ablation)


def test_scheduled_sampling_rises_from_zero(tmp_path: Path) -> None:
    settings = {"features": ["toy"], "scheduled_sampling": 0.25, "scheduled_sampling_epochs": 5}
    entry = CaptionerEntry.parse(settings, "train_captioner.x").root
    assert [entry.sampling_prob(epoch) for epoch in (1, 2, 6, 40)] == pytest.approx([0, 0.05, 0.25, 0.25])
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    losses = []
    for prob in (0.0, 1.0):
        assert run(corpus, tmp_path, epochs=2, scheduled_sampling=prob, scheduled_sampling_epochs=1) == 0
        rows = (tmp_path / "captioner" / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(row)["loss"] for row in rows])
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]


def test_without_val_videos_meteor_cannot_select(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3, "val": 1}, featureless=["v_val0"])
    assert run(corpus, tmp_path, selection="meteor") == 2
    error = capsys.readouterr().err
    assert "selection: last" in error
    assert "split val" in error


def test_without_training_videos_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"enlarged": 2, "val": 1})
    assert run(corpus, tmp_path) == 2
    assert "no video of train has both captions and features" in capsys.readouterr().err


def test_a_vocabulary_of_other_sentences_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    for words, code in ((["ein", "rot"], 2), (["ein", "a", "ball"], 0)):
        corpus.vocabulary.write_text(json.dumps({"min_count": 1, "words": words}))
        assert run(corpus, tmp_path, epochs=1) == code
    log = capsys.readouterr().err
    assert "none of its 2 words" in log
    assert "holds 50.0 % of the words" in log, "of: a red ball rolls"


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"features": []}, ["features"]),
        ({"features": {"visual": []}}, ["features"]),
        ({"architecture": "event_lst"}, ["'event_lst'", "'event_lstm'"]),
        ({"hiden": 3}, ["hiden"]),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, object], facts: list[str]
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2})
    assert run(corpus, tmp_path, **settings) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert all(fact in error for fact in facts)


def test_steps_per_epoch_shortens_epochs_and_is_on_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 6})
    steps = count_steps(monkeypatch)
    assert run(corpus, tmp_path / "short", epochs=3, batch_videos=1, steps_per_epoch=2) == 0
    assert len(steps) == 3 * 2
    card = (tmp_path / "short" / "captioner" / "card.md").read_text()
    assert '- rehearsal: "epochs ended after 2 steps"' in card
    assert run(corpus, tmp_path / "whole", epochs=1, batch_videos=1) == 0
    assert len(steps) == 3 * 2 + 6
    assert "rehearsal" not in (tmp_path / "whole" / "captioner" / "card.md").read_text()
