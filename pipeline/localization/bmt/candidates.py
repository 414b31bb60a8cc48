"""From the predictions of the proposal generator to scored segments (Iashin and Rahtu, 2020, section 3.3)."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.datasets.tiou import tiou_matrix
from pipeline.localization.bmt.network import CENTRE, LENGTH, OBJECT
from pipeline.localization.bmt.targets import RowTimes
from pipeline.localization.nms import Candidates

MIN_LENGTH_S = 0.2
"""A candidate is longer than this [s], after it is clipped to the video."""


def decode_predictions(
    predictions: Float[Tensor, "heads anchors rows 3"], times: RowTimes, anchors: Float[Tensor, " anchors"]
) -> Float[Tensor, "predictions 3"]:
    """Decode the predictions of one video and stream: centre [s], length [s], score from 0 to 1.

    Args:
        predictions: output of the network.
        times: of the rows.
        anchors: lengths [s].
    """
    rows = torch.arange(predictions.shape[2], device=predictions.device)
    centre = times.start + (predictions[..., CENTRE].sigmoid() + rows) * times.stride
    length = anchors[:, None] * predictions[..., LENGTH].exp()
    return torch.stack([centre, length, predictions[..., OBJECT].sigmoid()], -1).flatten(0, 2)


def clip_predictions(
    predictions: Float[np.ndarray, "predictions 3"], duration: float
) -> Float[np.ndarray, "predictions 3"]:
    """Return start [s], end [s] and score of decoded predictions, clipped to the video."""
    centre, length, score = predictions.T
    ends = np.stack([centre - length / 2, centre + length / 2], 1).clip(0, duration)
    return np.column_stack([ends, score])


def select_best(segments: Float[np.ndarray, "segments 3"], count: int) -> Float[np.ndarray, "best 3"]:
    """Return the segments with the highest scores, best first; of equal ones, the first."""
    return segments[np.argsort(-segments[:, 2], kind="stable")[:count]]


def is_long(segments: Float[np.ndarray, "segments 3"]) -> np.ndarray:
    """Return which segments are longer than `MIN_LENGTH_S`."""
    is_longer: np.ndarray = segments[:, 1] - segments[:, 0] > MIN_LENGTH_S
    return is_longer


def suppress_overlaps(segments: Float[np.ndarray, "segments 3"], max_tiou: float) -> Float[np.ndarray, "best 3"]:
    """Drop every segment whose tIoU with a better one that stays is `max_tiou` or more.

    Args:
        segments: start, end and score, best first.
        max_tiou: from 0 to 1.
    """
    tious = tiou_matrix(segments[:, :2], segments[:, :2])
    stays: list[int] = []
    for index in range(len(segments)):
        if (tious[index, stays] < max_tiou).all():
            stays.append(index)
    return segments[stays]


def select_candidates(
    predictions: Float[np.ndarray, "predictions 3"], duration: float, count: int, max_tiou: float | None
) -> Candidates:
    """Select the candidates of one video, at least one, as published for a single video.

    In training, the published code drops short segments after it has chosen the best ones, so that fewer are left.

    Args:
        predictions: centre [s], length [s] and score.
        duration: of the video [s].
        count: how many of the best segments are considered.
        max_tiou: see `suppress_overlaps`; None: overlaps stay.
    """
    segments = clip_predictions(predictions, duration)
    if not is_long(segments).any():
        return Candidates(np.array([[0.0, duration]]), segments[:, 2].max(keepdims=True))
    best = select_best(segments[is_long(segments)], count)
    if max_tiou is not None:
        best = suppress_overlaps(best, max_tiou)
    return Candidates(best[:, :2], best[:, 2])
