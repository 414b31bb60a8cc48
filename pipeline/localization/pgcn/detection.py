"""From the raw scores of proposals to detections (Zeng et al., 2019, section 3.4).

The score of a proposal for a class is the softmax of its activity times the exponential of its completeness. The best
pairs of a proposal and a class are kept; non-maximum suppression within each class thins them out, by the times of the
proposals; then the regression moves their boundaries.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from pipeline.datasets.tiou import tiou_matrix
from pipeline.localization.localizer import Detections

Segments = Float[np.ndarray, "proposals 2"]


class PgcnDetection(NamedTuple):
    """How detections are selected.

    Attributes:
        max_pairs: how many pairs of a proposal and a class are kept in a video.
        nms_tiou: of two detections of a class with a higher tIoU, the better one stays.
        regress: move the boundaries.
    """

    max_pairs: int
    nms_tiou: float
    regress: bool = True


def detect_in_video(
    segments: Segments,
    activity: Float[np.ndarray, "proposals classes1"],
    completeness: Float[np.ndarray, "proposals classes"],
    regression: Float[np.ndarray, "proposals classes 2"],
    duration: float,
    settings: PgcnDetection,
) -> Detections:
    """Detect the actions of a video.

    Args:
        segments: start and end of the proposals.
        activity: logits; class 0 is the background.
        completeness: of each class without the background.
        regression: shift of the centre by the length and logarithm of the ratio of lengths, for each class without the
            background; not standardised.
        duration: of the video, in the unit of the segments.
        settings: how detections are selected.

    Returns:
        Detections within the video, best first. Those that the regression moves out of the video are left out.
    """
    scores = score_pairs(activity, completeness)
    order = np.argsort(-scores.ravel(), kind="stable")[: settings.max_pairs]
    proposals, labels = np.unravel_index(order, scores.shape)
    rows = np.concatenate(
        [
            np.flatnonzero(labels == label)[suppress(segments[proposals[labels == label]], settings.nms_tiou)]
            for label in np.unique(labels)
        ]
    )
    rows.sort()  # best first
    proposals, labels = proposals[rows], labels[rows]
    times = segments[proposals]
    if settings.regress:
        times = apply_regression(times, regression[proposals, labels])
    times = np.clip(times, 0.0, duration)
    inside = times[:, 0] < times[:, 1]
    return Detections(times[inside], scores[proposals, labels][inside], labels[inside].astype(np.int64))


def score_pairs(
    activity: Float[np.ndarray, "proposals classes1"], completeness: Float[np.ndarray, "proposals classes"]
) -> Float[np.ndarray, "proposals classes"]:
    """Compute the score of each proposal for each class without the background."""
    exponential = np.exp(activity.astype(np.float64) - activity.max(1, keepdims=True))
    probability = exponential / exponential.sum(1, keepdims=True)
    return probability[:, 1:] * np.exp(completeness.astype(np.float64))


def suppress(segments: Float[np.ndarray, "ranked 2"], max_tiou: float) -> Int64[np.ndarray, " kept"]:
    """Return the segments that no better one overlaps too much (non-maximum suppression).

    Args:
        segments: start and end, best first.
        max_tiou: a segment goes if a better one that stays has a higher tIoU with it.
    """
    tious = tiou_matrix(segments, segments)
    survivors: list[int] = []
    stays = np.ones(len(segments), bool)
    for index in range(len(segments)):
        if stays[index]:
            survivors.append(index)
            stays &= tious[index] <= max_tiou
    return np.array(survivors, np.int64)


def apply_regression(segments: Segments, targets: Float[np.ndarray, "proposals 2"]) -> Segments:
    """Move and stretch segments.

    Args:
        segments: start and end.
        targets: shift of the centre by the length, and logarithm of the ratio of lengths.
    """
    length = segments[:, 1] - segments[:, 0]
    centre = segments.mean(1) + length * targets[:, 0]
    half = length * np.exp(targets[:, 1]) / 2
    return np.stack([centre - half, centre + half], 1)
