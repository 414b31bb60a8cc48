"""Events of captions and references: which videos are scored, how events overlap, and which pairs are matched.

Krishna et al. (ICCV 2017), section 5, as densevid_eval implements it: a caption is matched with every reference, of
every annotator, that it overlaps enough. A caption without any match is paired with garbage.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from pipeline.datasets.tiou import tiou_densevid
from pipeline.errors import PipelineError
from pipeline.evaluation.ragged import Indices, chunk_by_weight, enumerate_cells, offsets_of

MAX_CELLS = 2_000_000
"""How many overlaps are computed at a time: 200 MB."""

PairDocument = Sequence[tuple[str, str]]
"""The (caption, reference) pairs of one video at one threshold."""


@dataclass(frozen=True)
class VideoEvents:
    """Captioned events of a video.

    Attributes:
        times: start and end of each event [s]. An event that ends before it starts overlaps nothing.
        sentences: caption of each event.
    """

    times: Float[np.ndarray, "events 2"]
    sentences: tuple[str, ...]

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[float, float, str]]) -> "VideoEvents":
        """Build events from (start, end, sentence)."""
        events = list(rows)
        times = np.array([event[:2] for event in events], np.float64).reshape(-1, 2)
        return cls(times, tuple(event[2] for event in events))

    def truncate(self, count: int) -> "VideoEvents":
        """Return the first events of the list, at most `count`."""
        return VideoEvents(self.times[:count], self.sentences[:count])

    def sort_by_start(self) -> "VideoEvents":
        """Return the events in order of their start; events that start together keep their order."""
        order = np.argsort(self.times[:, 0], kind="stable")
        return VideoEvents(self.times[order], tuple(self.sentences[index] for index in order))


NO_EVENTS = VideoEvents.from_rows([])

EventsByVideo = Mapping[str, VideoEvents]
"""The events of each video, by one annotator or one captioner."""


@dataclass(frozen=True)
class FlatEvents:
    """The events of many videos, concatenated.

    Attributes:
        times: start and end of each event [s].
        sentences: caption of each event.
        offsets: index of each video's first event, and the number of all events.
    """

    times: Float[np.ndarray, "events 2"]
    sentences: tuple[str, ...]
    offsets: Int[np.ndarray, " offsets"]

    @classmethod
    def concatenate(cls, videos: Sequence[Sequence[VideoEvents]]) -> "FlatEvents":
        """Concatenate the events of each video, which may come in several parts."""
        parts = [events for video in videos for events in video]
        return cls(
            np.concatenate([np.empty((0, 2)), *(part.times for part in parts)]),
            tuple(sentence for part in parts for sentence in part.sentences),
            offsets_of(np.array([sum(len(part.sentences) for part in video) for video in videos], np.int64)),
        )

    @property
    def counts(self) -> Int[np.ndarray, " videos"]:
        """Number of events of each video."""
        return np.diff(self.offsets)


def find_overlaps(
    captions: FlatEvents, references: FlatEvents, min_tiou: float
) -> tuple[Indices, Indices, Float[np.ndarray, " overlaps"]]:
    """Find the captions and references of the same video that overlap.

    Args:
        captions: events of each video.
        references: events of the same videos.
        min_tiou: lowest tIoU of an overlap.

    Returns:
        Index of the caption (ascending), index of the reference (ascending for a caption), tIoU.
    """
    overlaps: list[tuple[Indices, Indices, Float[np.ndarray, " n"]]] = []
    for chunk in chunk_by_weight(captions.counts * references.counts, MAX_CELLS):
        video, row, column = enumerate_cells(captions.counts[chunk], references.counts[chunk])
        caption, reference = captions.offsets[chunk][video] + row, references.offsets[chunk][video] + column
        tiou = tiou_densevid(captions.times[caption], references.times[reference])
        hits = np.flatnonzero(tiou >= min_tiou)
        overlaps.append((caption[hits], reference[hits], tiou[hits]))
    caption, reference, tiou = (np.concatenate(column) for column in zip(*overlaps, strict=True))
    return caption, reference, tiou


class EventMatcher:
    """Matches captions with references, at any threshold.

    Args:
        captions: events of each video.
        references: events of each video, by every annotator of that video; none is empty.
        min_tiou: the lowest threshold of interest.
    """

    def __init__(
        self, captions: Sequence[VideoEvents], references: Sequence[Sequence[VideoEvents]], min_tiou: float
    ) -> None:
        self.captions = FlatEvents.concatenate([[events] for events in captions])
        self.references = FlatEvents.concatenate(references)
        self._caption, self._reference, self._tiou = find_overlaps(self.captions, self.references, min_tiou)
        self._num_annotators = np.array([len(annotators) for annotators in references], np.int64)
        # Annotators are numbered through all videos: each (video, annotator) has a number of its own.
        self._num_events = np.array([len(events.sentences) for video in references for events in video], np.int64)
        self._annotator = np.repeat(np.arange(len(self._num_events)), self._num_events)

    def pair_documents(self, threshold: float, garbage: str) -> list[PairDocument]:
        """Pair captions with references, video by video.

        Args:
            threshold: a caption is paired with every reference of tIoU >= threshold.
            garbage: the reference of a caption that has none.

        Returns:
            (caption, reference) pairs of each video, in order of the captions.
        """
        hits = self._tiou >= threshold
        total = len(self.captions.sentences)
        unmatched = np.flatnonzero(np.bincount(self._caption[hits], minlength=total) == 0)
        caption = np.concatenate([self._caption[hits], unmatched])
        reference = np.concatenate([self._reference[hits], np.full(len(unmatched), -1)])
        order = np.argsort(caption, kind="stable")
        captions, references = self.captions.sentences, (*self.references.sentences, garbage)
        pairs = [(captions[i], references[j]) for i, j in zip(caption[order], reference[order], strict=True)]
        ends = np.searchsorted(caption[order], self.captions.offsets)
        return [pairs[start:end] for start, end in pairwise(ends)]

    def precision_recall(self, threshold: float) -> tuple[Float[np.ndarray, " videos"], Float[np.ndarray, " videos"]]:
        """Compute the localization precision and recall of each video.

        A caption and a reference match if tIoU > threshold: strictly, unlike in `pair_documents`. Precision is the
        share of captions that match a reference, recall the share of references that match a caption. Each is the best
        over the annotators, independently of the other. A video without captions has 0 and 0.
        """
        hits = self._tiou > threshold
        num_captions, num_events = len(self.captions.sentences), self._num_events
        matches = np.unique(self._annotator[self._reference[hits]] * num_captions + self._caption[hits])
        annotator = matches // max(1, num_captions)
        captions_of_video = np.repeat(self.captions.counts, self._num_annotators)
        precision = np.bincount(annotator, minlength=len(num_events)) / np.maximum(1, captions_of_video)
        matched_references = self._annotator[np.unique(self._reference[hits])]
        recall = np.bincount(matched_references, minlength=len(num_events)) / num_events
        first = offsets_of(self._num_annotators)[:-1]
        return np.maximum.reduceat(precision, first), np.maximum.reduceat(recall, first)


def collect_references(references: Sequence[EventsByVideo]) -> dict[str, list[VideoEvents]]:
    """Collect the references of every video, sorted by id: the events of each annotator who has the video.

    Raises:
        PipelineError: there is no video, or an annotator has no events for one.
    """
    names = sorted(set().union(*references))
    if not names:
        raise PipelineError("there are no reference videos to score captions against")
    videos = {name: [reference[name] for reference in references if name in reference] for name in names}
    for name, annotators in videos.items():
        if not all(events.sentences for events in annotators):
            raise PipelineError(f"references: video {name} has no events; remove it from that file")
    return videos


def truncate_captions(
    predictions: EventsByVideo, videos: Collection[str], max_proposals: int
) -> tuple[list[VideoEvents], int]:
    """Take the first captions of each video, at most `max_proposals`.

    Returns:
        Captions, in the order of the videos; number of ignored captions.
    """
    captions = [predictions.get(video, NO_EVENTS) for video in videos]
    num_ignored = sum(max(0, len(events.sentences) - max_proposals) for events in captions)
    if num_ignored:
        logging.warning(
            "ignored %d captions beyond the first %d of their video (max_proposals)", num_ignored, max_proposals
        )
    return [events.truncate(max_proposals) for events in captions], num_ignored


def find_unknown_videos(predictions: EventsByVideo, videos: Collection[str]) -> tuple[str, ...]:
    """Find the captioned videos that no reference has, and warn of them."""
    unknown = sorted(predictions.keys() - set(videos))
    if unknown:
        logging.warning(
            "ignored the captions of %d videos that are not in the references: %s",
            len(unknown),
            abbreviate_names(unknown),
        )
    return tuple(unknown)


def check_coverage(
    name: str, predictions: EventsByVideo, references: Sequence[EventsByVideo], require_complete: bool
) -> None:
    """Check that captions and references have videos in common.

    Args:
        name: name of the captions, for the error.
        predictions: captions of each video.
        references: references of each video, by annotator.
        require_complete: whether every reference video must have captions.

    Raises:
        PipelineError: no video in common, or a reference video without captions where none is allowed.
    """
    videos = set().union(*references)
    if predictions and videos and not videos & predictions.keys():
        raise PipelineError(
            f"{name}: no video is in the references: the captions have {abbreviate_names(sorted(predictions))}, "
            f"the references have {abbreviate_names(sorted(videos))}"
        )
    missing = sorted(video for video in videos if not predictions.get(video, NO_EVENTS).sentences)
    if require_complete and missing:
        raise PipelineError(
            f"{name}: {len(missing)} of {len(videos)} reference videos have no captions ({abbreviate_names(missing)}); "
            "caption them, or leave out require_complete"
        )


def warn_missing_videos(missing: Sequence[str], num_videos: int) -> None:
    """Warn of reference videos without captions."""
    if missing:
        logging.warning(
            "%d of %d reference videos have no captions and score 0: %s",
            len(missing),
            num_videos,
            abbreviate_names(missing),
        )


def abbreviate_names(names: Sequence[str]) -> str:
    """Join the first three names, with an ellipsis if there are more."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
