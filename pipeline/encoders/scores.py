"""How well heads do on validation clips."""

import numpy as np
from jaxtyping import Bool, Float


def mean_average_precision(
    scores: Float[np.ndarray, "clips concepts"], shown: Bool[np.ndarray, "clips concepts"]
) -> float:
    """Mean over concepts of the average precision with which clips that show them are ranked first.

    Equal scores share one rank, so that their order does not matter. Concepts that no clip shows are left
    out.

    Args:
        scores: higher means more likely.
        shown: whether the clip shows the concept.

    Returns:
        0 to 1; 0 where no clip shows any concept.
    """
    each = [average_precision(scores[:, c], shown[:, c]) for c in np.flatnonzero(shown.any(axis=0))]
    return float(np.mean(each)) if each else 0.0


def average_precision(scores: Float[np.ndarray, "clips"], shown: Bool[np.ndarray, "clips"]) -> float:
    """Average precision of one concept, which at least one clip shows; equal scores share one rank."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(shown[order])
    last_of_rank = np.append(ranked[1:] != ranked[:-1], True)
    hits, seen = hits[last_of_rank], np.flatnonzero(last_of_rank) + 1
    return float(np.sum(np.diff(hits, prepend=0) * hits / seen) / hits[-1])
