"""What NACF learns from: captions with masked words, their visual words, and their length (Yang et al., 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from pipeline.datasets.tagger import Tagger, tag_words

VISUAL_KINDS = ("NOUN", "VERB")
"""Universal parts of speech of visual words."""
FORMS_OF_BE = frozenset(["is", "are", "was", "were", "be"])
"""Verbs that show nothing."""
CACHED_CAPTIONS = 1 << 18
"""Captions whose tags are kept: tagging a caption takes longer than a training step with it."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids that only a decoder without order reads.

    Attributes:
        pad: stands after the last word.
        mask: stands for a word to predict.
        visual: stands for a word of which only the visual ones are predicted.
    """

    pad: int
    mask: int
    visual: int


@dataclass(frozen=True)
class MaskedCaptions:
    """A task of prediction.

    Attributes:
        source: ids that the decoder reads.
        targets: ids that it predicts.
        scored: the positions that count.
    """

    source: Int64[Tensor, "events words"]
    targets: Int64[Tensor, "events words"]
    scored: Bool[Tensor, "events words"]


def mask_words(
    words: Int64[Tensor, "events words"], mask: Bool[Tensor, "events words"], ids: SpecialIds
) -> MaskedCaptions:
    """Mask a random part of the words of each caption: one to all but one, each number as probable as the others.

    A caption of two words has one masked. In a caption of one word nothing is masked, as published.

    Args:
        words: words of each caption.
        mask: true for words, false behind the caption's end.
        ids: special ids.
    """
    lengths = mask.sum(1)
    # As published: from 1 to length - 1, drawn uniformly.
    counts = 1 + (torch.rand(len(words), device=words.device) * (lengths - 1).clamp_min(1)).floor()
    counts = counts.masked_fill(lengths < 2, 0)
    order = torch.rand(words.shape, device=words.device).masked_fill(~mask, 2.0).argsort(1).argsort(1)
    return mask_positions(words, mask, mask & (order < counts[:, None]), ids)


def mask_positions(
    words: Int64[Tensor, "events words"],
    mask: Bool[Tensor, "events words"],
    chosen: Bool[Tensor, "events words"],
    ids: SpecialIds,
) -> MaskedCaptions:
    """Mask the chosen words, which are the targets."""
    source = words.masked_fill(chosen, ids.mask).masked_fill(~mask, ids.pad)
    return MaskedCaptions(source, words.masked_fill(~chosen, ids.pad), chosen)


def ask_for_visual_words(
    words: Int64[Tensor, "events words"],
    mask: Bool[Tensor, "events words"],
    is_visual: Bool[Tensor, "events words"],
    ids: SpecialIds,
) -> MaskedCaptions:
    """Hide all words; the targets are the visual ones, and `ids.mask` at the positions of the others."""
    source = torch.full_like(words, ids.visual).masked_fill(~mask, ids.pad)
    targets = words.masked_fill(~is_visual, ids.mask).masked_fill(~mask, ids.pad)
    return MaskedCaptions(source, targets, mask)


def find_visual_words(
    captions: Sequence[Sequence[str]], tagger: Tagger, shape: torch.Size
) -> Bool[Tensor, "events words"]:
    """Return which words of captions are nouns or verbs, but for forms of "be".

    Args:
        captions: the words of each caption.
        tagger: the spaCy pipeline.
        shape: shape of the result; behind a caption's end it is false.
    """
    is_visual = torch.zeros(shape, dtype=torch.bool)
    for row, words in enumerate(captions):
        flags = _visual_flags(tuple(words), tagger)[: shape[1]]
        is_visual[row, : len(flags)] = torch.tensor(flags, dtype=torch.bool)
    return is_visual


@lru_cache(CACHED_CAPTIONS)
def _visual_flags(words: tuple[str, ...], tagger: Tagger) -> tuple[bool, ...]:
    [tagged] = tag_words([words], tagger)
    return tuple(word.pos in VISUAL_KINDS and word.form not in FORMS_OF_BE for word in tagged)


class LengthPredictor(nn.Module):
    """Predicts the number of words of a caption from the mean of the event's instances.

    Args:
        hidden: size of an instance.
        lengths: number of lengths, from 0.
        dropout: dropout on the hidden layer.
    """

    def __init__(self, hidden: int, lengths: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, lengths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, mean: Float[Tensor, "events dim"]) -> Float[Tensor, "events lengths"]:
        """Return the logits of the lengths."""
        logits: Tensor = self.output(self.dropout(torch.relu(self.hidden(mean))))
        return logits


def length_loss(
    log_probs: Float[Tensor, "events lengths"], shares: Float[Tensor, "events lengths"]
) -> Float[Tensor, ""]:
    """Return the Kullback-Leibler divergence of predicted lengths from the shares of an event's captions, per event."""
    expected = shares > 0
    return (shares[expected] * (shares[expected].log() - log_probs[expected])).sum() / len(shares)
