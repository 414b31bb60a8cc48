"""Confidence intervals by the percentile bootstrap over videos, for one result and for paired comparisons.

An interval tells how far a mean would move if other videos of the same kind had been drawn. It says nothing of other
training seeds: for these, compare the means of several datasets (`by_seed`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

SEED = 0
LEVEL = 95
"""Coverage of the intervals, percent."""
MAX_CELLS = 1_000_000
"""How many weights are in memory at a time: 8 MB."""

PerVideo = Float[np.ndarray, "_"]
"""One number for each video of a dataset."""


def draw_bootstrap_weights(num_videos: int, num_draws: int) -> Iterator[Int[np.ndarray, "chunk videos"]]:
    """Draw `num_videos` videos with replacement, `num_draws` times; the same draws in every run.

    Yields:
        How often each draw has each video, in chunks of draws.
    """
    generator = np.random.default_rng(SEED)
    chunk_size = max(1, MAX_CELLS // num_videos)
    for start in range(0, num_draws, chunk_size):
        count = min(chunk_size, num_draws - start)
        drawn = generator.integers(num_videos, size=(count, num_videos)) + num_videos * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * num_videos).reshape(count, num_videos)


def percentile_interval(values: Float[np.ndarray, " draws"]) -> list[float]:
    """Compute the interval that holds the middle 95 % of the values."""
    tail = (100 - LEVEL) / 2
    return [float(value) for value in np.percentile(values, [tail, 100 - tail])]


def mean_with_ci(datasets: Sequence[PerVideo], num_draws: int) -> dict[str, Any]:
    """Compute the mean over datasets of the mean over videos, with its interval.

    Each draw resamples the videos of each dataset independently.

    Args:
        datasets: values of each dataset's videos; to compare two systems, the differences of their values.
        num_draws: draws of the bootstrap; 0 leaves the interval out.

    Returns:
        mean, interval (95 %), by_seed (the mean of each dataset).
    """
    means = [float(values.mean()) for values in datasets]
    result: dict[str, Any] = {"mean": float(np.mean(means)), "by_seed": means}
    if num_draws:
        draws = [_bootstrap_means(values, num_draws, number) for number, values in enumerate(datasets)]
        result["interval"] = percentile_interval(np.mean(draws, axis=0))
    return result


def _bootstrap_means(values: PerVideo, num_draws: int, dataset: int) -> Float[np.ndarray, " draws"]:
    """Compute the means of resampled videos; the same draws in every run, other draws for each dataset."""
    drawn = np.random.default_rng([SEED, dataset]).integers(len(values), size=(num_draws, len(values)))
    means: Float[np.ndarray, " draws"] = values[drawn].mean(axis=1)
    return means


def mean_by_seed(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Compute the mean of one value per dataset; None where a dataset has no value."""
    present = [value for value in values if value is not None]
    return {"mean": float(np.mean(present)), "by_seed": list(values)} if len(present) == len(values) else None


def difference_by_seed(first: dict[str, Any] | None, second: dict[str, Any] | None) -> dict[str, Any] | None:
    """Compute `mean_by_seed` of the differences of two of its results; None where one of them is None."""
    if first is None or second is None:
        return None
    return mean_by_seed([a - b for a, b in zip(first["by_seed"], second["by_seed"], strict=True)])
