"""The terms of the pretraining loss, each with its head, its targets and its metrics.

L = L_action + alpha L_region + beta L_semantic (SA-TSP, Equation 1). `pipeline.config.losses` registers the terms by
name. Everything that depends on the terms (heads, targets, curves, selection) is driven by the methods of `LossTerm`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config.losses import LOSSES, AsymmetricLossSettings, LossSettings
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.clip_means import CountedMean, mean_over_clips
from pipeline.encoders.sampling import BACKGROUND, FOREGROUND, NO_ACTION, ClipSample
from pipeline.training.precision import upcast_to_float32

Targets = dict[str, Tensor]
"""Targets of one term by name; the first axis of each is the batch."""


@dataclass(frozen=True)
class NumLabels:
    """Numbers of classes, which determine the sizes of the heads.

    Attributes:
        actions: number of action classes; 0 leaves their head out.
        concepts: number of concepts; 0 leaves their head out.
    """

    actions: int
    concepts: int


class LossTerm(ABC):
    """One term of the loss, and the head that it trains.

    Args:
        name: name of the term, of its head and of its metrics.
        settings: its section of the configuration.
        num_labels: numbers of classes.

    Attributes:
        metric_names: names of what `metrics` returns.
        selection_metric: name of the validation metric that takes part in the selection of the epoch.
        sees_global_feature: whether the head sees the feature of the whole video in addition to the clip's.
    """

    metric_names: ClassVar[tuple[str, ...]] = ()
    selection_metric: ClassVar[str | None] = None
    sees_global_feature: ClassVar[bool] = False

    def __init__(self, name: str, settings: LossSettings, num_labels: NumLabels) -> None:
        self.name, self.settings, self.num_labels = name, settings, num_labels

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Number of logits per clip; 0 leaves the term out."""

    def head(self, dim: int) -> nn.Module:
        """Build the head.

        Args:
            dim: channels of its input.
        """
        return linear_head(dim, self.num_outputs)

    @abstractmethod
    def targets(self, samples: Sequence[ClipSample], device: torch.device) -> Targets:
        """Return the targets of a batch of clips, which may be empty."""

    @abstractmethod
    def loss(self, logits: Float[Tensor, "batch outputs"], targets: Targets) -> CountedMean:
        """Compute the mean loss over the clips that count."""

    def metrics(self, logits: Float[Tensor, "batch outputs"], targets: Targets) -> dict[str, CountedMean]:
        """Compute metrics that are means over clips, for training and validation."""
        del logits, targets
        return {}

    def validation_rows(self, logits: Float[Tensor, "batch outputs"], targets: Targets) -> tuple[Tensor, ...]:
        """Return what `validation_metrics` needs of a batch: tensors whose rows are collected over all batches."""
        del logits, targets
        return ()

    def validation_metrics(self, *rows: np.ndarray) -> dict[str, float]:
        """Compute metrics over all validation clips that are no means over clips.

        Args:
            rows: what `validation_rows` returned, concatenated over all batches and processes.
        """
        del rows
        return {}


class ActionTerm(LossTerm):
    """Action class of foreground clips: cross-entropy, a mean over the foreground clips."""

    metric_names = ("accuracy",)
    selection_metric = "accuracy"

    @property
    def num_outputs(self) -> int:
        """Number of action classes."""
        return self.num_labels.actions

    def targets(self, samples: Sequence[ClipSample], device: torch.device) -> Targets:
        """Return `action`: the class of each clip, NO_ACTION for background."""
        return {"action": torch.tensor([sample.action for sample in samples], dtype=torch.int64, device=device)}

    def loss(self, logits: Float[Tensor, "batch actions"], targets: Targets) -> CountedMean:
        """Compute the cross-entropy."""
        action = targets["action"]
        total = functional.cross_entropy(upcast_to_float32(logits), action, ignore_index=NO_ACTION, reduction="sum")
        count = (action != NO_ACTION).sum()
        return CountedMean(total / count.clamp(min=1), count)

    def metrics(self, logits: Float[Tensor, "batch actions"], targets: Targets) -> dict[str, CountedMean]:
        """Compute the accuracy."""
        action = targets["action"]
        return {"accuracy": _accuracy(logits.argmax(1) == action, (action != NO_ACTION).sum())}


