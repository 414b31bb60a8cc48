"""BMN (Lin et al., 2019): the network with its targets and losses as published, and the pairs that it selects.

Where a batch has no positive examples, a published 0 / 0 in the losses is 0 here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.localization import BmnNetworkSettings
from pipeline.datasets.tiou import tiou_matrix
from pipeline.localization.bmn.network import BmnOutput, BmnWidths, BoundaryMatchingNetwork
from pipeline.localization.nms import Candidates, soft_nms
from pipeline.localization.proposer import EventTimes, ProposerInputs, ProposerLosses
from pipeline.localization.rescaling import rescale_features
from pipeline.localization.segment_maps import (
    BOUNDARY_COVERAGE,
    CLS_IOU,
    boundary_coverage,
    iou_regression_loss,
    weighted_bce,
)

REGRESSION_WEIGHT = 10.0
"""Weight of the regression loss."""
NMS_SIGMA, NMS_IOU_RANGE = 0.4, (0.5, 0.9)
"""Settings of the published soft-NMS."""


@dataclass(frozen=True)
class BmnTargets:
    """The targets of one video, or of a batch with a leading axis.

    Attributes:
        start: coverage of each position by the surroundings of the nearest event start, 0 to 1.
        end: the same for event ends.
        iou: tIoU of each proposal [start, end] with its best event; 0 where start > end.
    """

    start: Float[Tensor, "*videos positions"]
    end: Float[Tensor, "*videos positions"]
    iou: Float[Tensor, "*videos positions positions"]

    def to(self, device: torch.device) -> "BmnTargets":
        """Move the targets to a device."""
        return BmnTargets(self.start.to(device), self.end.to(device), self.iou.to(device))


def bmn_targets(events: Sequence[tuple[float, float]], duration: float, positions: int) -> BmnTargets:
    """Compute the targets of one video.

    Args:
        events: start and end, seconds; they are clipped to the video.
        duration: duration of the video, seconds.
        positions: number of positions of the network.
    """
    segments = np.clip(np.array(events, np.float64).reshape(-1, 2) / duration, 0, 1)
    first, last = np.triu_indices(positions)
    tious = tiou_matrix(np.stack([first, last + 1], 1) / positions, segments)
    iou = torch.zeros(positions, positions)
    iou[first, last] = torch.from_numpy(tious.max(1, initial=0)).float()
    start, end = (boundary_coverage(segments[:, side] * positions, positions) for side in (0, 1))
    return BmnTargets(start, end, iou)


def stack_targets(videos: Sequence[BmnTargets]) -> BmnTargets:
    """Stack the targets of several videos."""
    return BmnTargets(
        torch.stack([video.start for video in videos]),
        torch.stack([video.end for video in videos]),
        torch.stack([video.iou for video in videos]),
    )


@dataclass(frozen=True)
class BmnLosses:
    """The parts of the loss.

    Attributes:
        boundaries: of starts and ends.
        iou_reg: of the regression, without its weight.
        iou_cls: of the classification.
    """

    boundaries: Float[Tensor, ""]
    iou_reg: Float[Tensor, ""]
    iou_cls: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The loss that is minimised."""
        return self.boundaries + REGRESSION_WEIGHT * self.iou_reg + self.iou_cls


def bmn_losses(pred: BmnOutput, targets: BmnTargets, draws: Float[Tensor, "2 videos positions positions"]) -> BmnLosses:
    """Compute the losses of a batch.

    Args:
        pred: output of the network.
        targets: of the batch.
        draws: uniform in [0, 1): they sample the proposals of medium and of low tIoU for the regression.
    """
    is_proposal = torch.ones_like(targets.iou[0], dtype=torch.bool).triu()
    is_position = torch.ones_like(targets.start, dtype=torch.bool)
    boundaries = weighted_bce(pred.start, targets.start > BOUNDARY_COVERAGE, is_position) + weighted_bce(
        pred.end, targets.end > BOUNDARY_COVERAGE, is_position
    )
    iou_cls = weighted_bce(pred.iou_cls, targets.iou > CLS_IOU, is_proposal.expand_as(targets.iou))
    return BmnLosses(boundaries, iou_regression_loss(pred.iou_reg, targets.iou, is_proposal, draws), iou_cls)


class BmnModel:
    """The network with its losses and its scores.

    Args:
        config: sizes of the network.
        dim: channels of the features.
    """

    def __init__(self, config: BmnNetworkSettings, dim: int) -> None:
        self.positions = config.temporal_scale
        widths = BmnWidths(config.num_samples, config.hidden_dim_1d, config.hidden_dim_2d, config.hidden_dim_3d)
        self.network = BoundaryMatchingNetwork(dim, self.positions, widths)

    def fit(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> None:
        """Fit the normalisation of the features."""
        self.network.feature_norm.fit(inputs.features(video) for video in events)

    def compare(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> ProposerLosses:
        """Compute the losses of a batch of videos; draws from torch's generator."""
        pred = self.predict(inputs, list(events))
        device = pred.start.device
        targets = stack_targets(
            [bmn_targets(times, inputs.duration(video), self.positions) for video, times in events.items()]
        )
        draws = torch.rand(2, *targets.iou.shape)  # on the CPU: the same numbers on every device
        losses = bmn_losses(pred, targets.to(device), draws.to(device))
        parts = {"boundaries": losses.boundaries, "iou_reg": losses.iou_reg, "iou_cls": losses.iou_cls}
        return ProposerLosses(losses.total, parts)

    def predict(self, inputs: ProposerInputs, videos: Sequence[str]) -> BmnOutput:
        """Compute the probabilities of a batch of videos."""
        rescaled = [
            rescale_features(inputs.features(video), inputs.centres(video), inputs.duration(video), self.positions)
            for video in videos
        ]
        output: BmnOutput = self.network(torch.stack(rescaled).to(next(self.network.parameters()).device))
        return output


def video_scores(output: BmnOutput, index: int) -> dict[str, Float[np.ndarray, "..."]]:
    """Return the probabilities of one video of a batch by name."""
    return {field.name: getattr(output, field.name)[index].cpu().double().numpy() for field in fields(output)}


def select_pairs(scores: Mapping[str, Float[np.ndarray, "..."]], limit: int) -> Candidates:
    """Select pairs of a start and a later end of one video by the published soft-NMS; segments are in [0, 1].

    A score is the product of the probabilities of start and end and of both confidences. As published, an end is the
    beginning of a position, so the last end is one position before the end of the video.

    Args:
        scores: see `video_scores`.
        limit: maximum number of pairs.
    """
    start, end, iou_reg, iou_cls = (scores[name] for name in ("start", "end", "iou_reg", "iou_cls"))
    positions = len(start)
    first, last = np.triu_indices(positions - 1)
    segments = np.stack([first, last + 1], 1) / positions
    products = start[first] * end[last + 1] * iou_cls[first, last] * iou_reg[first, last]
    selected, selected_scores = soft_nms(
        segments, products, sigma=NMS_SIGMA, max_selected=limit, iou_threshold_range=NMS_IOU_RANGE
    )
    return Candidates(segments[selected], selected_scores)
