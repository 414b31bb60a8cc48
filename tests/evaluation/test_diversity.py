"""Diversity of captions, by hand and by properties: the golden numbers (clip_dap.json, VATEX) lack their captions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.diversity import BAD_ENDINGS, diversity

CAPTIONS = {
    "v_a": ["a man runs", "a man runs", "the dog runs on the"],
    "v_b": ["a dog cuts 1\u00a01/2 apples", ""],
    "v_c": [],
}

captions = st.dictionaries(
    st.sampled_from(["v_a", "v_b", "v_c"]),
    st.lists(st.sampled_from(["a man runs", "a man", "the dog runs with", "dog", ""]), max_size=4),
)


def test_diversity_by_hand() -> None:
    assert diversity(CAPTIONS, ["a man runs", "something else"]) == pytest.approx(
        {
            "n_captions": 5,
            "unique": 4 / 5,
            "novel": 3 / 5,
            "vocabulary": 9,  # a man runs the dog on cuts 1 1/2 apples
            "mean_length": (3 + 3 + 5 + 5 + 0) / 5,
            "bad_endings": 2 / 5,  # `the`, and the empty one
        }
    )


def test_diversity_without_training_captions_has_no_novel() -> None:
    assert diversity(CAPTIONS, None) == {
        name: value for name, value in diversity(CAPTIONS, []).items() if name != "novel"
    }


def test_diversity_of_no_captions_is_0() -> None:
    assert set(diversity({"v_a": []}, ["a man"]).values()) == {0}


@pytest.mark.parametrize(
    "caption", ["he walks in", "they ride on", "he gets up", "they skate for a while", "a car drives by"]
)
def test_words_that_can_end_a_sentence_are_not_bad_endings(caption: str) -> None:
    assert diversity({"v_a": [caption]}, None)["bad_endings"] == 0


@pytest.mark.parametrize("caption", ["he walks to the", "a man and", "a group of", "the man is", "he walks into"])
def test_incomplete_sentences_have_bad_endings(caption: str) -> None:
    assert diversity({"v_a": [caption]}, None)["bad_endings"] == 1


def test_bad_endings_depend_on_the_last_word_only() -> None:
    assert diversity({"v_a": [f"{word} man" for word in BAD_ENDINGS]}, None)["bad_endings"] == 0


@given(captions, st.sets(st.sampled_from(["a man", "dog", "nothing"])))
def test_diversity_is_between_its_bounds(captions_of: dict[str, list[str]], training: set[str]) -> None:
    got = diversity(captions_of, training)
    assert 0 <= got["novel"] <= got["unique"] <= 1
    assert 0 <= got["bad_endings"] <= 1
    assert diversity(captions_of, [])["novel"] == got["unique"]
    assert diversity(captions_of, {text for texts in captions_of.values() for text in texts})["novel"] == 0


@given(captions)
def test_repeating_all_captions_halves_unique_and_novel(captions_of: dict[str, list[str]]) -> None:
    once, twice = diversity(captions_of, []), diversity({video: texts * 2 for video, texts in captions_of.items()}, [])
    for name, factor in (("n_captions", 2), ("unique", 0.5), ("novel", 0.5), ("vocabulary", 1), ("mean_length", 1)):
        assert twice[name] == pytest.approx(factor * once[name])