class RegionTerm(LossTerm):
    """Temporal region of clips, foreground or background: cross-entropy, a mean over all clips."""

    metric_names = ("accuracy",)
    selection_metric = "accuracy"
    sees_global_feature = True

    @property
    def num_outputs(self) -> int:
        """Two: background and foreground."""
        return 2

    def targets(self, samples: Sequence[ClipSample], device: torch.device) -> Targets:
        """Return `region`: FOREGROUND or BACKGROUND."""
        regions = [BACKGROUND if sample.action == NO_ACTION else FOREGROUND for sample in samples]
        return {"region": torch.tensor(regions, dtype=torch.int64, device=device)}

    def loss(self, logits: Float[Tensor, "batch 2"], targets: Targets) -> CountedMean:
        """Compute the cross-entropy."""
        region = targets["region"]
        return CountedMean(functional.cross_entropy(upcast_to_float32(logits), region), _num_clips(region))

    def metrics(self, logits: Float[Tensor, "batch 2"], targets: Targets) -> dict[str, CountedMean]:
        """Compute the accuracy."""
        region = targets["region"]
        return {"accuracy": _accuracy(logits.argmax(1) == region, _num_clips(region))}


class ConceptsTerm(LossTerm):
    """Semantic concepts: the asymmetric loss, summed over concepts, a mean over the clips that a sentence covers.

    The sum over concepts is that of the reference code of the asymmetric loss. A clip that no sentence covers has
    unknown concepts, not absent ones, and does not count.
    """

    selection_metric = "map"

    @property
    def num_outputs(self) -> int:
        """Number of concepts."""
        return self.num_labels.concepts

    def targets(self, samples: Sequence[ClipSample], device: torch.device) -> Targets:
        """Return `concepts`, a 0/1 matrix, and `has_caption`, whether a sentence covers the clip."""
        concepts = torch.zeros(len(samples), self.num_labels.concepts)
        for row, sample in enumerate(samples):
            concepts[row, list(sample.concepts or ())] = 1.0
        has_caption = [sample.concepts is not None for sample in samples]
        return {
            "concepts": concepts.to(device),
            "has_caption": torch.tensor(has_caption, dtype=torch.bool, device=device),
        }

    def loss(self, logits: Float[Tensor, "batch concepts"], targets: Targets) -> CountedMean:
        """Compute the asymmetric loss."""
        settings = self.settings
        assert isinstance(settings, AsymmetricLossSettings)
        per_clip = asymmetric_loss(
            logits, targets["concepts"], settings.gamma_neg, settings.gamma_pos, settings.margin
        ).sum(dim=1)
        return mean_over_clips(per_clip, targets["has_caption"])

    def validation_rows(self, logits: Float[Tensor, "batch concepts"], targets: Targets) -> tuple[Tensor, ...]:
        """Return logits and concepts of the clips that a sentence covers."""
        has_caption = targets["has_caption"]
        return logits[has_caption].float(), targets["concepts"][has_caption]

    def validation_metrics(self, *rows: np.ndarray) -> dict[str, float]:
        """Compute the mean average precision over concepts, `map`."""
        logits, concepts = rows
        return {"map": mean_average_precision(logits, concepts > 0)}


class Heads(nn.ModuleDict):
    """The heads of an encoder by the name of their term; feature extraction uses none of them.

    TSP's region head sees the feature of the whole video after the clip's (Section 3.3); without it this is the
    ablation "w/o GVF". The sigmoid of the concepts is part of their loss.

    Args:
        terms: the terms of the loss.
        dim: channels of the clip feature.
        global_dim: channels of the global feature, 0 without one.
    """

    def __init__(self, terms: Mapping[str, LossTerm], dim: int, global_dim: int = 0) -> None:
        with_global = {name for name, term in terms.items() if global_dim and term.sees_global_feature}
        input_dims = {name: dim + global_dim if name in with_global else dim for name in terms}
        super().__init__({name: term.head(input_dims[name]) for name, term in terms.items()})
        self.global_dim, self._with_global = global_dim, with_global

    def forward(
        self, features: Float[Tensor, "batch dim"], global_features: Float[Tensor, "batch global"] | None = None
    ) -> dict[str, Tensor]:
        """Compute the logits of every head.

        Args:
            features: features of the clips.
            global_features: features of their videos, if a head sees them.
        """
        concatenated = features
        if self._with_global:
            assert global_features is not None
            concatenated = torch.cat([features, global_features.to(features.dtype)], dim=1)
        return {name: head(concatenated if name in self._with_global else features) for name, head in self.items()}


def linear_head(dim: int, num_outputs: int) -> nn.Linear:
    """Build a linear layer, initialised as in TSP's code: weights ~ N(0, 0.01 as deviation), bias 0."""
    layer = nn.Linear(dim, num_outputs)
    nn.init.normal_(layer.weight, 0.0, 0.01)
    nn.init.zeros_(layer.bias)
    return layer


