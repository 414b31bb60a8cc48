"""BMN as a proposer: targets and losses as published, and its candidates.

Where a batch has no positive examples, a published 0 / 0 in the losses is 0 here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.config.proposers import BmnSettings
from pipeline.datasets.tiou import tiou_matrix
from pipeline.features.cache import FeatureNorm
from pipeline.localization.bmn.network import BmnOutput, BmnWidths, BoundaryMatchingNetwork
from pipeline.localization.nms import Candidates, soft_nms
from pipeline.localization.proposer import EventTimes, ProposerInputs, ProposerLosses

BOUNDARY_RADIUS = 1.5
"""A boundary reaches this many positions to either side."""
BOUNDARY_COVERAGE = 0.5
"""A position is a positive example of a boundary above this coverage."""
CLS_IOU = 0.9
"""A proposal is a positive example of the classification above this tIoU."""
POS_IOU, MID_IOU = 0.7, 0.3
"""The regression samples proposals from three ranges of tIoU: above the first, between both, and below the second."""
REGRESSION_WEIGHT = 10.0
"""Weight of the regression loss."""
EPSILON = 1e-6
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


def rescale_features(
    features: Float[Tensor, "rows dim"], centres: Float[np.ndarray, " rows"], duration: float, positions: int
) -> Float[Tensor, "positions dim"]:
    """Interpolate the features linearly at the middles of equal parts of the video.

    TSP's author prepared features for BMN and G-TAD in this way. Before the first and after the last centre, the first
    and the last row are repeated.

    Args:
        features: feature rows.
        centres: middles of the rows' clips, seconds.
        duration: duration of the video, seconds.
        positions: number of parts.
    """
    times = (np.arange(positions) + 0.5) / positions * duration
    place = np.interp(times, centres, np.arange(len(features)))
    below = np.minimum(place.astype(np.int64), max(len(features) - 2, 0))
    fraction = torch.from_numpy(place - below).to(features)[:, None]
    above = np.minimum(below + 1, len(features) - 1)
    return features[below] * (1 - fraction) + features[above] * fraction


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
    start, end = (_boundary_coverage(segments[:, side] * positions, positions) for side in (0, 1))
    return BmnTargets(start, end, iou)


def stack_targets(videos: Sequence[BmnTargets]) -> BmnTargets:
    """Stack the targets of several videos."""
    return BmnTargets(
        torch.stack([video.start for video in videos]),
        torch.stack([video.end for video in videos]),
        torch.stack([video.iou for video in videos]),
    )


def _boundary_coverage(boundaries: Float[np.ndarray, " events"], positions: int) -> Float[Tensor, " positions"]:
    """Compute how much of [i - 1/2, i + 1/2] lies within `BOUNDARY_RADIUS` of a boundary, for each position i."""
    middle = np.arange(positions)[:, None]
    upper = np.minimum(middle + 0.5, boundaries + BOUNDARY_RADIUS)
    lower = np.maximum(middle - 0.5, boundaries - BOUNDARY_RADIUS)
    return torch.from_numpy(np.clip(upper - lower, 0, None).max(1, initial=0)).float()


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


def weighted_bce(
    pred: Float[Tensor, "*shape"], positive: Bool[Tensor, "*shape"], valid: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Compute the binary cross-entropy with equal total weight for positives and negatives, however rare either is.

    Args:
        pred: probabilities.
        positive: the target.
        valid: which elements count.
    """
    sides = ((positive & valid, pred), (~positive & valid, 1 - pred))
    means = [-((correct + EPSILON).log() * side).sum() / side.sum().clamp_min(1) for side, correct in sides]
    return (means[0] + means[1]) / 2


def iou_regression_loss(
    pred: Float[Tensor, "videos positions positions"],
    target: Float[Tensor, "videos positions positions"],
    valid: Bool[Tensor, "positions positions"],
    draws: Float[Tensor, "2 videos positions positions"],
) -> Float[Tensor, ""]:
    """Compute half the mean squared error over proposals sampled by their tIoU.

    All proposals of high tIoU count, and about as many of medium and of low tIoU, sampled at random. Proposals that
    overlap no event do not count.
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


class BmnProposer:
    """BMN as a proposer, see `TrainableProposer`.

    Args:
        config: settings.
        dim: channels of the features.
    """

    def __init__(self, config: BmnSettings, dim: int) -> None:
        self.positions = config.temporal_scale
        widths = BmnWidths(config.num_samples, config.hidden_dim_1d, config.hidden_dim_2d, config.hidden_dim_3d)
        self.network = BoundaryMatchingNetwork(dim, self.positions, widths)

    @property
    def feature_norm(self) -> FeatureNorm:
        """The normalisation of the features."""
        return self.network.feature_norm

    def compute_losses(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> ProposerLosses:
        """Compute the losses of a batch of videos; draws from torch's generator."""
        pred = self.network(self._rescale(inputs, list(events)))
        device = pred.start.device
        targets = stack_targets(
            [bmn_targets(times, inputs.duration(video), self.positions) for video, times in events.items()]
        )
        draws = torch.rand(2, *targets.iou.shape)  # on the CPU: the same numbers on every device
        losses = bmn_losses(pred, targets.to(device), draws.to(device))
        parts = {"boundaries": losses.boundaries, "iou_reg": losses.iou_reg, "iou_cls": losses.iou_cls}
        return ProposerLosses(losses.total, parts)

    @torch.no_grad()
    def score_candidates(self, inputs: ProposerInputs, videos: Sequence[str], limit: int, /) -> list[Candidates]:
        """Score all pairs of each video and keep `limit` of them by the published soft-NMS."""
        training = self.network.training
        self.network.eval()
        output = self.network(self._rescale(inputs, videos))
        self.network.train(training)
        candidates = []
        for index, video in enumerate(videos):
            pairs = score_pairs(output, index)
            selected, scores = soft_nms(
                pairs.segments, pairs.scores, sigma=NMS_SIGMA, max_selected=limit, iou_threshold_range=NMS_IOU_RANGE
            )
            candidates.append(Candidates(pairs.segments[selected] * inputs.duration(video), scores))
        return candidates

    def _rescale(self, inputs: ProposerInputs, videos: Sequence[str]) -> Float[Tensor, "videos positions dim"]:
        rescaled = [
            rescale_features(inputs.features(video), inputs.centres(video), inputs.duration(video), self.positions)
            for video in videos
        ]
        return torch.stack(rescaled).to(next(self.network.parameters()).device)


def score_pairs(output: BmnOutput, index: int) -> Candidates:
    """Score all pairs of a start and a later end of one video of a batch; segments are in [0, 1].

    A score is the product of the probabilities of start and end and of both confidences. As published, an end is the
    beginning of a position, so the last end is one position before the end of the video.
    """
    start, end, iou_reg, iou_cls = (
        values[index].cpu().double().numpy() for values in (output.start, output.end, output.iou_reg, output.iou_cls)
    )
    positions = len(start)
    first, last = np.triu_indices(positions - 1)
    scores = start[first] * end[last + 1] * iou_cls[first, last] * iou_reg[first, last]
    return Candidates(np.stack([first, last + 1], 1) / positions, scores)
