"""English tokens and the vocabulary of the bi-modal transformer's authors, from the real sentences."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from helpers.gtad_goldens import read_golden

from pipeline.datasets.english_tokens import clean, tokenize
from pipeline.datasets.text import SPLITTERS
from pipeline.datasets.vocabulary import Vocabulary, count_vocabulary, write_vocabulary
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

SPECIAL = [" UNK ", "<blank>", "<s>", "</s>"]
"""The first four words of the published vocabulary."""


@pytest.fixture(scope="module")
def golden(shared: Path) -> Any:
    return read_golden(shared, "bmt_text_and_anchors.json")


@pytest.fixture(scope="module")
def sentences(shared: Path, golden: Any) -> list[str]:
    """The training sentences of the videos that the authors had, in the order of the file."""
    videos = read_json(shared / "data" / "activitynet_captions" / "train.json")
    missing = set(golden["missing_train_ids"])
    return [sentence for video, entry in videos.items() if video not in missing for sentence in entry["sentences"]]


def test_tokens_are_the_published_ones(golden: Any) -> None:
    for sentence, tokens in golden["tokenisation"]:
        assert tokenize(sentence) == tokens


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("He\u2019s\n 2.5  m\ttall. Then..", "He's 2.5 m tall Then"),
        ("", ""),
        ("...", ""),
    ],
)
def test_sentences_are_cleaned_as_published(sentence: str, expected: str) -> None:
    assert clean(sentence) == expected


def test_vocabulary_of_the_real_sentences_is_the_published_one(golden: Any, sentences: list[str]) -> None:
    expected = golden["vocabulary"]
    tokens = [SPLITTERS["english"](sentence) for sentence in sentences]
    assert len(sentences) == expected["training_captions"] == golden["tables"]["train"]["rows"]
    assert sum(map(len, tokens)) == expected["total_tokens"]
    assert max(map(len, tokens)) == expected["caption_length_max_median_over_30"][0]
    assert sum(len(one) > 30 for one in tokens) == expected["caption_length_max_median_over_30"][2]
    assert tokens[:3] == golden["first_3_tokens"]
    words = SPECIAL + count_vocabulary(sentences, 1, "english")
    assert len(words) == expected["size"]
    assert hashlib.sha256("\n".join(words).encode()).hexdigest() == expected["sha256_of_itos_joined_by_newline"]
    assert {index: words[int(index)] for index in expected["at_index"]} == expected["at_index"]
    ids = [[2, *map(words.index, one), 3] for one in tokens[:3]]
    assert ids == golden["numericalised_first_3"]


def test_unknown_tokens_of_validation_sentences_are_as_many_as_published(
    shared: Path, golden: Any, sentences: list[str]
) -> None:
    words = set(count_vocabulary(sentences, 1, "english"))
    videos = read_json(shared / "data" / "activitynet_captions" / "val_1.json")
    tokens = [token for entry in videos.values() for one in entry["sentences"] for token in SPLITTERS["english"](one)]
    share = sum(token not in words for token in tokens) / len(tokens)
    total, unknown = golden["vocabulary"]["val_1_tokens_and_unknown"]  # of the videos that the authors had
    assert share == pytest.approx(unknown / total, abs=0.001)


def test_a_vocabulary_of_english_tokens_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    words = count_vocabulary(["A man's dog can't jump, it won't."], 1, "english")
    write_vocabulary(path, words, 1, "english")
    vocabulary = Vocabulary.read(path)
    assert vocabulary.words == tuple(words)
    ids = vocabulary.encode("A dog can't jump", 9)
    assert vocabulary.decode(ids) == "a dog ca n't jump"
    write_vocabulary(path, ["two words"], 1, "english")
    with pytest.raises(PipelineError, match="'two words' is not a single"):
        Vocabulary.read(path)