def build_loss_terms(config: EncoderEntry, num_labels: NumLabels) -> dict[str, LossTerm]:
    """Build the terms of the loss that have a weight and at least one class, in the order of the registry."""
    active = config.losses.active().items()
    terms = {name: LOSSES[name].load()(name, settings, num_labels) for name, settings in active}
    return {name: term for name, term in terms.items() if term.num_outputs}


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a batch.

    Attributes:
        total: weighted sum of the terms.
        terms: each term without its weight.
    """

    total: Float[Tensor, ""]
    terms: dict[str, CountedMean]


def pretraining_loss(
    logits: Mapping[str, Tensor], targets: Mapping[str, Targets], terms: Mapping[str, LossTerm]
) -> BatchLoss:
    """Compute the loss of a batch.

    Args:
        logits: logits of each term.
        targets: targets of each term.
        terms: the terms.
    """
    means = {name: term.loss(logits[name], targets[name]) for name, term in terms.items()}
    total = torch.stack([term.settings.weight * means[name].value for name, term in terms.items()]).sum()
    return BatchLoss(total, means)


def asymmetric_loss(
    logits: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    gamma_neg: float,
    gamma_pos: float,
    margin: float,
) -> Float[Tensor, "*shape"]:
    """Compute the asymmetric loss (Ben-Baruch et al., 2020, Section 2.3), element by element.

    With p = sigmoid(logit) and p_m = max(p - margin, 0):
    -y (1 - p)^gamma_pos log p - (1 - y) p_m^gamma_neg log(1 - p_m). Gradients flow through the focusing
    factors too. Computed in float32 at least, also under autocast; finite, with finite gradients, for every
    finite logit.

    Args:
        logits: logits of any shape and precision.
        targets: 0 or 1, of the same shape.
        gamma_neg: focusing parameter of the negatives.
        gamma_pos: focusing parameter of the positives.
        margin: negatives below this probability cost nothing.
    """
    x = upcast_to_float32(logits)
    positive = -torch.exp(gamma_pos * functional.logsigmoid(-x)) * functional.logsigmoid(x)
    excess = torch.sigmoid(x) - margin
    # 1 - p_m is at most 1. It is computed from sigmoid(-x), which keeps its digits where p rounds to 1.
    capped = torch.log((torch.sigmoid(-x) + margin).clamp(max=1.0))
    log_rest = capped if margin > 0 else functional.logsigmoid(-x)
    # Where p_m is 0 the logarithm is 0 too; a base of 1 keeps the gradient of the power finite for gamma below 1.
    negative = -(torch.where(excess > 0, excess, 1.0) ** gamma_neg) * log_rest
    return torch.where(targets > 0.5, positive, negative)


def selection_score(metrics: Mapping[str, float], terms: Mapping[str, LossTerm]) -> float:
    """Compute the score that selects the epoch: the mean accuracy of the heads (TSP, Section 4.1).

    Terms without an accuracy count only if no accuracy is known; then the score is the mean of their selection
    metrics. A metric that no validation clip contributes to is left out.

    Args:
        metrics: validation metrics, named `val_<term>_<metric>`.
        terms: the terms of the loss.
    """
    scores: dict[bool, list[float]] = {True: [], False: []}
    for name, term in terms.items():
        key = f"val_{name}_{term.selection_metric}"
        if key in metrics:
            scores[term.selection_metric == "accuracy"].append(metrics[key])
    chosen = scores[True] or scores[False]
    return sum(chosen) / len(chosen) if chosen else 0.0


def mean_average_precision(
    scores: Float[np.ndarray, "clips concepts"], is_positive: Bool[np.ndarray, "clips concepts"]
) -> float:
    """Compute the mean over concepts of the average precision; equal scores share one rank.

    Args:
        scores: score of each concept; higher means more likely.
        is_positive: whether the clip shows the concept; concepts that no clip shows are left out.

    Returns:
        0 to 1; 0 if no clip shows any concept.
    """
    from sklearn.metrics import average_precision_score  # only a validation with concepts needs its slow import

    concepts = np.flatnonzero(is_positive.any(axis=0))
    precisions = [average_precision_score(is_positive[:, concept], scores[:, concept]) for concept in concepts]
    return float(np.mean(precisions)) if precisions else 0.0


def _accuracy(correct: Bool[Tensor, "batch"], count: Int64[Tensor, ""]) -> CountedMean:
    return CountedMean(correct.sum() / count.clamp(min=1), count)


def _num_clips(targets: Int64[Tensor, "batch"]) -> Int64[Tensor, ""]:
    return torch.full((), len(targets), dtype=torch.int64, device=targets.device)
