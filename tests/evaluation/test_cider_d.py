"""CIDEr-D with the document frequencies of a fixed corpus."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.cider import cider
from pipeline.evaluation.cider_d import CiderD

sentences = st.lists(st.sampled_from("abcde"), min_size=2, max_size=9).map(" ".join)


@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=6))
def test_cider_d_with_the_references_as_corpus_equals_cider(pairs: list[tuple[str, str]]) -> None:
    scores = CiderD(reference for _, reference in pairs).score(pairs)
    assert sum(scores) / len(scores) == pytest.approx(cider([pairs])[0], abs=1e-9)


def test_cider_d_of_a_pair_does_not_depend_on_other_pairs() -> None:
    metric = CiderD(["a man runs 0", "a dog runs 0", "a cat sleeps 0"])
    pairs = [("a man runs 0", "a man runs 0"), ("a dog", "a dog runs 0"), ("", "a cat sleeps 0")]
    assert metric.score(pairs) == [metric.score([pair])[0] for pair in pairs]


def test_cider_d_weights_are_those_of_the_corpus() -> None:
    """By hand: of one word each, so that only n = 1 counts, a quarter of the whole; lengths are equal."""
    metric = CiderD(["man runs", "man sits", "dog runs", "man jumps"])
    man, sits, runs, unknown = math.log(4 / 3), math.log(4), math.log(2), math.log(4)
    assert metric.score([("man sits", "sits man")]) == [pytest.approx(2.5)]
    expected = 2.5 * man**2 / math.hypot(man, runs) / math.hypot(man, sits)
    assert metric.score([("man runs", "sits man")]) == [pytest.approx(expected)]
    expected = 2.5 * man**2 / math.hypot(man, unknown) / math.hypot(man, sits)
    assert metric.score([("man swims", "sits man")]) == [pytest.approx(expected)]


def test_cider_d_of_an_empty_side_is_0() -> None:
    metric = CiderD([])
    assert metric.score([("", ""), ("a", ""), ("", "a"), ("a", "a")]) == [0, 0, 0, 0]
