"""The losses, as published; where nothing is to be found in a batch, what would be 0 / 0 there is 0."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.localization.bmn.network import Said
from pipeline.localization.bmn.targets import Wanted

BOUNDARY = 0.5
"""A position is a boundary above this share."""
GOOD = 0.9
"""A proposal is good above this overlap."""
HIGH, MIDDLE = 0.7, 0.3
"""Overlaps above which proposals are high, and in between."""
REGRESSION = 10.0
"""Weight of the regression's loss."""
EPSILON = 1e-6


@dataclass(frozen=True)
class Losses:
    """The parts of the loss.

    Attributes:
        boundaries: of starts and ends.
        overlap: of the regression, without its weight.
        good: of the classification.
    """

    boundaries: Float[Tensor, ""]
    overlap: Float[Tensor, ""]
    good: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """What is minimised."""
        return self.boundaries + REGRESSION * self.overlap + self.good


def losses(said: Said, wanted: Wanted, draws: Float[Tensor, "2 videos positions positions"]) -> Losses:
    """Losses of a batch.

    Args:
        said: by the network.
        wanted: labels.
        draws: uniform in [0, 1): which proposals of middling and of low overlap the regression looks at.
    """
    there = torch.ones_like(wanted.overlap[0], dtype=torch.bool).triu()
    everywhere = torch.ones_like(wanted.start, dtype=torch.bool)
    boundaries = balanced(said.start, wanted.start > BOUNDARY, everywhere) + balanced(
        said.end, wanted.end > BOUNDARY, everywhere
    )
    good = balanced(said.good, wanted.overlap > GOOD, there.expand_as(wanted.overlap))
    return Losses(boundaries, regression(said.overlap, wanted.overlap, there, draws), good)


def balanced(
    said: Float[Tensor, "*shape"], yes: Bool[Tensor, "*shape"], there: Bool[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Weighted binary logistic loss: half the mean over yes and half the mean over no, however rare either is.

    Args:
        said: probabilities.
        yes: the truth.
        there: where it is asked.
    """
    sides = ((yes & there, said), (~yes & there, 1 - said))
    means = [-((right + EPSILON).log() * side).sum() / side.sum().clamp_min(1) for side, right in sides]
    return (means[0] + means[1]) / 2


def regression(
    said: Float[Tensor, "videos positions positions"],
    overlap: Float[Tensor, "videos positions positions"],
    there: Bool[Tensor, "positions positions"],
    draws: Float[Tensor, "2 videos positions positions"],
) -> Float[Tensor, ""]:
    """Half the mean squared error over all high overlaps and about as many middling and low ones, drawn at random.

    Proposals that overlap no event are not looked at.
    """
    high = (overlap > HIGH) & there
    middle = (overlap > MIDDLE) & (overlap <= HIGH) & there
    low = (overlap > 0) & (overlap <= MIDDLE) & there
    chosen = high
    for side, draw in ((middle, draws[0]), (low, draws[1])):
        share = high.sum() / side.sum().clamp_min(1)
        chosen = chosen | (side & (draw > 1 - share))
    errors = (said - overlap).square() * chosen
    return 0.5 * errors.sum() / chosen.sum().clamp_min(1)
