"""Means over several corpora, and differences of two systems on the same videos, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.evaluation.bootstrap import SEED, interval

PerVideo = Float[np.ndarray, "_"]
"""One number for each video of a corpus."""


def spread(corpora: Sequence[PerVideo], draws: int) -> dict[str, Any]:
    """The mean over corpora of the mean over videos.

    Its interval is by the percentile bootstrap: videos are drawn anew within each corpus, each corpus by itself. So it
    tells what other videos would have changed, not what other beginnings would have; of that, the means of the single
    corpora give an idea.

    Args:
        corpora: numbers of each corpus' videos; to compare two systems, the differences of theirs.
        draws: of the bootstrap; 0 leaves the interval out.

    Returns:
        mean, interval (95 %), by_seed (the mean of each corpus).
    """
    means = [float(values.mean()) for values in corpora]
    found: dict[str, Any] = {"mean": float(np.mean(means)), "by_seed": means}
    if draws:
        drawn = [_drawn(values, draws, number) for number, values in enumerate(corpora)]
        found["interval"] = interval(np.mean(drawn, axis=0))
    return found


def _drawn(values: PerVideo, draws: int, corpus: int) -> Float[np.ndarray, " draws"]:
    """Means over as many videos as there are, drawn with replacement; the same in every run, others for each corpus."""
    taken = np.random.default_rng([SEED, corpus]).integers(len(values), size=(draws, len(values)))
    means: Float[np.ndarray, " draws"] = values[taken].mean(axis=1)
    return means


def plain(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Mean of one number for each corpus; None where a corpus has none."""
    known = [value for value in values if value is not None]
    return {"mean": float(np.mean(known)), "by_seed": list(values)} if len(known) == len(values) else None


def difference(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """What `plain` gives for the differences of two of its results, corpus by corpus."""
    if one is None or other is None:
        return None
    return plain([a - b for a, b in zip(one["by_seed"], other["by_seed"], strict=True)])
