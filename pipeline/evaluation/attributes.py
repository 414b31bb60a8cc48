"""Predicted attributes of clips: mean average precision and F1 of the first k (Yang et al., 2022, section 4).

Ties: of equally probable attributes, the one with the smaller index ranks first. CLIP-Captioner clamps probabilities to
[0.01, 0.99] before it ranks them, so that saturated attributes tie, and sorts without a rule for ties: rank
probabilities that are not clamped.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

REFERENCE_HITS = 0.001
"""What CLIP-Captioner counts instead of no hit, so that its F1 is never 0."""


def rank_attributes(probabilities: Float[np.ndarray, "clips attributes"]) -> Int[np.ndarray, "clips attributes"]:
    """Return the attributes of each clip, the most probable one first; of equal ones, the smaller index first."""
    order: Int[np.ndarray, "clips attributes"] = np.argsort(-probabilities, axis=1, kind="stable")
    return order


def average_precision(
    probabilities: Float[np.ndarray, "clips attributes"], labels: Bool[np.ndarray, "clips attributes"]
) -> Float[np.ndarray, " clips"]:
    """Compute the average precision of each clip, in [0, 1]; NaN for a clip without attributes.

    It is the mean over the clip's attributes of the precision at the rank of the attribute.
    """
    hits = np.take_along_axis(labels, rank_attributes(probabilities), axis=1)
    precision = hits.cumsum(axis=1) / np.arange(1, labels.shape[1] + 1)
    count = labels.sum(axis=1)
    return np.divide((precision * hits).sum(axis=1), count, out=np.full(len(labels), np.nan), where=count > 0)


def f1_at(
    probabilities: Float[np.ndarray, "clips attributes"],
    labels: Bool[np.ndarray, "clips attributes"],
    k: int,
    *,
    no_hits: float = 0.0,
) -> Float[np.ndarray, " clips"]:
    """Compute F1 of the k most probable attributes of each clip, in [0, 1]; NaN for a clip without attributes.

    Args:
        probabilities: of each attribute.
        labels: whether an attribute is in a caption of the clip.
        k: number of attributes that count as predicted.
        no_hits: what counts instead of no hit; `REFERENCE_HITS` for the numbers of CLIP-Captioner.
    """
    hits = np.take_along_axis(labels, rank_attributes(probabilities)[:, :k], axis=1).sum(axis=1).astype(np.float64)
    hits[hits == 0] = no_hits
    count = labels.sum(axis=1)
    # 2 P R / (P + R) with P = hits / k and R = hits / count.
    return np.divide(2 * hits, k + count, out=np.full(len(labels), np.nan), where=count > 0)


def score_attributes(
    probabilities: Float[np.ndarray, "clips attributes"],
    labels: Bool[np.ndarray, "clips attributes"],
    ks: Sequence[int] = (10, 20, 30, 40, 50),
) -> dict[str, float | int]:
    """Compute the means over the clips that have an attribute.

    Returns:
        mAP; F1@k for each k of at most the number of attributes; n_clips, n_clips_without, the clips without any of the
        attributes, which do not count. Without clips that count, all scores are 0.
    """
    has_any = labels.any(axis=1)
    labelled, truth = probabilities[has_any], labels[has_any]
    scores = {"mAP": average_precision(labelled, truth)}
    scores |= {f"F1@{k}": f1_at(labelled, truth, k) for k in ks if k <= labels.shape[1]}
    return {
        **{name: float(values.mean()) if len(values) else 0.0 for name, values in scores.items()},
        "n_clips": len(labelled),
        "n_clips_without": int((~has_any).sum()),
    }


def label_attributes(
    captions: Sequence[Sequence[Sequence[str]]], attributes: Sequence[str]
) -> Bool[np.ndarray, "clips attributes"]:
    """Return which attributes any caption of each clip names.

    Args:
        captions: words of each caption of each clip.
        attributes: words, each once.
    """
    index = {word: number for number, word in enumerate(attributes)}
    labels = np.zeros((len(captions), len(attributes)), dtype=bool)
    for row, of_clip in enumerate(captions):
        labels[row, [index[word] for words in of_clip for word in words if word in index]] = True
    return labels
