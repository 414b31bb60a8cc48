"""The losses of P-GCN (Zeng et al., 2019, section 3.4), which are those of SSN (Zhao et al., 2017, section 4.2).

A batch has eight centres of each video, see `pipeline.localization.pgcn.pools`: one of the foreground, six incomplete
ones, one of the background. Each part of the loss reads some of them.

Where a video has no incomplete proposal, foreground ones have their places. The completeness loss leaves these out: the
authors' code counts them as incomplete, and so pushes a complete proposal down.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from pipeline.localization.pgcn.network import PgcnScores
from pipeline.localization.pgcn.pools import BACKGROUND, CENTRES_PER_VIDEO, FOREGROUND, INCOMPLETE

NUM_CENTRES = sum(CENTRES_PER_VIDEO.values())
NUM_COMPLETE = CENTRES_PER_VIDEO[FOREGROUND]
NUM_RATED = NUM_COMPLETE + CENTRES_PER_VIDEO[INCOMPLETE]
"""Centres of a video that the completeness loss reads: the first ones."""

HARD_NEGATIVES = 0.17
"""Share of the incomplete centres that the completeness loss keeps: those of highest loss (OHEM)."""
REGRESSION_SCALE = 2.0
"""Factor of the smooth L1 loss."""
COMPLETENESS_WEIGHT = 0.5
REGRESSION_WEIGHT = 0.5


class CentreTargets(NamedTuple):
    """What the centres of a batch are, `NUM_CENTRES` of each video.

    Attributes:
        kinds: FOREGROUND, INCOMPLETE or BACKGROUND.
        labels: index of the class without the background; -1 in the background.
        regression: standardised regression targets.
    """

    kinds: Int64[Tensor, "videos centres"]
    labels: Int64[Tensor, "videos centres"]
    regression: Float[Tensor, "videos centres 2"]


class PgcnLosses(NamedTuple):
    """The parts of the loss, each a scalar."""

    activity: Float[Tensor, ""]
    completeness: Float[Tensor, ""]
    regression: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """The weighted sum."""
        return self.activity + COMPLETENESS_WEIGHT * self.completeness + REGRESSION_WEIGHT * self.regression


def compute_pgcn_losses(scores: PgcnScores, targets: CentreTargets) -> PgcnLosses:
    """Compute the losses of a batch.

    Args:
        scores: of all centres, video after video.
        targets: of the centres.
    """
    incomplete = targets.kinds[:, NUM_COMPLETE:NUM_RATED] == INCOMPLETE
    kinds, labels = targets.kinds.flatten(), targets.labels.flatten()
    is_foreground = kinds == FOREGROUND
    classified = is_foreground | (kinds == BACKGROUND)
    completeness = scores.completeness.view(*targets.kinds.shape, -1)[:, :NUM_RATED]
    foreground = torch.nonzero(is_foreground)[:, 0]
    return PgcnLosses(
        activity=functional.cross_entropy(scores.activity[classified], labels[classified] + 1),
        completeness=completeness_loss(completeness, targets.labels[:, :NUM_RATED], incomplete, HARD_NEGATIVES),
        regression=regression_loss(
            scores.regression[foreground, labels[foreground]], targets.regression.flatten(0, 1)[foreground]
        ),
    )


def completeness_loss(
    scores: Float[Tensor, "videos centres classes"],
    labels: Int64[Tensor, "videos centres"],
    is_incomplete: Bool[Tensor, "videos incomplete"],
    hard_negatives: float,
) -> Float[Tensor, ""]:
    """Compute the hinge loss of the completeness of the own class, with hard negatives.

    Args:
        scores: completeness of each class; the first centres of a video are complete, the others incomplete.
        labels: index of the class.
        is_incomplete: which of the others count.
        hard_negatives: share of the incomplete ones of each video that are kept, at least one.
    """
    of_class = scores.gather(2, labels[..., None])[..., 0]
    num_incomplete = is_incomplete.shape[1]
    complete = functional.relu(1 - of_class[:, :-num_incomplete])
    incomplete = functional.relu(1 + of_class[:, -num_incomplete:]) * is_incomplete
    hardest = incomplete.topk(max(int(num_incomplete * hard_negatives), 1), dim=1).values
    # The authors' denominator rounds the hard negatives of the whole batch.
    count = complete.numel() + max(int(int(is_incomplete.sum()) * hard_negatives), 1)
    return (complete.sum() + hardest.sum()) / count


def regression_loss(
    predictions: Float[Tensor, "foreground 2"], targets: Float[Tensor, "foreground 2"]
) -> Float[Tensor, ""]:
    """Compute the smooth L1 loss of the foreground, a mean over all numbers.

    Args:
        predictions: for the class of each centre.
        targets: standardised.
    """
    return REGRESSION_SCALE * functional.smooth_l1_loss(predictions, targets)
