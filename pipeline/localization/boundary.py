"""The boundary proposer: a small temporal network scores starts, ends and actionness of each feature row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name
from torch.nn.utils.rnn import pad_sequence

from pipeline.config.proposers import BoundarySettings
from pipeline.features.cache import FeatureNorm
from pipeline.localization.nms import BoundaryScores, Candidates, pair_boundaries
from pipeline.localization.proposer import EventTimes, ProposerInputs, ProposerLosses

DILATIONS = (1, 2, 4)
"""Of the layers; together a row sees seven rows to either side."""


class BoundaryNetwork(nn.Module):
    """Dilated temporal convolutions over feature rows."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.feature_norm = FeatureNorm(dim)
        self.dropout = nn.Dropout(dropout)
        widths = [dim] + [hidden] * len(DILATIONS)
        self.layers = nn.ModuleList(
            nn.Conv1d(width_in, width_out, 3, padding=dilation, dilation=dilation)
            for width_in, width_out, dilation in zip(widths[:-1], widths[1:], DILATIONS, strict=True)
        )
        self.output = nn.Conv1d(hidden, 3, 1)

    def forward(
        self, features: Float[Tensor, "videos rows dim"], mask: Bool[Tensor, "videos rows"]
    ) -> Float[Tensor, "videos rows 3"]:
        """Return the logits of start, end and actionness; they have no meaning where `mask` is false."""
        row_mask = mask[:, None]
        x = self.dropout(self.feature_norm(features)).transpose(1, 2) * row_mask
        for layer in self.layers:
            x = F.relu(layer(x)) * row_mask
        logits: Tensor = self.output(x).transpose(1, 2)
        return logits


@dataclass(frozen=True)
class PaddedRows:
    """Rows of videos of different lengths in one array.

    Attributes:
        rows: zeros after the last row of a video.
        mask: which rows are of the video, not padding.
    """

    rows: Float[Tensor, "videos rows dim"]
    mask: Bool[Tensor, "videos rows"]


def pad_rows(videos: Sequence[Float[Tensor, "_ dim"]]) -> PaddedRows:
    """Pad the rows of videos to the longest video."""
    lengths = torch.tensor([len(rows) for rows in videos])
    rows = pad_sequence(list(videos), batch_first=True)
    return PaddedRows(rows, torch.arange(rows.shape[1]) < lengths[:, None])


def row_edges(centres: Float[np.ndarray, " rows"], duration: float) -> Float[np.ndarray, " edges"]:
    """Compute the borders of the rows, seconds: half-way between the clips' centres, and the ends of the video.

    The rows divide the video without gaps, although the clips may overlap or leave gaps.
    """
    inner = (centres[1:] + centres[:-1]) / 2
    return np.clip(np.concatenate([[0.0], inner, [duration]]), 0.0, duration)


def boundary_targets(
    events: Sequence[tuple[float, float]], edges: Float[np.ndarray, " edges"]
) -> Float[Tensor, "rows 3"]:
    """Compute the targets (0 or 1) of start, end and actionness for each row.

    An event is moved to the nearest borders of rows and has at least one row.

    Args:
        events: start and end, seconds.
        edges: borders of the rows, seconds.
    """
    rows = len(edges) - 1
    targets = torch.zeros(rows, 3)
    for start, end in events:
        first = int(np.abs(edges[:-1] - start).argmin())
        last = max(first, int(np.abs(edges[1:] - end).argmin()))
        targets[first, 0] = targets[last, 1] = 1
        targets[first : last + 1, 2] = 1
    return targets


def balanced_loss(
    logits: Float[Tensor, "videos rows 3"],
    targets: Float[Tensor, "videos rows 3"],
    mask: Bool[Tensor, "videos rows"],
) -> Float[Tensor, ""]:
    """Compute the binary cross-entropy, summed over the three outputs.

    Positives and negatives have the same total weight, however rare one of them is.
    """
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    valid = mask[..., None].to(loss)
    positive, negative = targets * valid, (1 - targets) * valid
    means = [(loss * side).sum((0, 1)) / side.sum((0, 1)).clamp_min(1) for side in (positive, negative)]
    return (means[0] + means[1]).sum() / 2


@torch.no_grad()
def score_boundaries(network: BoundaryNetwork, videos: Sequence[Float[Tensor, "_ dim"]]) -> list[BoundaryScores]:
    """Score the rows of a batch of videos, without dropout."""
    training = network.training
    network.eval()
    padded = pad_rows(videos)
    device = next(network.parameters()).device
    scores = network(padded.rows.to(device), padded.mask.to(device)).sigmoid().cpu().numpy()
    network.train(training)
    return [
        BoundaryScores(*(scores_of_video[: len(rows), column] for column in range(3)))
        for scores_of_video, rows in zip(scores, videos, strict=True)
    ]


class BoundaryProposer:
    """The boundary proposer, see `TrainableProposer`.

    Args:
        config: settings.
        dim: channels of the features.
    """

    def __init__(self, config: BoundarySettings, dim: int) -> None:
        self.network = BoundaryNetwork(dim, config.hidden, config.dropout)

    def fit(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> None:
        """Fit the normalisation of the features."""
        self.network.feature_norm.fit(inputs.features(video) for video in events)

    def compute_losses(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> ProposerLosses:
        """Compute the loss of a batch of videos."""
        device = next(self.network.parameters()).device
        features = pad_rows([inputs.features(video) for video in events])
        targets = pad_rows([boundary_targets(times, _edges(inputs, video)) for video, times in events.items()])
        mask = features.mask.to(device)
        logits = self.network(features.rows.to(device), mask)
        return ProposerLosses(balanced_loss(logits, targets.rows.to(device), mask), {})

    def score_candidates(self, inputs: ProposerInputs, videos: Sequence[str], _limit: int, /) -> list[Candidates]:
        """Score all pairs of a start peak and an end peak of each video."""
        scores = score_boundaries(self.network, [inputs.features(video) for video in videos])
        return [
            pair_boundaries(boundaries, _edges(inputs, video)) for video, boundaries in zip(videos, scores, strict=True)
        ]


def _edges(inputs: ProposerInputs, video: str) -> Float[np.ndarray, " edges"]:
    return row_edges(inputs.centres(video), inputs.duration(video))
