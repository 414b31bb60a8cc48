"""Confidence intervals: how far the scores would move if other videos of the same kind had been drawn."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

SEED = 0
LEVEL = 95
CELLS = 1_000_000
"""So many weights are held at a time, 8 MB."""


def draw(videos: int, draws: int) -> Iterator[Int[np.ndarray, "some videos"]]:
    """How often each video is taken when as many as there are are drawn with replacement; the same in every run.

    Yields:
        The draws, some at a time.
    """
    generator = np.random.default_rng(SEED)
    at_once = max(1, CELLS // videos)
    for start in range(0, draws, at_once):
        some = min(at_once, draws - start)
        taken = generator.integers(videos, size=(some, videos)) + videos * np.arange(some)[:, None]
        yield np.bincount(taken.ravel(), minlength=some * videos).reshape(some, videos)


def interval(values: Float[np.ndarray, " draws"]) -> list[float]:
    """The range that holds the middle 95 % of the values (the percentile interval)."""
    edge = (100 - LEVEL) / 2
    return [float(value) for value in np.percentile(values, [edge, 100 - edge])]
