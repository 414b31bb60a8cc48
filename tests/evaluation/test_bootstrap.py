"""Intervals: reproducible, and as wide as theory says where theory says it."""

import numpy as np

from pipeline.evaluation.bootstrap import draw, interval


def test_every_draw_takes_as_many_videos_as_there_are_and_is_the_same_again() -> None:
    weights = np.concatenate(list(draw(7, 50)))
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert len(np.unique(weights, axis=0)) > 40
    np.testing.assert_array_equal(weights, np.concatenate(list(draw(7, 50))))


def test_many_draws_come_in_pieces() -> None:
    pieces = list(draw(30_000, 100))
    assert len(pieces) > 2
    assert sum(len(piece) for piece in pieces) == 100
    assert all((piece.sum(axis=1) == 30_000).all() for piece in pieces)


def test_the_interval_of_a_mean_is_two_standard_errors_to_each_side() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    low, high = interval(np.concatenate(list(draw(400, 2000))) @ values / 400)
    error = values.std() / 20
    np.testing.assert_allclose([low, high], values.mean() + 1.96 * error * np.array([-1, 1]), atol=0.1 * error * 2)


def test_equal_values_leave_no_doubt() -> None:
    assert interval(np.full(100, 0.25)) == [0.25, 0.25]
