"""Training on proposals instead of annotated times: which proposals stand for which event, drawn anew each epoch.

As the reference implementation of [9] does: an event draws one of the proposals that overlap it more than any other
event; its own best proposal always is among them. An event that no proposal overlaps keeps its annotated times.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pipeline.captioning.data import EventSequence
from pipeline.evaluation.events import tiou
from pipeline.evaluation.ragged import grid
from pipeline.localization.proposals import Proposal

Segments = Float[np.ndarray, "segments 2"]
"""Start and end of each, seconds."""


class Proposed:
    """Event sequences at proposed times.

    Args:
        sequences: annotated.
        proposals: by video.

    Attributes:
        alone: how many events no proposal overlaps.
    """

    def __init__(self, sequences: Sequence[EventSequence], proposals: Mapping[str, Sequence[Proposal]]) -> None:
        self._sequences = sequences
        self._choices = [
            matched(
                np.array(one.times, np.float64).reshape(-1, 2),
                np.array([(found.start, found.end) for found in proposals.get(one.video, ())]).reshape(-1, 2),
            )
            for one in sequences
        ]
        self.alone = sum(len(choice) == 0 for choices in self._choices for choice in choices)
        if self.alone:
            logging.info("%d events that no proposal overlaps are trained on at their annotated times", self.alone)

    def draw(self, times: int, draw: np.random.Generator) -> list[EventSequence]:
        """Each sequence so many times, one after the other, with a proposal drawn for each of its events."""
        return [
            _at_proposals(sequence, choices, draw)
            for sequence, choices in zip(self._sequences, self._choices, strict=True)
            for _ in range(times)
        ]


def matched(events: Segments, proposals: Float[np.ndarray, "proposals 2"]) -> list[Float[np.ndarray, "_ 2"]]:
    """The proposals that may stand for each event: those that overlap it most of all events, and its best.

    Of equal overlaps the earlier event's, or the earlier proposal's, counts.
    """
    _, one, other = grid(np.array([len(events)]), np.array([len(proposals)]))
    overlap = tiou(events[one], proposals[other]).reshape(len(events), len(proposals))
    fits = np.zeros(overlap.shape, bool)
    if overlap.size:
        fits[overlap.argmax(0), np.arange(len(proposals))] = True
        fits[np.arange(len(events)), overlap.argmax(1)] = True
    return [proposals[row] for row in fits & (overlap > 0)]


def _at_proposals(
    sequence: EventSequence, choices: Sequence[Float[np.ndarray, "_ 2"]], draw: np.random.Generator
) -> EventSequence:
    drawn = [
        (tuple(choice[draw.integers(len(choice))].tolist()) if len(choice) else times, sentence)
        for times, sentence, choice in zip(sequence.times, sequence.sentences, choices, strict=True)
    ]
    drawn.sort()  # events are captioned in time order
    return EventSequence(sequence.video, tuple(times for times, _ in drawn), tuple(sentence for _, sentence in drawn))
