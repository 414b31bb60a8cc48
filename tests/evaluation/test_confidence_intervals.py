"""Confidence intervals: reproducible, and as wide as theory predicts; means over datasets; paired differences."""

import numpy as np
import pytest

from pipeline.evaluation.confidence_intervals import (
    difference_by_seed,
    draw_bootstrap_weights,
    mean_by_seed,
    mean_with_ci,
    percentile_interval,
)

GENERATOR = np.random.default_rng(0)


def test_draw_bootstrap_weights_draws_as_many_videos_as_there_are_and_is_reproducible() -> None:
    weights = np.concatenate(list(draw_bootstrap_weights(7, 50)))
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert len(np.unique(weights, axis=0)) > 40
    np.testing.assert_array_equal(weights, np.concatenate(list(draw_bootstrap_weights(7, 50))))


def test_draw_bootstrap_weights_yields_many_draws_in_chunks() -> None:
    chunks = list(draw_bootstrap_weights(30_000, 100))
    assert len(chunks) > 2
    assert sum(len(chunk) for chunk in chunks) == 100
    assert all((chunk.sum(axis=1) == 30_000).all() for chunk in chunks)


def test_percentile_interval_of_a_mean_is_two_standard_errors_to_each_side() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    low, high = percentile_interval(np.concatenate(list(draw_bootstrap_weights(400, 2000))) @ values / 400)
    error = values.std() / 20
    np.testing.assert_allclose([low, high], values.mean() + 1.96 * error * np.array([-1, 1]), atol=0.1 * error * 2)


def test_percentile_interval_of_equal_values_has_no_width() -> None:
    assert percentile_interval(np.full(100, 0.25)) == [0.25, 0.25]


def test_mean_with_ci_of_equal_systems_is_0() -> None:
    result = mean_with_ci([np.zeros(7), np.zeros(5)], 200)
    assert result == {"mean": 0.0, "by_seed": [0.0, 0.0], "interval": [0.0, 0.0]}


def test_mean_with_ci_gives_datasets_of_any_size_equal_weight() -> None:
    result = mean_with_ci([np.full(2, 1.0), np.full(50, 4.0)], 100)
    assert (result["mean"], result["by_seed"], result["interval"]) == (2.5, [1.0, 4.0], [2.5, 2.5])


def test_mean_with_ci_draws_each_dataset_independently() -> None:
    datasets = [GENERATOR.normal(size=400) for _ in range(4)]
    low, high = mean_with_ci(datasets, 2000)["interval"]
    error = np.sqrt(sum(values.var() / 400 for values in datasets)) / 4
    # Equal draws in all datasets would make the interval twice as wide.
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_mean_with_ci_of_paired_differences_is_narrow() -> None:
    easy = 10 * GENERATOR.normal(size=100)
    system, baseline = easy + 1 + 0.1 * GENERATOR.normal(size=100), easy
    low, high = mean_with_ci([system - baseline], 500)["interval"]
    assert 0.9 < low < high < 1.1


def test_mean_with_ci_without_draws_has_no_interval() -> None:
    assert "interval" not in mean_with_ci([np.ones(3)], 0)


def test_difference_by_seed_pairs_datasets() -> None:
    first, second = mean_by_seed([0.5, 0.75]), mean_by_seed([0.25, 1.0])
    assert first == {"mean": 0.625, "by_seed": [0.5, 0.75]}
    assert difference_by_seed(first, second) == {"mean": 0.0, "by_seed": [0.25, -0.25]}
    assert mean_by_seed([0.5, None]) is None
    assert difference_by_seed(first, None) is None
