"""The loss of pretraining: L = L_action + alpha L_region + beta L_semantic (SA-TSP, equation 1)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from pipeline.config.pretrain_encoder import AsymmetricLoss, PretrainEncoder
from pipeline.encoders.heads import Logits

BACKGROUND, FOREGROUND = 0, 1
"""Temporal regions, as the paper numbers them (TSP, section 3.3)."""

NO_ACTION = -1
"""Action of a background clip: the action loss does not look at it."""


@dataclass(frozen=True)
class Labels:
    """What a batch of clips shows.

    Attributes:
        action: class of each clip, NO_ACTION for background.
        region: FOREGROUND or BACKGROUND.
        concepts: 1 where a sentence that covers the clip holds the concept.
        covered: whether any sentence covers the clip; without one its concepts are unknown, not absent.
    """

    action: Int64[Tensor, "batch"]
    region: Int64[Tensor, "batch"]
    concepts: Float[Tensor, "batch concepts"]
    covered: Bool[Tensor, "batch"]


def asymmetric_loss(
    logits: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    gamma_neg: float,
    gamma_pos: float,
    margin: float,
) -> Float[Tensor, "*shape"]:
    """Asymmetric loss (Ben-Baruch et al., 2020, section 2.3), element by element.

    With p = sigmoid(logit) and p_m = max(p - margin, 0):
    -y (1 - p)^gamma_pos log p - (1 - y) p_m^gamma_neg log(1 - p_m). Gradients flow through the focusing
    factors too. Computed in float32 at least, autocast or not; finite, with finite gradients, for every
    finite logit.

    Args:
        logits: of any shape and precision.
        targets: 0 or 1, of the same shape.
        gamma_neg: focusing of the negatives.
        gamma_pos: focusing of the positives.
        margin: probability below which a negative costs nothing.
    """
    x = _exact(logits)
    positive = -torch.exp(gamma_pos * functional.logsigmoid(-x)) * functional.logsigmoid(x)
    excess = torch.sigmoid(x) - margin
    # 1 - p_m: at most 1, and from sigmoid(-x), which keeps its digits where p rounds to 1.
    capped = torch.log((torch.sigmoid(-x) + margin).clamp(max=1.0))
    log_rest = capped if margin > 0 else functional.logsigmoid(-x)
    # Where p_m is 0 the logarithm is 0 too; a base of 1 there keeps the power's gradient finite for gamma
    # below 1.
    negative = -(torch.where(excess > 0, excess, 1.0) ** gamma_neg) * log_rest
    return torch.where(targets > 0.5, positive, negative)


@dataclass(frozen=True)
class Losses:
    """The parts of the loss, each the mean over the clips that it looks at, 0 where there are none."""

    action: Float[Tensor, ""] | None
    region: Float[Tensor, ""] | None
    semantic: Float[Tensor, ""] | None
    total: Float[Tensor, ""]


def pretraining_loss(logits: Logits, labels: Labels, config: PretrainEncoder) -> Losses:
    """All losses of a batch; heads that are left out take no part.

    Cross-entropies are means over clips (the action's over foreground clips); the semantic loss is the sum
    over concepts, as in the reference code of the asymmetric loss, and the mean over the clips that a
    sentence covers.
    """
    parts: list[Tensor] = []
    action, region, semantic = None, None, None
    if logits.action is not None:
        action = _mean(
            functional.cross_entropy(_exact(logits.action), labels.action, ignore_index=NO_ACTION, reduction="sum"),
            labels.action != NO_ACTION,
        )
        parts.append(config.action * action)
    if logits.region is not None:
        region = functional.cross_entropy(_exact(logits.region), labels.region)
        parts.append(config.alpha * region)
    if logits.semantic is not None:
        each = semantic_loss(logits.semantic, labels.concepts, config.semantic_loss)
        semantic = _mean((each * labels.covered).sum(), labels.covered)
        parts.append(config.beta * semantic)
    return Losses(action, region, semantic, torch.stack(parts).sum())


def semantic_loss(
    logits: Float[Tensor, "batch concepts"], targets: Float[Tensor, "batch concepts"], config: AsymmetricLoss
) -> Float[Tensor, "batch"]:
    """Asymmetric loss of each clip, summed over its concepts."""
    return asymmetric_loss(logits, targets, config.gamma_neg, config.gamma_pos, config.margin).sum(dim=1)


def _exact(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Logits in float32 at least: half precision is for the layers, not for the losses."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _mean(summed: Float[Tensor, ""], counted: Bool[Tensor, "batch"]) -> Float[Tensor, ""]:
    """A sum over the counted clips as their mean; of no clips it is 0, not the NaN that a mean would be."""
    return summed / counted.sum().clamp(min=1)
