"""How well heads do on validation clips."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float


def mean_accuracy(found: Mapping[str, float]) -> float:
    """By what an epoch is chosen: the mean accuracy of the action and the region head (TSP, section 4.1).

    Heads that are left out, or of which validation shows nothing, have no say. Of the concepts there is no accuracy;
    an encoder that learns nothing else is chosen by their mean average precision.

    Args:
        found: metrics of a validation.
    """
    heads = [found[name] for name in ("val_action_accuracy", "val_region_accuracy") if name in found]
    return sum(heads) / len(heads) if heads else found.get("val_concept_map", 0.0)


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
