"""Words and their ids."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.vocabulary import END, UNK, Vocabulary
from pipeline.errors import PipelineError

KNOWN = Vocabulary(["a", "ball", "man's"])


def test_words_get_ids_after_end_and_unknown() -> None:
    assert KNOWN.encode("A man's Ball, a kite!", 10) == [2, 4, 3, 2, UNK]
    assert KNOWN.size == 5


def test_sentences_are_cut() -> None:
    assert KNOWN.encode("a a a a", 3) == [2, 2, 2]


def test_captions_stop_at_their_end() -> None:
    assert KNOWN.decode([2, 3, END, 3]) == "a ball"
    assert KNOWN.decode([END]) == ""


def test_no_caption_holds_an_unknown_word() -> None:
    with pytest.raises(ValueError, match="UNK"):
        KNOWN.decode([2, UNK])


@given(st.lists(st.integers(2, 4)))
def test_what_is_decoded_encodes_to_the_same(ids: list[int]) -> None:
    assert KNOWN.encode(KNOWN.decode(ids), len(ids)) == ids


def test_the_digest_knows_the_order() -> None:
    assert Vocabulary(["a", "ball"]).digest != Vocabulary(["ball", "a"]).digest
    assert Vocabulary(["a", "ball"]).digest == Vocabulary(["a", "ball"]).digest


def test_it_is_read_from_what_mining_writes(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps({"min_count": 4, "words": ["a", "ball", "man's"]}))
    assert Vocabulary.read(path).words == KNOWN.words


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (["a"], "not a vocabulary"),
        ({"words": [1]}, "not a vocabulary"),
        ({"words": []}, "min_count"),
        ({"words": ["a", "a"]}, "twice"),
        ({"words": ["two words"]}, "'two words' is no single"),
        ({"words": ["Upper"]}, "'Upper' is no single"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, content: object, complaint: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps(content))
    with pytest.raises(PipelineError, match=complaint) as caught:
        Vocabulary.read(path)
    assert str(path) in str(caught.value)
