"""Confidence intervals: how far the scores would move if other videos of the same kind had been drawn."""

import numpy as np
from jaxtyping import Float, Int

SEED = 0
LEVEL = 95


def draw(videos: int, draws: int) -> Int[np.ndarray, "draws videos"]:
    """How often each video is taken when as many as there are are drawn with replacement; the same in every run."""
    taken = np.random.default_rng(SEED).integers(videos, size=(draws, videos))
    row = videos * np.arange(draws)[:, None]
    return np.bincount((row + taken).ravel(), minlength=draws * videos).reshape(draws, videos)


def interval(values: Float[np.ndarray, " draws"]) -> list[float]:
    """The range that holds the middle 95 % of the values (the percentile interval)."""
    edge = (100 - LEVEL) / 2
    return [float(value) for value in np.percentile(values, [edge, 100 - edge])]
