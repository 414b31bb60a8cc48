"""Losses of the two-channel network (Mahdisoltani et al., 2018, section 4.1, Equations 1 and 2), and their schedule."""

import bisect
from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

Interpolation = Literal["steps", "linear"]


def class_loss(log_probs: Float[Tensor, "batch classes"], targets: Int64[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Compute the mean negative log-probability of the classes."""
    return functional.nll_loss(log_probs, targets)


def caption_loss(
    log_probs: Float[Tensor, "batch steps vocabulary"], captions: Int64[Tensor, "batch steps"]
) -> Float[Tensor, ""]:
    """Compute the mean negative log-probability of the tokens, END padding included, over clips and steps.

    Equation 1 of the paper sums over the steps: that is this mean times their number. The authors' code has the mean.
    """
    return functional.nll_loss(log_probs.flatten(0, 1), captions.flatten())


def class_weight(epoch: int, knots: Mapping[int, float], interpolation: Interpolation) -> float:
    """Return lambda, the weight of the class loss (the caption loss has the weight 1 - lambda), in an epoch.

    The paper trains with lambda = 1 first, and then decreases lambda gradually to 0.1; it states no schedule. The
    authors' code has two stages, with 1 and with 0.1, which `steps` gives.

    Args:
        epoch: number of the epoch, from 1.
        knots: lambda by epoch; the first knot is at epoch 1.
        interpolation: between two knots, `steps` keeps the value of the earlier one, `linear` interpolates.
    """
    epochs = sorted(knots)
    index = bisect.bisect_right(epochs, epoch) - 1
    before = epochs[index]
    if interpolation == "steps" or index + 1 == len(epochs):
        return knots[before]
    after = epochs[index + 1]
    share = (epoch - before) / (after - before)
    return (1 - share) * knots[before] + share * knots[after]
