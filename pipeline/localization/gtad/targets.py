"""Targets and losses of G-TAD (Xu et al., 2020, section 3.5), in the published forms for ActivityNet and THUMOS14.

The two published codes differ: in the width of a position of which a boundary covers a part (two positions for
ActivityNet, one for THUMOS14), in which loss of the map has the weight 10, and in counts that keep the classification
loss of THUMOS14 finite.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.localization.gtad.network import GtadOutput
from pipeline.localization.segment_maps import (
    BOUNDARY_COVERAGE,
    CLS_IOU,
    boundary_coverage,
    iou_regression_loss,
    segment_ious,
    weighted_bce,
)

VIDEO_ANCHOR_WIDTH = 2
"""Width of a position for the boundaries of a whole video, in positions."""

Actions = Float[np.ndarray, "actions 2"]
"""Start and end of actions in positions: position i is from i to i + 1."""


@dataclass(frozen=True)
class GtadTargets:
    """The targets of one sequence, or of a batch with a leading axis.

    Attributes:
        start: coverage of each position by the surroundings of the nearest start of an action, 0 to 1.
        end: the same for ends.
        iou: tIoU of each segment [duration, start] with its best action.
    """

    start: Float[Tensor, "*videos positions"]
    end: Float[Tensor, "*videos positions"]
    iou: Float[Tensor, "*videos durations positions"]

    def to(self, device: torch.device) -> "GtadTargets":
        """Move the targets to a device."""
        return GtadTargets(self.start.to(device), self.end.to(device), self.iou.to(device))


def video_targets(actions: Actions, positions: int, max_duration: int) -> GtadTargets:
    """Compute the targets of a whole video, as published for ActivityNet.

    Args:
        actions: they are clipped to the video.
        positions: positions of the video.
        max_duration: positions of the longest segment.
    """
    clipped = np.clip(actions, 0, positions)
    start, end = (boundary_coverage(clipped[:, side], positions, VIDEO_ANCHOR_WIDTH) for side in (0, 1))
    return GtadTargets(start, end, segment_ious(clipped, positions, max_duration))


def window_targets(actions: Actions, positions: int, max_duration: int) -> GtadTargets:
    """Compute the targets of a window of a video, as published for THUMOS14.

    Args:
        actions: those that overlap the window, relative to its start. The part of an action outside has no boundary,
            and does not count in the tIoU.
        positions: positions of the window.
        max_duration: positions of the longest segment.
    """
    # The boundaries are compared with the middles of the positions.
    start, end = (boundary_coverage(actions[:, side] - 0.5, positions) for side in (0, 1))
    return GtadTargets(start, end, segment_ious(np.clip(actions, 0, positions), positions, max_duration))


def stack_targets(sequences: Sequence[GtadTargets]) -> GtadTargets:
    """Stack the targets of several sequences."""
    return GtadTargets(
        torch.stack([targets.start for targets in sequences]),
        torch.stack([targets.end for targets in sequences]),
        torch.stack([targets.iou for targets in sequences]),
    )


@dataclass(frozen=True)
class LossWeights:
    """How the parts of the loss are weighted.

    Attributes:
        iou_reg: weight of the regression.
        iou_cls: weight of the classification.
        added_count: added to the numbers of positives and of negatives of the classification.
    """

    iou_reg: float
    iou_cls: float
    added_count: int


@dataclass(frozen=True)
class GtadLosses:
    """The parts of the loss, without their weights.

    Attributes:
        boundaries: of starts and ends.
        iou_reg: of the regression.
        iou_cls: of the classification.
    """

    boundaries: Float[Tensor, ""]
    iou_reg: Float[Tensor, ""]
    iou_cls: Float[Tensor, ""]

    def total(self, weights: LossWeights) -> Float[Tensor, ""]:
        """Return the loss that is minimised."""
        return self.boundaries + weights.iou_reg * self.iou_reg + weights.iou_cls * self.iou_cls


def valid_segments(positions: int, max_duration: int) -> Bool[Tensor, "durations positions"]:
    """Return which segments [duration, start] end within the sequence."""
    return torch.arange(max_duration)[:, None] + torch.arange(positions) < positions


def gtad_losses(
    pred: GtadOutput,
    targets: GtadTargets,
    draws: Float[Tensor, "2 videos durations positions"],
    added_count: int,
) -> GtadLosses:
    """Compute the losses of a batch; a part without positive examples is finite.

    Args:
        pred: output of the network.
        targets: of the batch.
        draws: uniform in [0, 1): they sample the segments of medium and of low tIoU for the regression.
        added_count: see `LossWeights`.
    """
    max_duration, positions = targets.iou.shape[1:]
    valid = valid_segments(positions, max_duration).to(targets.iou.device)
    is_position = torch.ones_like(targets.start, dtype=torch.bool)
    boundaries = weighted_bce(pred.start, targets.start > BOUNDARY_COVERAGE, is_position) + weighted_bce(
        pred.end, targets.end > BOUNDARY_COVERAGE, is_position
    )
    iou_cls = weighted_bce(pred.iou_cls, targets.iou > CLS_IOU, valid.expand_as(targets.iou), added_count)
    return GtadLosses(boundaries, iou_regression_loss(pred.iou_reg, targets.iou, valid, draws), iou_cls)
