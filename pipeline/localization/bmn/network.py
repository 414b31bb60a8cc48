"""The network: start and end probabilities of positions, and two confidences of every proposal."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.localization.bmn.matching import BoundaryMatching
from pipeline.features.cache import Standardise

GROUPS = 4


@dataclass(frozen=True)
class Widths:
    """Channels, and samples of a proposal; the defaults are the published ones.

    Attributes:
        temporal: of the convolutions over time; a multiple of `GROUPS`.
        samples: of a proposal.
        combined: of a proposal, after its samples are combined.
        confidence: of the convolutions over the map of proposals.
    """

    temporal: int = 256
    samples: int = 32
    combined: int = 512
    confidence: int = 128


@dataclass(frozen=True)
class Said:
    """What the network says of videos; all are probabilities.

    Attributes:
        start: that an event starts at a position.
        end: that one ends there.
        overlap: how well a proposal overlaps an event, by regression. Maps are [start, end]; where start > end they
            mean nothing. The paper draws them [duration, start].
        good: that it overlaps one well, by classification.
    """

    start: Float[Tensor, "videos positions"]
    end: Float[Tensor, "videos positions"]
    overlap: Float[Tensor, "videos positions positions"]
    good: Float[Tensor, "videos positions positions"]


class BoundaryMatchingNetwork(nn.Module):
    """4,978,564 parameters with the published widths and 400 channels of features.

    Args:
        dim: channels of the features. Where `GROUPS` does not divide them, the first convolution has fewer groups.
        positions: of a video.
        widths: channels of the layers.
    """

    def __init__(self, dim: int, positions: int, widths: Widths) -> None:
        super().__init__()
        temporal, wide, narrow = widths.temporal, widths.combined, widths.confidence
        self.standardise = Standardise(dim)
        self.base = nn.Sequential(
            nn.Conv1d(dim, temporal, 3, padding=1, groups=math.gcd(GROUPS, dim)),
            nn.ReLU(),
            nn.Conv1d(temporal, temporal, 3, padding=1, groups=GROUPS),
            nn.ReLU(),
        )
        self.start, self.end = _boundary_head(temporal), _boundary_head(temporal)
        self.proposals = nn.Sequential(
            nn.Conv1d(temporal, temporal, 3, padding=1),
            nn.ReLU(),
            BoundaryMatching(positions, widths.samples, temporal, wide),
            nn.ReLU(),
            nn.Conv2d(wide, narrow, 1),
            nn.ReLU(),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(narrow, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Float[Tensor, "videos positions dim"]) -> Said:
        """What the network says of videos."""
        x = self.base(self.standardise(features).transpose(1, 2))
        maps = self.proposals(x)
        return Said(self.start(x)[:, 0], self.end(x)[:, 0], maps[:, 0], maps[:, 1])


def _boundary_head(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(width, width, 3, padding=1, groups=GROUPS), nn.ReLU(), nn.Conv1d(width, 1, 1), nn.Sigmoid()
    )
