"""The clip captioners in the stages: training with attributes, exact resume, rewards, a teacher."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.caption_corpus import (
    CaptionCorpus,
    FakeMeteor,
    fake_tokenize,
    interrupt_in_call,
    write_caption_corpus,
)
from helpers.exact_meteor import ExactMeteor

from pipeline import finetune_scst, train_captioner
from pipeline.captioning.bundle import ATTRIBUTES, CaptionerBundle, load_captioner
from pipeline.captioning.decoding import BeamSearch, Greedy
from pipeline.captioning.event_sequences import annotated_sequences, sentences_of
from pipeline.captioning.shared_training import CaptionerTrainer
from pipeline.captioning.streams import StreamCache
from pipeline.config.load import Config
from pipeline.config.train_captioner import CaptionerEntry
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import read_manifest

TRAINING = {"features": ["toy"], "lr": 0.01, "batch_videos": 4, "max_words": 6, "selection": "last", "epochs": 3}
HEADS = {"hidden": 16, "heads": 4, "dropout": 0.2, "attention_dropout": 0.0}
CAPTIONERS: dict[str, dict[str, Any]] = {
    "transformer": HEADS,
    "topdown": {"hidden": 16, "dropout": 0.2},
    "arb": HEADS,
    "nacf": {**HEADS, "min_words": 1, "lengths": 3},
    "event_lstm": {"hidden": 16, "dropout": 0.2},
}
names = pytest.mark.parametrize("name", CAPTIONERS)


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage, meteor in ((train_captioner, FakeMeteor), (finetune_scst, ExactMeteor)):
        monkeypatch.setattr(stage, "Meteor", meteor)
        monkeypatch.setattr(stage, "tokenize", fake_tokenize)


def run(corpus: CaptionCorpus, folder: Path, name: str, *arguments: str, **config: Any) -> int:
    text = json.dumps({**TRAINING, **CAPTIONERS[name], "architecture": name, **config})
    state = ["--state", str(folder / "state"), "--output", str(folder / "captioner" / "manifest.json")]
    inputs = [*corpus.arguments(), "--vocabulary", str(corpus.vocabulary), "--seed", "0"]
    return train_captioner.main(["--config", text, *inputs, *state, *arguments])


def load(folder: Path) -> CaptionerBundle:
    return load_captioner(folder / "captioner" / "manifest.json")


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "captioner" / "metrics.jsonl").read_text().splitlines()]


@names
def test_attributes_are_trained_and_kept_with_the_captioner(tmp_path: Path, name: str) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 6, "val": 2})
    assert run(corpus, tmp_path, name, attributes={"count": 4}) == 0
    bundle = load(tmp_path)
    assert bundle.attributes is not None
    assert bundle.attributes.words[0] == "ball"
    assert len(bundle.attributes.words) == 4 == bundle.captioner.sizes.attributes
    assert ATTRIBUTES in read_manifest(tmp_path / "captioner" / "manifest.json").files
    assert {"loss_visual_attributes", "loss_text_attributes"} <= set(metrics(tmp_path)[0])
    sequences = annotated_sequences(Corpus.open(corpus.manifest), ["val"], corpus.open_streams().durations)
    probabilities = bundle.captioner.predict_attributes(StreamCache(corpus.open_streams(), 1.0).collate(sequences))
    assert list(probabilities.shape) == [len(sentences_of(sequences)), 4]


@names
def test_a_stopped_training_continues_with_the_same_result(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 6, "val": 2})
    config = {"attributes": {"count": 4}, "lr_decay": 0.9, "scheduled_sampling": 0.2}
    assert run(corpus, tmp_path / "undisturbed", name, **config) == 0
    with monkeypatch.context() as patch:
        interrupt_in_call(patch, CaptionerTrainer, "train_epoch", 2)
        with pytest.raises(KeyboardInterrupt):
            run(corpus, tmp_path / "stopped", name, **config)
    assert run(corpus, tmp_path / "stopped", name, **config) == 0
    for file in ("manifest.json", "model.safetensors", "metrics.jsonl", ATTRIBUTES):
        one, other = (tmp_path / folder / "captioner" / file for folder in ("undisturbed", "stopped"))
        assert sha256(one) == sha256(other), file


@names
def test_self_critical_training_continues_from_a_captioner_and_keeps_its_attributes(tmp_path: Path, name: str) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 4, "val": 2})
    assert run(corpus, tmp_path / "xe", name, attributes={"count": 3}, epochs=2) == 0
    config = {"lr": 0.01, "batch_videos": 4, "selection": "meteor", "epochs": 2, "splits": ["train"]}
    state = ["--state", str(tmp_path / "state"), "--output", str(tmp_path / "scst" / "captioner" / "manifest.json")]
    captioner = ["--captioner", str(tmp_path / "xe" / "captioner" / "manifest.json")]
    assert finetune_scst.main(["--config", json.dumps(config), *corpus.arguments(), *captioner, *state]) == 0
    assert load(tmp_path / "scst").attributes == load(tmp_path / "xe").attributes
    assert [row["epoch"] for row in metrics(tmp_path / "scst")] == [0, 1, 2]


LEARNED = {"nacf": {"epochs": 30, "dropout": 0.1, "batch_videos": 2}}
ATTRIBUTES_OF_FIVE = {"count": 5}
COMBINATIONS = [
    ("transformer", None),
    ("arb", ATTRIBUTES_OF_FIVE),
    *(
        pytest.param(name, ATTRIBUTES_OF_FIVE, marks=pytest.mark.campaign)
        for name in ("transformer", "topdown", "nacf")
    ),
    *(pytest.param(name, None, marks=pytest.mark.campaign) for name in ("topdown", "arb", "nacf")),
]


@pytest.mark.parametrize(("name", "attributes"), COMBINATIONS)
def test_a_trained_captioner_says_what_unseen_features_show(
    tmp_path: Path, name: str, attributes: dict[str, int] | None
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 24, "test": 8})
    assert run(corpus, tmp_path, name, attributes=attributes, **{"epochs": 30, **LEARNED.get(name, {})}) == 0
    bundle, streams = load(tmp_path), corpus.open_streams()
    unseen = annotated_sequences(Corpus.open(corpus.manifest), ["test"], streams.durations)
    batch, sentences = StreamCache(streams, 1.0).collate(unseen), fake_tokenize(sentences_of(unseen))
    for strategy in (Greedy(), BeamSearch(3, 1.0)):
        captions = [bundle.vocabulary.decode(ids) for ids in bundle.captioner.generate(batch, strategy).word_ids()]
        correct = [caption == sentence for caption, sentence in zip(captions, sentences, strict=True)]
        assert sum(correct) / len(correct) > 0.9
    if attributes:
        probabilities = bundle.captioner.predict_attributes(batch)
        for word in ("red", "blue", "rolls", "jumps"):
            of_word = probabilities[:, bundle.attributes.words.index(word)]
            shows = torch.tensor([word in sentence.split() for sentence in sentences])
            assert of_word[shows].min() > of_word[~shows].max(), word


def test_nacf_starts_from_its_teacher_and_keeps_it(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 8})
    assert run(corpus, tmp_path / "arb", "arb", epochs=20) == 0
    teacher = ["--teacher", str(tmp_path / "arb" / "captioner" / "manifest.json")]
    assert run(corpus, tmp_path / "nacf", "nacf", *teacher, teacher="arb", attributes={"count": 3}) == 0
    weights = load(tmp_path / "arb").captioner.state_dict()
    with_teacher = load(tmp_path / "nacf").captioner.state_dict()
    assert all(torch.equal(with_teacher[f"teacher.{name}"], value) for name, value in weights.items())
    provenance = json.loads((tmp_path / "nacf" / "captioner" / "manifest.provenance.json").read_text())
    assert len(provenance["inputs"]) == 4
    parameters = read_manifest(tmp_path / "nacf" / "captioner" / "manifest.json").metadata["parameters"]
    assert parameters < sum(value.numel() for value in with_teacher.values()), "the teacher is not trained"


def test_a_teacher_that_is_missing_or_unasked_or_of_other_words_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    assert run(corpus, tmp_path / "arb", "arb", epochs=1) == 0
    teacher = ["--teacher", str(tmp_path / "arb" / "captioner" / "manifest.json")]
    assert run(corpus, tmp_path / "a", "nacf", teacher="arb") == 2
    assert "--teacher" in capsys.readouterr().err.splitlines()[-1]
    assert run(corpus, tmp_path / "b", "nacf", *teacher) == 2
    assert "--teacher" in capsys.readouterr().err.splitlines()[-1]
    words = json.loads(corpus.vocabulary.read_text())["words"]
    corpus.vocabulary.write_text(json.dumps({"min_count": 1, "words": words[::-1]}))
    assert run(corpus, tmp_path / "c", "nacf", *teacher, teacher="arb") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "vocabulary" in error
    assert load(tmp_path / "arb").vocabulary.digest in error


@pytest.mark.parametrize(
    ("teacher", "facts"),
    [
        ({"architecture": "transformer", "features": ["sa_tsp"]}, ["nacf.teacher", "transformer"]),
        ({"architecture": "arb", "features": ["sa_tsp"], "hidden": 256}, ["nacf.teacher", "hidden"]),
        ({"architecture": "arb", "features": ["sa_tsp"], "max_words": 9}, ["nacf.teacher", "max_words"]),
        (None, ["nacf.teacher", "my_arb"]),
    ],
    ids=str,
)
def test_a_configuration_whose_teacher_does_not_fit_is_refused(
    teacher: dict[str, Any] | None, facts: list[str]
) -> None:
    entries = {"nacf": {"architecture": "nacf", "features": ["sa_tsp"], "teacher": "my_arb"}}
    entries["sa_tsp"] = {"features": ["sa_tsp"]}
    if teacher is not None:
        entries["my_arb"] = teacher
    with pytest.raises(PipelineError) as error:
        Config.parse({"train_captioner": entries}, "config")
    assert all(fact in str(error.value) for fact in facts)


def test_a_stream_of_unknown_features_is_refused() -> None:
    streams = {"visual": ["sa_tsp"], "audio": ["vgish"]}
    entries = {"sa_tsp": {"architecture": "transformer", "features": streams}}
    with pytest.raises(PipelineError, match=r"features\.audio.*vgish"):
        Config.parse({"train_captioner": entries}, "config")


@names
def test_captions_without_a_word_that_can_be_an_attribute_are_an_error(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    corpus.vocabulary.write_text(json.dumps({"min_count": 1, "words": ["a", "and"]}))
    assert run(corpus, tmp_path, name, attributes={}) == 2
    assert "attributes: null" in capsys.readouterr().err.splitlines()[-1]


def test_a_list_of_attributes_of_another_training_is_refused(tmp_path: Path) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    assert run(corpus, tmp_path, "transformer", attributes={"count": 3}, epochs=1) == 0
    folder = tmp_path / "captioner"
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / ATTRIBUTES).write_text('{"attributes": [{"word": "ball", "count": 3}]}')
    manifest["files"][ATTRIBUTES] = {
        "sha256": sha256(folder / ATTRIBUTES),
        "bytes": (folder / ATTRIBUTES).stat().st_size,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PipelineError, match=r"attributes\.json has 1"):
        load(tmp_path)


def test_the_learning_rate_falls_by_its_factor_down_to_its_minimum() -> None:
    settings = {"features": ["toy"], "lr": 0.1, "lr_decay": 0.5, "lr_min": 0.03}
    entry = CaptionerEntry.parse(settings, "train_captioner.x").root
    assert [entry.learning_rate(epoch) for epoch in (1, 2, 3, 9)] == pytest.approx([0.1, 0.05, 0.03, 0.03])
    constant = CaptionerEntry.parse({"features": ["toy"], "lr": 0.1}, "train_captioner.x").root
    assert {constant.learning_rate(epoch) for epoch in (1, 2, 100)} == {0.1}


TABLE_4 = [(visual, text, sparse) for visual in (False, True) for text in (False, True) for sparse in (False, True)]


@pytest.mark.parametrize(("visual", "text", "sparse"), TABLE_4)
def test_all_objectives_of_table_4_can_be_trained(tmp_path: Path, visual: bool, text: bool, sparse: bool) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 3})
    block = {"visual": visual, "text": text, "sparse_sampling": sparse, "count": 3} if visual or text else None
    assert run(corpus, tmp_path, "transformer", attributes=block, epochs=1) == 0
    terms = {name for name in metrics(tmp_path)[0] if name.endswith("_attributes")}
    assert terms == {f"loss_{side}_attributes" for side, on in (("visual", visual), ("text", text)) if on}
