"""Targets and losses of networks that score maps of all segments, as BMN (Lin et al., 2019) and G-TAD publish them.

Where a batch has no positive examples, a published 0 / 0 in the losses is 0 here.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.datasets.tiou import tiou_matrix

BOUNDARY_RADIUS = 1.5
"""A boundary reaches this many positions to either side."""
BOUNDARY_COVERAGE = 0.5
"""A position is a positive example of a boundary above this coverage."""
CLS_IOU = 0.9
"""A segment is a positive example of the classification above this tIoU."""
POS_IOU, MID_IOU = 0.7, 0.3
"""The regression samples segments from three ranges of tIoU: above the first, between both, and below the second."""
EPSILON = 1e-6


def boundary_coverage(
    boundaries: Float[np.ndarray, " boundaries"], positions: int, anchor_width: int = 1
) -> Float[Tensor, " positions"]:
    """Compute how much of each position lies within `BOUNDARY_RADIUS` of the nearest boundary, from 0 to 1.

    Args:
        boundaries: in positions.
        positions: number of positions.
        anchor_width: position i is [i - 1/2, i - 1/2 + anchor_width]: 1 in BMN, 2 in G-TAD for ActivityNet.
    """
    first = np.arange(positions)[:, None] - 0.5
    upper = np.minimum(first + anchor_width, boundaries + BOUNDARY_RADIUS)
    lower = np.maximum(first, boundaries - BOUNDARY_RADIUS)
    coverage = np.clip(upper - lower, 0, None).max(1, initial=0) / anchor_width
    return torch.from_numpy(coverage).float()


def segment_ious(
    actions: Float[np.ndarray, "actions 2"], positions: int, max_duration: int
) -> Float[Tensor, "durations positions"]:
    """Compute the tIoU of each segment [duration, start] with its best action; 0 without actions.

    Segment [d, s] is from s to s + d + 1; it may end after the last position.

    Args:
        actions: start and end in positions.
        positions: number of positions.
        max_duration: positions of the longest segment.
    """
    duration, start = np.divmod(np.arange(max_duration * positions), positions)
    tious = tiou_matrix(np.stack([start, start + duration + 1.0], 1), actions)
    return torch.from_numpy(tious.max(1, initial=0)).float().view(max_duration, positions)


def weighted_bce(
    pred: Float[Tensor, "*shape"],
    positive: Bool[Tensor, "*shape"],
    valid: Bool[Tensor, "*shape"],
    added_count: int = 0,
) -> Float[Tensor, ""]:
    """Compute the binary cross-entropy with equal total weight for positives and negatives, however rare either is.

    Args:
        pred: probabilities.
        positive: the target.
        valid: which elements count.
        added_count: added to the numbers of positives and of negatives, so that few positives weigh less.
    """
    sides = ((positive & valid, pred), (~positive & valid, 1 - pred))
    means = [
        -((correct + EPSILON).log() * side).sum() / (side.sum() + added_count).clamp_min(1) for side, correct in sides
    ]
    return (means[0] + means[1]) / 2


def iou_regression_loss(
    pred: Float[Tensor, "videos rows columns"],
    target: Float[Tensor, "videos rows columns"],
    valid: Bool[Tensor, "rows columns"],
    draws: Float[Tensor, "2 videos rows columns"],
) -> Float[Tensor, ""]:
    """Compute half the mean squared error over segments sampled by their tIoU.

    All segments of high tIoU count, and about as many of medium and of low tIoU, sampled at random. Segments that
    overlap no action do not count.
    """
    high = (target > POS_IOU) & valid
    medium = (target > MID_IOU) & (target <= POS_IOU) & valid
    low = (target > 0) & (target <= MID_IOU) & valid
    sampled = high
    for group, draw in ((medium, draws[0]), (low, draws[1])):
        fraction = high.sum() / group.sum().clamp_min(1)
        sampled = sampled | (group & (draw > 1 - fraction))
    errors = (pred - target).square() * sampled
    return 0.5 * errors.sum() / sampled.sum().clamp_min(1)
