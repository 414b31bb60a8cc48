"""Dual attribute prediction: which words do the captions of an event have?

From CLIP-DAP (Yang et al., 2022, section 4). The visual side answers from the encoded features (VAP, section 4.2), the
text side from the words of a caption (TAP, section 4.3). Each instance, a feature row or a word, votes for each
attribute; a noisy-OR joins the votes (equations 6 and 7). The loss is binary cross-entropy, divided by the number of
positive attributes, and a regulariser that keeps the mean vote below the share of positive attributes (equations 8
and 9).

The clamp of the probabilities comes from the authors' public code; the paper does not mention it. Where it cuts, the
gradient of the cross-entropy is 0, and only the regulariser moves the votes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

from pipeline.captioning.clip.encoder import LAYER_NORM_EPS, init_weights
from pipeline.captioning.instances import Instances
from pipeline.config.attributes import AttributeSettings
from pipeline.errors import PipelineError

MIN_ABSENCE = 1e-12
"""Smallest probability that an instance does not show an attribute."""
PROBABILITY_RANGE = (0.01, 0.99)
"""Probabilities are clamped to this range in the cross-entropy."""


@dataclass(frozen=True)
class AttributeProbabilities:
    """Predicted attributes of events.

    Attributes:
        probabilities: probability of each attribute, by noisy-OR over the instances.
        mean: mean probability over the instances and attributes of each event.
    """

    probabilities: Float[Tensor, "events attributes"]
    mean: Float[Tensor, " events"]


def noisy_or(
    logits: Float[Tensor, "events instances attributes"], mask: Bool[Tensor, "events instances"]
) -> AttributeProbabilities:
    """Join the votes of the instances: an attribute is absent if no instance shows it.

    Args:
        logits: vote of each instance for each attribute.
        mask: true for instances that vote. An event of which none votes has no attribute.
    """
    absent = torch.sigmoid(-logits).clamp_min(MIN_ABSENCE).log().masked_fill(~mask[..., None], 0.0)
    votes = torch.sigmoid(logits).masked_fill(~mask[..., None], 0.0)
    mean = votes.mean(2).sum(1) / mask.sum(1).clamp_min(1)
    return AttributeProbabilities(1 - absent.sum(1).exp(), mean)


def attribute_loss(
    predicted: AttributeProbabilities, labels: Float[Tensor, "events attributes"], regularizer: float
) -> Float[Tensor, ""]:
    """Return the loss of one side, averaged over the events.

    Args:
        predicted: the predicted attributes.
        labels: 1 for attributes of the event, else 0. An event may have none: its cross-entropy is divided by 1.
        regularizer: weight of the regulariser.
    """
    clamped = predicted.probabilities.clamp(*PROBABILITY_RANGE)
    num_positive = labels.sum(1)
    cross_entropy = F.binary_cross_entropy(clamped, labels, reduction="none").sum(1) / num_positive.clamp_min(1)
    excess = (predicted.mean - num_positive / labels.shape[1]).clamp_min(0)
    return (cross_entropy + regularizer * excess).mean()


def sample_sparsely(mask: Bool[Tensor, "events instances"]) -> Bool[Tensor, "events instances"]:
    """Draw the instances that vote in training: a uniformly drawn share of each event's instances (section 4.2).

    The number is rounded up, and the instances are drawn without replacement, from all streams together.
    """
    share = torch.rand(len(mask), 1, device=mask.device)
    counts = (mask.sum(1, keepdim=True) * share).ceil()
    order = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, 2.0).argsort(1)
    return mask & (order.argsort(1) < counts)


class AttributePredictor(nn.Module):
    """The heads of both sides.

    Args:
        settings: sides, weights and sampling.
        count: number of attributes.
        dims: size of the instances of each side, `visual` and `text`.
        positions: largest number of words, if words need positions before they vote; None: they have them already.

    Raises:
        PipelineError: the sides are to share a head, but their instances differ in size.
    """

    def __init__(
        self, settings: AttributeSettings, count: int, dims: dict[str, int], positions: int | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        self.word_positions = None
        if settings.text and positions is not None:
            self.word_positions = WordPositions(dims["text"], positions, settings.dropout)
        sides = [side for side in ("visual", "text") if getattr(settings, side)]
        if settings.shared:
            if dims["visual"] != dims["text"]:
                raise PipelineError(
                    f"attributes: shared: the head needs instances of one size, but features have {dims['visual']} "
                    f"channels and words {dims['text']}; set shared: false"
                )
            head = nn.Linear(dims["visual"], count)
            self.heads = nn.ModuleDict(dict.fromkeys(sides, head))
        else:
            self.heads = nn.ModuleDict({side: nn.Linear(dims[side], count) for side in sides})
        self.apply(init_weights)

    def predict(self, side: str, instances: Instances) -> AttributeProbabilities:
        """Predict attributes from the instances of one side."""
        values = instances.values
        if side == "text" and self.word_positions is not None:
            values = self.word_positions(values)
        return noisy_or(self.heads[side](values), instances.mask)

    def compute_losses(
        self, visual: Instances, text: Instances, labels: Float[Tensor, "events attributes"]
    ) -> dict[str, Tensor]:
        """Compute the weighted loss of each side that is switched on.

        Args:
            visual: encoded feature rows of each event.
            text: embedded words of the caption of each event.
            labels: 1 for attributes of the event, else 0.
        """
        settings, losses = self.settings, {}
        if "visual" in self.heads:
            sparse = self.training and settings.sparse_sampling
            mask = sample_sparsely(visual.mask) if sparse else visual.mask
            predicted = self.predict("visual", Instances(visual.values, mask))
            losses["visual_attributes"] = settings.visual_weight * attribute_loss(
                predicted, labels, settings.regularizer
            )
        if "text" in self.heads:
            predicted = self.predict("text", text)
            losses["text_attributes"] = settings.text_weight * attribute_loss(predicted, labels, settings.regularizer)
        return losses


class WordPositions(nn.Module):
    """Adds trained positions to words and normalises them, for decoders whose words have no positions.

    Args:
        dim: size of a word.
        positions: largest number of words.
        dropout: dropout on the output.
    """

    def __init__(self, dim: int, positions: int, dropout: float) -> None:
        super().__init__()
        self.position_embedding = nn.Embedding(positions, dim)
        self.norm = nn.LayerNorm(dim, LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Float[Tensor, "events words dim"]) -> Float[Tensor, "events words dim"]:
        """Place the words of each event."""
        placed: Tensor = self.dropout(self.norm(words + self.position_embedding.weight[: words.shape[1]]))
        return placed
