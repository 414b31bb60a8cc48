"""What a captioner learns of the events of a batch: a caption for each, and facts about all captions of the event."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.captioning.attributes.attribute_list import AttributeList
from pipeline.captioning.event_sequences import encode_sentences, sentences_of
from pipeline.captioning.streams import EventSequence
from pipeline.datasets.vocabulary import Vocabulary

EventKey = tuple[str, tuple[float, float]]
"""A video and the times of an event [s]."""


@dataclass(frozen=True)
class CaptionTargets:
    """Targets of the events of a batch.

    Attributes:
        tokens: a caption for each event, as `encode_sentences` makes it.
        words: the words of that caption, at most as many as a caption can have.
        lengths: share of the event's captions by number of words, from 0 to the maximum. Longer captions have the
            maximum; a caption has at least one word.
        attributes: 1 for the attributes that any caption of the event has, else 0; no columns without attributes.
    """

    tokens: Int64[Tensor, "events words"]
    words: list[list[str]]
    lengths: Float[Tensor, "events lengths"]
    attributes: Float[Tensor, "events attributes"]

    def to(self, device: torch.device) -> "CaptionTargets":
        """Copy the targets to a device."""
        tensors = {name: getattr(self, name).to(device) for name in ("tokens", "lengths", "attributes")}
        return replace(self, **tensors)


class TargetEncoder:
    """Makes the targets of batches.

    All captions of a video with the same times are captions of one event, whoever wrote them.

    Args:
        sequences: all annotated sequences of the training.
        vocabulary: the vocabulary.
        max_words: maximum number of words in a caption.
        attributes: the attributes; None: there are none.
    """

    def __init__(
        self,
        sequences: Sequence[EventSequence],
        vocabulary: Vocabulary,
        max_words: int,
        attributes: AttributeList | None = None,
    ) -> None:
        self.vocabulary, self.max_words, self.attributes = vocabulary, max_words, attributes
        self._captions: dict[EventKey, list[str]] = defaultdict(list)
        for sequence in sequences:
            for key, sentence in zip(_event_keys(sequence), sequence.sentences, strict=True):
                self._captions[key].append(sentence)
        self._encoded: dict[EventKey, tuple[Tensor, Tensor]] = {}

    def encode(self, sequences: Sequence[EventSequence]) -> CaptionTargets:
        """Return the targets of a batch, on the CPU."""
        sentences = sentences_of(sequences)
        of_events = [self._encode_event(key) for sequence in sequences for key in _event_keys(sequence)]
        return CaptionTargets(
            encode_sentences(sentences, self.vocabulary, self.max_words),
            [self.vocabulary.split(sentence)[: self.max_words] for sentence in sentences],
            torch.stack([lengths for lengths, _ in of_events]),
            torch.stack([labels for _, labels in of_events]),
        )

    def _encode_event(self, key: EventKey) -> tuple[Tensor, Tensor]:
        """Return the shares of lengths and the labels of an event."""
        if key not in self._encoded:
            captions = [self.vocabulary.split(sentence) for sentence in self._captions[key]]
            lengths = torch.zeros(self.max_words + 1)
            for words in captions:
                lengths[min(max(len(words), 1), self.max_words)] += 1 / len(captions)
            labels = torch.zeros(len(self.attributes.words) if self.attributes else 0)
            if self.attributes:
                labels[self.attributes.positive_ids(captions)] = 1.0
            self._encoded[key] = (lengths, labels)
        return self._encoded[key]


def _event_keys(sequence: EventSequence) -> list[EventKey]:
    return [(sequence.video, times) for times in sequence.times]
