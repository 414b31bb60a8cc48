"""The bi-modal transformer in the stages: trained, finetuned, applied; videos without sound; its own vocabulary."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.caption_corpus import (
    CaptionCorpus,
    FakeMeteor,
    fake_tokenize,
    interrupt_in_call,
    write_caption_corpus,
)

from pipeline import finetune_scst, generate_captions, train_captioner
from pipeline.captioning.bundle import load_captioner
from pipeline.captioning.shared_training import CaptionerTrainer
from pipeline.evaluation.meteor.formula import MeteorScorer, Pair, Stats
from pipeline.io.atomic import read_json, sha256
from pipeline.localization.proposals import Proposal, write_proposals
from pipeline.provenance.manifest import read_manifest

CONFIG = {
    "architecture": "bmt",
    "features": {"visual": ["toy"], "audio": ["audio"]},
    **{"hidden": 16, "embedding": 12, "dropout": 0.1, "lr": 0.01, "batch_videos": 4, "max_words": 6},
}


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in (train_captioner, finetune_scst):
        monkeypatch.setattr(stage, "tokenize", fake_tokenize)
    monkeypatch.setattr(train_captioner, "Meteor", FakeMeteor)


@pytest.fixture
def corpus(tmp_path: Path) -> CaptionCorpus:
    written = write_caption_corpus(tmp_path, {"train": 6, "val": 2, "test": 2})
    written.add_audio(reject=["v_train1", "v_test1"])
    return written


def train(corpus: CaptionCorpus, folder: Path, **config: object) -> int:
    text = json.dumps({**CONFIG, "selection": "last", "epochs": 2, **config})
    paths = ["--state", str(folder / "state"), "--output", str(folder / "xe" / "manifest.json")]
    return train_captioner.main(["--config", text, *corpus.arguments(), "--vocabulary", str(corpus.vocabulary), *paths])


def caption(corpus: CaptionCorpus, folder: Path, captioner: Path, **config: object) -> dict[str, list[str]]:
    proposals, output = folder / "proposals.json", folder / "captions.json"
    write_proposals(
        proposals, {video: [Proposal(1.0, 3.0, 1.0), Proposal(4.0, 7.0, 1.0)] for video in ("v_test0", "v_test1")}, {}
    )
    inputs = ["--captioner", str(captioner), "--proposals", str(proposals), "--split", "test"]
    settings = ["--config", json.dumps(config), "--output", str(output)]
    assert generate_captions.main([*settings, *corpus.arguments(), *inputs]) == 0
    results = read_json(output)["results"]
    return {video: [row["sentence"] for row in rows] for video, rows in results.items()}


def test_a_trained_captioner_is_finetuned_and_captions_by_beam_search(
    corpus: CaptionCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(corpus, tmp_path, selection="meteor", word_vectors=None) == 0
    metadata = read_manifest(tmp_path / "xe" / "manifest.json").metadata
    assert metadata["sizes"]["streams"] == {"visual": 6, "audio": 3}
    assert metadata["word_vectors"] == "none: the embedding is learned"
    monkeypatch.setattr(finetune_scst, "Meteor", ConstantMeteor)
    output = tmp_path / "scst" / "manifest.json"
    words = ["--state", str(tmp_path / "scst-state"), "--output", str(output)]
    scst = {"epochs": 1, "selection": "last", "baseline": "samples", "samples": 2, "lr": 0.01, "splits": ["train"]}
    inputs = [*corpus.arguments(), "--captioner", str(tmp_path / "xe" / "manifest.json")]
    assert finetune_scst.main(["--config", json.dumps(scst), *inputs, *words]) == 0
    assert read_manifest(output).metadata["word_vectors"] == metadata["word_vectors"]
    captions = caption(corpus, tmp_path, output, decoding="beam", beam=3)
    assert set(captions) == {"v_test0"}, "v_test1 has no sound"
    assert all(captions["v_test0"])


class ConstantMeteor(MeteorScorer):
    """Returns the same score for all captions."""

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        return np.ones((len(pairs), 23))


def test_a_stopped_run_continues_with_the_same_result(
    corpus: CaptionCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("".join(f"{word} {' '.join('0.5' for _ in range(12))}\n" for word in ("a", "ball", "red")))
    settings = {"word_vectors": str(vectors), "vocabulary": {"word_split": "english", "min_count": 1}, "epochs": 3}
    assert train(corpus, tmp_path / "undisturbed", **settings) == 0
    with monkeypatch.context() as patch:
        interrupt_in_call(patch, CaptionerTrainer, "train_epoch", 2)
        with pytest.raises(KeyboardInterrupt):
            train(corpus, tmp_path / "stopped", **settings)
    assert train(corpus, tmp_path / "stopped", **settings) == 0
    for name in ("manifest.json", "model.safetensors", "metrics.jsonl", "card.md", "vocabulary.json"):
        one, other = (tmp_path / folder / "xe" / name for folder in ("undisturbed", "stopped"))
        assert sha256(one) == sha256(other), name
    manifest = tmp_path / "stopped" / "xe" / "manifest.json"
    assert read_manifest(manifest).metadata["word_vectors"]["sha256"] == sha256(vectors)
    assert sha256(vectors) in read_json(manifest.with_name("manifest.provenance.json"))["inputs"].values()
    loaded = load_captioner(manifest)
    assert loaded.vocabulary.word_split == "english"
    assert loaded.captioner.embedding.weight[2 + loaded.vocabulary.words.index("ball")].eq(0.5).all()


def test_own_vocabulary_holds_the_training_sentences_words(corpus: CaptionCorpus, tmp_path: Path) -> None:
    assert train(corpus, tmp_path, vocabulary={"word_split": "english", "min_count": 1}, epochs=1) == 0
    bundle = load_captioner(tmp_path / "xe" / "manifest.json")
    assert set(bundle.vocabulary.words) == {"a", "ball", "red", "blue", "rolls", "jumps"}, "the other has 'and'"


def test_videos_without_sound_have_a_row_of_zeros_if_missing_is_zeros(corpus: CaptionCorpus, tmp_path: Path) -> None:
    assert train(corpus, tmp_path, missing="zeros") == 0
    manifest = tmp_path / "xe" / "manifest.json"
    assert read_manifest(manifest).metadata["combination"]["audio"]["missing_videos"] == {"audio": 2}
    captions = caption(corpus, tmp_path, manifest)
    assert set(captions) == {"v_test0", "v_test1"}


def test_a_stream_that_no_video_has_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2, "test": 1})
    corpus.add_audio(reject=["v_train0", "v_train1"])
    assert train(corpus, tmp_path, missing="zeros") == 2
    assert "stream audio" in capsys.readouterr().err
    assert train(corpus, tmp_path) == 2
    assert "no video of train has both captions and features" in capsys.readouterr().err


def test_absent_word_vectors_are_one_error(
    corpus: CaptionCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(corpus, tmp_path, word_vectors=str(tmp_path / "absent.txt")) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "absent.txt" in error
