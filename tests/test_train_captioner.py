"""Cross-entropy training, as a command."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.caption_corpus import FakeMeteor, Small, count_steps, die_in_call, fake_tokenize, write_small
from helpers.feature_files import made, shard

from pipeline import train_captioner
from pipeline.captioning.bundle import load_captioner
from pipeline.captioning.data import annotated, collate
from pipeline.captioning.decoding import greedy
from pipeline.captioning.trainer import Course
from pipeline.commands.store import main as exchange
from pipeline.config.train_captioner import TrainCaptioner
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.features.combined import ClipGrid
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import read_manifest
from pipeline.train_captioner import scheduled
from pipeline.features.cache import ClipCache

CONFIG = {"features": ["toy"], "hidden": 16, "lr": 0.01, "dropout": 0.2, "batch_videos": 4, "max_words": 6}


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_captioner, "Meteor", FakeMeteor)
    monkeypatch.setattr(train_captioner, "tokenize", fake_tokenize)


def run(small: Small, folder: Path, *, seed: int = 0, **config: object) -> int:
    text = json.dumps(CONFIG | {"selection": "last", "epochs": 3} | config)
    state = ["--state", str(folder / "state"), "--output", str(folder / "captioner" / "manifest.json")]
    words = ["--vocabulary", str(small.vocabulary), "--seed", str(seed)]
    return train_captioner.main(["--config", text, *small.arguments(), *words, *state])


def test_it_writes_a_captioner_that_says_what_it_is(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 6, "val": 2})
    assert run(small, tmp_path, seed=3, selection="meteor", evaluate_every=2) == 0
    manifest = read_manifest(tmp_path / "captioner" / "manifest.json")
    assert set(manifest.payloads) == {
        "model.safetensors",
        "config.json",
        "vocabulary.json",
        "metrics.jsonl",
        "card.md",
    }
    facts = manifest.facts
    assert (facts["features"], facts["seed"], facts["stage"]) == (["toy"], 3, "train_captioner")
    assert facts["architecture"]["dim"] == 6
    rows = [json.loads(line) for line in (tmp_path / "captioner" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    looks = {row["epoch"]: row["meteor"] for row in rows if "meteor" in row}
    assert list(looks) == [2, 3]
    assert facts["meteor"] == max(looks.values()) == looks[facts["epoch"]]
    made = json.loads((tmp_path / "captioner" / "manifest.provenance.json").read_text())
    assert len(made["inputs"]) == 3
    assert not (tmp_path / "state").exists()


def sound(small: Small, weights: str) -> None:
    """A second feature, two rows a second; of one video there is no sound."""
    items = {video: made(2 * int(duration), dim=3) for video, duration in small.open_features().videos.items()}
    shard(small.features, items | {"v_train1": "no_audio"}, 0, "sound", ClipGrid(16.0, 8, 8), weights_sha256=weights)


def test_features_are_combined_as_the_captioner_was_trained_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = write_small(tmp_path, {"train": 3})
    sound(small, "aaa")
    two = {"features": ["toy", "sound"], "align": "linear", "epochs": 1}
    assert run(small, tmp_path, **two) == 2
    assert "sound: 1 of 3 videos lack this feature (v_train1: no_audio)" in capsys.readouterr().err
    assert run(small, tmp_path, **two, missing="zeros") == 0
    assert "sound: 1 of 3 videos lack this feature" in capsys.readouterr().err
    output = tmp_path / "captioner" / "manifest.json"
    facts = read_manifest(output).facts
    assert facts["combination"]["lacking"] == {"sound": 1}
    assert facts["architecture"]["dim"] == 6 + 3 + 2
    features = load_captioner(output).open(small.features, 1)
    assert (features.align, features.missing, features.dim) == ("linear", "zeros", 11)
    assert features.grid == small.open_features().grid
    sound(small, "bbb")
    with pytest.raises(PipelineError, match=r"sound.*weights_sha256 is 'bbb', expected 'aaa'"):
        load_captioner(output).open(small.features, 1)


def test_features_that_went_out_and_came_back_train_the_same_captioner(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 4})
    out, back = tmp_path / "toy.h5", tmp_path / "elsewhere" / "features"
    assert exchange(["export", str(small.features / "toy"), "--output", str(out)]) == 0
    grid = ["--fps", "16", "--frames", "16", "--stride", "16", "--corpus", str(small.corpus)]
    assert exchange(["import", str(out), "--output", str(back / "toy"), *grid]) == 0
    for folder, used in {"own": small, "imported": replace(small, features=back)}.items():
        assert run(used, tmp_path / folder, epochs=1) == 0
    own, imported = (tmp_path / folder / "captioner" / "model.safetensors" for folder in ("own", "imported"))
    assert own.read_bytes() == imported.read_bytes()


def test_it_learns_to_say_what_the_features_tell(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 24, "test": 8})
    assert run(small, tmp_path, epochs=25) == 0
    trained = load_captioner(tmp_path / "captioner" / "manifest.json")
    features = small.open_features()
    unseen = annotated(Corpus.open(small.corpus), ["test"], features)
    said = greedy(trained.captioner, collate(unseen, ClipCache(features, 1.0))).ids()
    wanted = fake_tokenize([sentence for one in unseen for sentence in one.sentences])
    right = [trained.vocabulary.decode(ids) == sentence for ids, sentence in zip(said, wanted, strict=True)]
    assert sum(right) / len(right) > 0.9


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_small(tmp_path, {"train": 6, "val": 2})
    settings = {"selection": "meteor", "epochs": 4}
    assert run(small, tmp_path / "undisturbed", **settings) == 0

    with monkeypatch.context() as patch:
        die_in_call(patch, Course, "one_pass", 3)
        with pytest.raises(KeyboardInterrupt):
            run(small, tmp_path / "stopped", **settings)
    assert not (tmp_path / "stopped" / "captioner" / "manifest.json").exists()
    assert run(small, tmp_path / "stopped", **settings) == 0
    for name in ("manifest.json", "model.safetensors", "metrics.jsonl", "card.md"):
        one, other = (tmp_path / run_ / "captioner" / name for run_ in ("undisturbed", "stopped"))
        assert sha256(one) == sha256(other), name


def test_a_state_of_other_settings_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_small(tmp_path, {"train": 4})
    with monkeypatch.context() as patch:
        patch.setattr(train_captioner, "save_captioner", _stop)
        with pytest.raises(KeyboardInterrupt):
            run(small, tmp_path, lr=0.1)
    assert run(small, tmp_path, seed=1) == 0
    assert run(small, tmp_path / "fresh", seed=1) == 0
    one, other = (folder / "captioner" / "model.safetensors" for folder in (tmp_path, tmp_path / "fresh"))
    assert sha256(one) == sha256(other)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_seeds_differ_and_nothing_else_draws(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"train": 4})
    weights = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(1)  # what happened before does not matter
        assert run(small, tmp_path / name, seed=seed, epochs=1) == 0
        weights[name] = sha256(tmp_path / name / "captioner" / "model.safetensors")
    assert weights["a"] == weights["b"] != weights["c"]


def test_every_epoch_and_every_seed_has_its_own_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_small(tmp_path, {"train": 8})
    orders: list[tuple[int, ...]] = []

    def note(course: Course, order: list[int], *_: object, **__: object) -> dict[str, float]:
        orders.append(tuple(order))
        return {"loss": 0.0}

    monkeypatch.setattr(Course, "one_pass", note)
    for seed in (0, 1):
        assert run(small, tmp_path, seed=seed, epochs=3) == 0
    assert len(set(orders)) == 6
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(8))}


def test_the_enlarged_set_is_learned_from_where_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = write_small(tmp_path, {"train": 3, "enlarged": 2})
    assert run(small, tmp_path, epochs=1) == 0
    assert "3 sequences of 6 events" in capsys.readouterr().err
    assert run(small, tmp_path, epochs=1, splits=["train", "enlarged"]) == 0
    assert "7 sequences of 14 events" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [{"relations": False}, {"context": False}])
def test_ablations_are_what_they_say(tmp_path: Path, kind: dict[str, bool]) -> None:
    small = write_small(tmp_path, {"train": 3})
    assert run(small, tmp_path, epochs=1, **kind) == 0
    built = load_captioner(tmp_path / "captioner" / "manifest.json").captioner.architecture
    assert (built.relations, built.context) == (kind.get("relations", True), kind.get("context", True))


def test_scheduled_sampling_rises_from_none(tmp_path: Path) -> None:
    config = TrainCaptioner(features=["toy"], scheduled_sampling=0.25, scheduled_sampling_epochs=5)
    assert [scheduled(config, epoch) for epoch in (1, 2, 6, 40)] == pytest.approx([0, 0.05, 0.25, 0.25])
    small = write_small(tmp_path, {"train": 3})
    losses = []
    for share in (0.0, 1.0):
        assert run(small, tmp_path, epochs=2, scheduled_sampling=share, scheduled_sampling_epochs=1) == 0
        rows = (tmp_path / "captioner" / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(row)["loss"] for row in rows])
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]


def test_without_val_videos_meteor_cannot_select(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 3, "val": 1}, featureless=["v_val0"])
    assert run(small, tmp_path, selection="meteor") == 2
    said = capsys.readouterr().err
    assert "selection: last" in said
    assert "split val" in said


def test_without_training_videos_there_is_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"enlarged": 2, "val": 1})
    assert run(small, tmp_path) == 2
    assert "no video of train has both captions and features" in capsys.readouterr().err


def test_a_vocabulary_of_other_sentences_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = write_small(tmp_path, {"train": 2})
    for words, code in ((["ein", "rot"], 2), (["ein", "a", "ball"], 0)):
        small.vocabulary.write_text(json.dumps({"min_count": 1, "words": words}))
        assert run(small, tmp_path, epochs=1) == code
    said = capsys.readouterr().err
    assert "none of its 2 words" in said
    assert "holds 50.0 % of the words" in said, "of: a red ball rolls"


def test_an_epoch_may_end_early_and_the_card_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = write_small(tmp_path, {"train": 6})
    steps = count_steps(monkeypatch)
    assert run(small, tmp_path / "short", epochs=3, batch_videos=1, steps_per_epoch=2) == 0
    assert len(steps) == 3 * 2
    card = (tmp_path / "short" / "captioner" / "card.md").read_text()
    assert '- rehearsal: "epochs ended after 2 steps"' in card
    assert run(small, tmp_path / "whole", epochs=1, batch_videos=1) == 0
    assert len(steps) == 3 * 2 + 6
    assert "rehearsal" not in (tmp_path / "whole" / "captioner" / "card.md").read_text()
