"""Means over corpora, and paired differences."""

import numpy as np
import pytest

from pipeline.evaluation.comparison import difference, plain, spread

DRAW = np.random.default_rng(0)


def test_equal_systems_differ_by_nothing_whatever_is_drawn() -> None:
    found = spread([np.zeros(7), np.zeros(5)], 200)
    assert found == {"mean": 0.0, "by_seed": [0.0, 0.0], "interval": [0.0, 0.0]}


def test_every_corpus_counts_alike_however_many_videos_it_has() -> None:
    found = spread([np.full(2, 1.0), np.full(50, 4.0)], 100)
    assert (found["mean"], found["by_seed"], found["interval"]) == (2.5, [1.0, 4.0], [2.5, 2.5])


def test_the_interval_is_as_wide_as_the_normal_one_and_corpora_are_drawn_apart() -> None:
    corpora = [DRAW.normal(size=400) for _ in range(4)]
    low, high = spread(corpora, 2000)["interval"]
    error = np.sqrt(sum(values.var() / 400 for values in corpora)) / 4
    # Draws that went along with one another in all corpora would make it twice as wide.
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_pairing_takes_out_what_both_systems_share() -> None:
    easy = 10 * DRAW.normal(size=100)
    one, other = easy + 1 + 0.1 * DRAW.normal(size=100), easy
    low, high = spread([one - other], 500)["interval"]
    assert 0.9 < low < high < 1.1


def test_without_draws_there_is_no_interval() -> None:
    assert "interval" not in spread([np.ones(3)], 0)


def test_numbers_of_whole_corpora_are_compared_corpus_by_corpus() -> None:
    one, other = plain([0.5, 0.75]), plain([0.25, 1.0])
    assert one == {"mean": 0.625, "by_seed": [0.5, 0.75]}
    assert difference(one, other) == {"mean": 0.0, "by_seed": [0.25, -0.25]}
    assert plain([0.5, None]) is None
    assert difference(one, None) is None
