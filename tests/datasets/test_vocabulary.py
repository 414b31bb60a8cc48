"""Words and their ids."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.vocabulary import EOS, UNK, Vocabulary
from pipeline.errors import PipelineError

VOCABULARY = Vocabulary(["a", "ball", "man's"])


def test_encode_gives_ids_after_the_special_ones() -> None:
    assert VOCABULARY.encode("A man's Ball, a kite!", 10) == [2, 4, 3, 2, UNK]
    assert VOCABULARY.size == 5


def test_encode_truncates_sentences() -> None:
    assert VOCABULARY.encode("a a a a", 3) == [2, 2, 2]


def test_decode_stops_at_eos() -> None:
    assert VOCABULARY.decode([2, 3, EOS, 3]) == "a ball"
    assert VOCABULARY.decode([EOS]) == ""


def test_decode_rejects_unk() -> None:
    with pytest.raises(ValueError, match="UNK"):
        VOCABULARY.decode([2, UNK])


@given(st.lists(st.integers(2, 4)))
def test_encode_inverts_decode(ids: list[int]) -> None:
    assert VOCABULARY.encode(VOCABULARY.decode(ids), len(ids)) == ids


def test_digest_depends_on_the_order() -> None:
    assert Vocabulary(["a", "ball"]).digest != Vocabulary(["ball", "a"]).digest
    assert Vocabulary(["a", "ball"]).digest == Vocabulary(["a", "ball"]).digest


def test_read_of_the_file_that_mine_concepts_writes(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps({"min_count": 4, "words": ["a", "ball", "man's"]}))
    assert Vocabulary.read(path).words == VOCABULARY.words


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["a"], "not a vocabulary"),
        ({"words": [1]}, "not a vocabulary"),
        ({"words": []}, "min_count"),
        ({"words": ["a", "a"]}, "twice"),
        ({"words": ["two words"]}, "'two words' is not a single"),
        ({"words": ["Upper"]}, "'Upper' is not a single"),
    ],
)
def test_read_rejects_other_files(tmp_path: Path, content: object, expected: str) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps(content))
    with pytest.raises(PipelineError, match=expected) as error:
        Vocabulary.read(path)
    assert str(path) in str(error.value)
