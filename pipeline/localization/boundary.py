"""A small temporal network that says, for each clip, whether an event starts, ends or goes on there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it
from torch.nn.utils.rnn import pad_sequence

from pipeline.config.propose_events import Boundary
from pipeline.localization.learner import Clips, Times
from pipeline.localization.nms import Boundaries, likely_events, pair
from pipeline.localization.proposals import Proposal
from pipeline.features.cache import Standardise

DILATIONS = (1, 2, 4)
"""Of the layers: a clip sees seven clips to either side."""


class BoundaryNetwork(nn.Module):
    """Dilated temporal convolutions over clip features."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.standardise = Standardise(dim)
        self.dropout = nn.Dropout(dropout)
        widths = [dim] + [hidden] * len(DILATIONS)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, 3, padding=dilation, dilation=dilation)
            for before, after, dilation in zip(widths[:-1], widths[1:], DILATIONS, strict=True)
        )
        self.output = nn.Conv1d(hidden, 3, 1)

    def forward(
        self, clips: Float[Tensor, "videos clips dim"], mask: Bool[Tensor, "videos clips"]
    ) -> Float[Tensor, "videos clips 3"]:
        """Logits of start, end and inside; where `mask` is false they mean nothing."""
        there = mask[:, None]
        x = self.dropout(self.standardise(clips)).transpose(1, 2) * there
        for layer in self.layers:
            x = F.relu(layer(x)) * there
        logits: Tensor = self.output(x).transpose(1, 2)
        return logits


@dataclass(frozen=True)
class Padded:
    """Videos of different lengths in one array.

    Attributes:
        clips: features, zeros after a video's last clip.
        mask: which clips are there.
    """

    clips: Float[Tensor, "videos clips dim"]
    mask: Bool[Tensor, "videos clips"]


def pad(videos: Sequence[Float[Tensor, "_ dim"]]) -> Padded:
    """Put videos into one array."""
    lengths = torch.tensor([len(clips) for clips in videos])
    clips = pad_sequence(list(videos), batch_first=True)
    return Padded(clips, torch.arange(clips.shape[1]) < lengths[:, None])


def edges(centres: Float[np.ndarray, " clips"], duration: float) -> Float[np.ndarray, " edges"]:
    """Where clips begin and the last one ends, seconds: half-way between centres, and the ends of the video.

    The video is divided among its clips, though neighbouring clips may overlap or leave gaps between them.
    """
    between = (centres[1:] + centres[:-1]) / 2
    return np.clip(np.concatenate([[0.0], between, [duration]]), 0.0, duration)


def labels(events: Sequence[tuple[float, float]], bounds: Float[np.ndarray, " edges"]) -> Float[Tensor, "clips 3"]:
    """What the network is to say: start, end, inside for each clip, 0 or 1.

    An event is moved to the nearest edges of clips, and holds one clip at least.

    Args:
        events: start and end, seconds.
        bounds: edges of the clips.
    """
    clips = len(bounds) - 1
    wanted = torch.zeros(clips, 3)
    for start, end in events:
        first = int(np.abs(bounds[:-1] - start).argmin())
        last = max(first, int(np.abs(bounds[1:] - end).argmin()))
        wanted[first, 0] = wanted[last, 1] = 1
        wanted[first : last + 1, 2] = 1
    return wanted


def balanced_loss(
    logits: Float[Tensor, "videos clips 3"],
    wanted: Float[Tensor, "videos clips 3"],
    mask: Bool[Tensor, "videos clips"],
) -> Float[Tensor, ""]:
    """Binary cross-entropy, summed over the three; yes and no weigh the same, however rare."""
    loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    there = mask[..., None].to(loss)
    yes, no = wanted * there, (1 - wanted) * there
    means = [(loss * side).sum((0, 1)) / side.sum((0, 1)).clamp_min(1) for side in (yes, no)]
    return (means[0] + means[1]).sum() / 2


@torch.no_grad()
def boundaries(network: BoundaryNetwork, videos: Sequence[Float[Tensor, "_ dim"]]) -> list[Boundaries]:
    """Probabilities for videos, without dropout."""
    training = network.training
    network.eval()
    padded = pad(videos)
    device = next(network.parameters()).device
    said = network(padded.clips.to(device), padded.mask.to(device)).sigmoid().cpu().numpy()
    network.train(training)
    return [
        Boundaries(*(row[: len(clips), column] for column in range(3))) for row, clips in zip(said, videos, strict=True)
    ]


class BoundaryLearner:
    """The network as the training loop sees it.

    Args:
        config: settings.
        clips: features.
    """

    def __init__(self, config: Boundary, clips: Clips) -> None:
        self.config, self.clips = config, clips
        self.network = BoundaryNetwork(clips.dim, config.hidden, config.dropout)

    @property
    def standardise(self) -> Standardise:
        """The network's scale of features."""
        return self.network.standardise

    def losses(self, events: Mapping[str, Times]) -> dict[str, Float[Tensor, ""]]:
        """Loss of a batch of videos with these events."""
        device = next(self.network.parameters()).device
        padded = pad([self.clips.read(video) for video in events])
        truth = pad([labels(given, self._edges(video)) for video, given in events.items()])
        mask = padded.mask.to(device)
        return {"loss": balanced_loss(self.network(padded.clips.to(device), mask), truth.clips.to(device), mask)}

    def propose(self, videos: list[str]) -> list[list[Proposal]]:
        """Proposals of a batch of videos, at least one each, in time order."""
        return [
            likely_events(
                *pair(found, self._edges(video)),
                sigma=self.config.soft_nms_sigma,
                keep=self.config.max_proposals,
                min_score=self.config.min_score,
            )
            for video, found in zip(
                videos, boundaries(self.network, [self.clips.read(video) for video in videos]), strict=True
            )
        ]

    def _edges(self, video: str) -> Float[np.ndarray, " edges"]:
        return edges(self.clips.centres(video), self.clips.duration(video))
