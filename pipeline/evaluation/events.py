"""Captioned events of videos, and how much they overlap in time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluation.ragged import Indices, bounds, grid, pieces

CELLS = 2_000_000
"""So many overlaps are computed at a time, 200 MB."""


@dataclass(frozen=True)
class Events:
    """Captioned events of a video.

    Attributes:
        times: start and end of each, seconds. An event that ends before it starts overlaps nothing.
        sentences: what is said of each.
    """

    times: Float[np.ndarray, "events 2"]
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, events: Iterable[tuple[float, float, str]]) -> "Events":
        """From (start, end, sentence)."""
        rows = list(events)
        times = np.array([row[:2] for row in rows], np.float64).reshape(-1, 2)
        return cls(times, tuple(row[2] for row in rows))

    def first(self, count: int) -> "Events":
        """The first events of the list, at most `count`."""
        return Events(self.times[:count], self.sentences[:count])


NOTHING = Events.of([])

ByVideo = Mapping[str, Events]
"""The events of each video, by one annotator or one captioner."""


@dataclass(frozen=True)
class Side:
    """The events of many videos, one behind the other.

    Attributes:
        times: seconds.
        sentences: of each event.
        bounds: where the events of each video begin, and where the last one's end.
    """

    times: Float[np.ndarray, "events 2"]
    sentences: tuple[str, ...]
    bounds: Int[np.ndarray, " bounds"]

    @classmethod
    def of(cls, videos: Sequence[Sequence[Events]]) -> "Side":
        """The events of each video, given in parts."""
        parts = [events for video in videos for events in video]
        return cls(
            np.concatenate([np.empty((0, 2)), *(part.times for part in parts)]),
            tuple(sentence for part in parts for sentence in part.sentences),
            bounds(np.array([sum(len(part.sentences) for part in video) for video in videos], np.int64)),
        )

    @property
    def counts(self) -> Int[np.ndarray, " videos"]:
        """Events of each video."""
        return np.diff(self.bounds)


def tiou(one: Float[np.ndarray, "n 2"], other: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Temporal intersection over union of segments, two by two, by the official caption evaluator's formula.

    Its 1e-8 below the line keeps events without length at 0, and puts every other value a little below the true one:
    10 s of 20 s are not quite 0.5. `localization.tiou` has the formula of ActivityNet's own evaluators, without it:
    official numbers need each in its place.

    Args:
        one: start and end of each, seconds.
        other: the same.
    """
    intersection = np.minimum(one[:, 1], other[:, 1]) - np.maximum(one[:, 0], other[:, 0])
    hull = np.maximum(one[:, 1], other[:, 1]) - np.minimum(one[:, 0], other[:, 0])
    lengths = (one[:, 1] - one[:, 0]) + (other[:, 1] - other[:, 0])
    return np.maximum(0, intersection) / (np.minimum(hull, lengths) + 1e-8)


def overlaps(captions: Side, references: Side, least: float) -> tuple[Indices, Indices, Float[np.ndarray, " overlaps"]]:
    """Which events of the same video overlap.

    Args:
        captions: of each video.
        references: of the same videos.
        least: tIoU from which on two events count.

    Returns:
        Index of the caption, ascending; of the reference, ascending for a caption; tIoU.
    """
    found: list[tuple[Indices, Indices, Float[np.ndarray, " n"]]] = []
    for part in pieces(captions.counts * references.counts, CELLS):
        video, row, column = grid(captions.counts[part], references.counts[part])
        caption, reference = captions.bounds[part][video] + row, references.bounds[part][video] + column
        value = tiou(captions.times[caption], references.times[reference])
        hit = np.flatnonzero(value >= least)
        found.append((caption[hit], reference[hit], value[hit]))
    caption, reference, value = (np.concatenate(column) for column in zip(*found, strict=True))
    return caption, reference, value
