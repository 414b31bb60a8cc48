"""Clips and their labels: segments of the annotations, concepts of the captions, and the sampler (TSP, Section 3.3).

The sampler holds all randomness of the data: positions of clips, their order, crops and flips. Data-loader workers draw
no random numbers, so their number does not change the training.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.datasets.concepts import Concept
from pipeline.datasets.corpus import ActionSegment, CaptionedEvent
from pipeline.datasets.text import split_words
from pipeline.encoders.clip_transforms import central_crop_offset

BACKGROUND, FOREGROUND = 0, 1
"""Temporal regions, numbered as in TSP (Section 3.3)."""

NO_ACTION = -1
"""Action class of a background clip; the action loss ignores it."""

_ROUNDING = 1e-9
"""Seconds by which a difference of two decimal times may miss the duration of a clip."""


@dataclass(frozen=True)
class RegionSegment:
    """A part of a video that is all foreground of one action, or all background.

    Attributes:
        video: id.
        start: seconds.
        end: seconds, after `start`.
        action: action class, or NO_ACTION for background.
    """

    video: str
    start: float
    end: float
    action: int


def action_segments(
    annotations: Iterable[ActionSegment], durations: Mapping[str, float], labels: list[str]
) -> list[RegionSegment]:
    """Return the action segments of the given videos, clipped to the duration of the video; empty ones are left out.

    Args:
        annotations: `Corpus.segments`; those without a label are skipped.
        durations: seconds of each video in use; segments of other videos are skipped.
        labels: the action classes; the index of a label is its class.
    """
    classes = {label: index for index, label in enumerate(labels)}
    return [
        RegionSegment(annotation.video, *times, classes[annotation.label])
        for annotation in annotations
        if annotation.label is not None and (times := _clip_to_video(annotation, durations))
    ]


def annotated_background(annotations: Iterable[ActionSegment], durations: Mapping[str, float]) -> list[RegionSegment]:
    """Return the background that the annotations state, clipped to the duration of the video.

    Args:
        annotations: `Corpus.segments`; those with a label are skipped.
        durations: as in `action_segments`.
    """
    return [
        RegionSegment(annotation.video, *times, NO_ACTION)
        for annotation in annotations
        if annotation.label is None and (times := _clip_to_video(annotation, durations))
    ]


def _clip_to_video(annotation: ActionSegment, durations: Mapping[str, float]) -> tuple[float, float] | None:
    """Clip the times of a segment to its video; None if the video is not in use, or nothing is left."""
    duration = durations.get(annotation.video)
    if duration is None:
        return None
    start, end = max(0.0, annotation.start), min(duration, annotation.end)
    return (start, end) if start < end else None


def background_segments(
    actions: Iterable[RegionSegment], durations: Mapping[str, float], min_gap: float
) -> list[RegionSegment]:
    """Return the gaps of at least `min_gap` seconds between the action segments of each video.

    Videos without an action segment have no background: a missing annotation does not make a video background.
    """
    by_video: dict[str, list[RegionSegment]] = {}
    for segment in actions:
        by_video.setdefault(segment.video, []).append(segment)
    gaps = []
    for video, segments in by_video.items():
        gap_start = 0.0
        for segment in sorted(segments, key=lambda segment: segment.start):
            gaps.append(RegionSegment(video, gap_start, segment.start, NO_ACTION))
            gap_start = max(gap_start, segment.end)
        gaps.append(RegionSegment(video, gap_start, durations[video], NO_ACTION))
    return [gap for gap in gaps if gap.end - gap.start >= min_gap]


def drop_short(segments: Iterable[RegionSegment], seconds: float) -> list[RegionSegment]:
    """Return the segments that are at least as long as a clip of the given duration."""
    return [segment for segment in segments if segment.end - segment.start >= seconds - _ROUNDING]


class ConceptLabels:
    """Concepts of videos over time: those of the sentences that cover a moment (SA-TSP, Section 1.1).

    Args:
        captions: captioned events of all annotators.
        concepts: the concepts; without concepts no moment is covered.
    """

    def __init__(self, captions: Iterable[CaptionedEvent], concepts: list[Concept]) -> None:
        indices_by_form: dict[str, list[int]] = {}
        for index, concept in enumerate(concepts):
            for form in concept.forms:
                indices_by_form.setdefault(form, []).append(index)
        self._events: dict[str, list[tuple[float, float, frozenset[int]]]] = {}
        for event in captions if concepts else ():
            indices = frozenset(
                index for word in split_words(event.sentence) for index in indices_by_form.get(word, ())
            )
            self._events.setdefault(event.video, []).append((event.start, event.end, indices))

    def at(self, video: str, seconds: float) -> tuple[int, ...] | None:
        """Return the sorted indices of the concepts at a moment; None if no sentence covers it."""
        covering = [indices for start, end, indices in self._events.get(video, ()) if start <= seconds <= end]
        return tuple(sorted(frozenset().union(*covering))) if covering else None


@dataclass(frozen=True)
class ClipSample:
    """A clip to read, its augmentation and its labels.

    Attributes:
        video: id.
        start_frame: its first frame, counted at the clip's frame rate.
        action: action class, or NO_ACTION.
        concepts: indices of its concepts; None if no sentence covers its centre.
        top: first row of the crop in the resized frame, pixels.
        left: first column of the crop.
        flip: whether the clip is mirrored.
    """

    video: str
    start_frame: int
    action: int
    concepts: tuple[int, ...] | None
    top: int
    left: int
    flip: bool


class ClipSampler:
    """Draws clips from segments.

    Args:
        clip: geometry of a clip.
        num_frames: frames of each video at the clip's frame rate.
        sizes: height and width of each video's resized frames, pixels.
        concept_labels: concepts of the videos.
    """

    def __init__(
        self,
        clip: ClipGeometry,
        num_frames: Mapping[str, int],
        sizes: Mapping[str, tuple[int, int]],
        concept_labels: ConceptLabels,
    ) -> None:
        self.clip, self.num_frames, self.sizes, self.concept_labels = clip, num_frames, sizes, concept_labels

    def draw_training(
        self,
        foreground: list[RegionSegment],
        background: list[RegionSegment],
        per_segment: int,
        rng: np.random.Generator,
        *,
        balance: bool = True,
    ) -> list[ClipSample]:
        """Draw the clips of an epoch, in their order, with random crops and flips.

        The clips of the foreground do not depend on the background.

        Args:
            foreground: action segments.
            background: background segments.
            per_segment: clips of each foreground segment.
            rng: the source of all randomness.
            balance: true draws as many background clips as foreground clips (TSP, Section 3.3), each background
                segment about equally often. False draws `per_segment` clips of each background segment (TSP's code).
        """
        foreground_rng, background_rng, order_rng = rng.spawn(3)
        num_clips = len(foreground) * per_segment
        background_draws = (
            [background[index] for index in _draw_evenly(len(background), num_clips, background_rng)]
            if balance
            else background * per_segment
        )
        samples = self._draw(foreground * per_segment, foreground_rng) + self._draw(background_draws, background_rng)
        return [samples[index] for index in order_rng.permutation(len(samples))]

    def _draw(self, segments: list[RegionSegment], rng: np.random.Generator) -> list[ClipSample]:
        """Draw one clip of each segment, at a random position with a random crop and flip."""
        count = len(segments)
        positions = rng.random(count)
        margins = np.array([self.sizes[segment.video] for segment in segments]).reshape(count, 2) - self.clip.crop
        tops = rng.integers(0, margins[:, 0], endpoint=True)
        lefts = rng.integers(0, margins[:, 1], endpoint=True)
        flips = rng.random(count) < 0.5
        return [
            self._sample(segment, float(position), int(top), int(left), flip=bool(flip))
            for segment, position, top, left, flip in zip(segments, positions, tops, lefts, flips, strict=True)
        ]

    def validation_samples(self, segments: list[RegionSegment], per_segment: int) -> list[ClipSample]:
        """Return clips with central crops, evenly spaced from each segment's start to its end (one: its middle)."""
        positions = np.linspace(0.0, 1.0, per_segment) if per_segment > 1 else np.array([0.5])
        return [
            self._sample(
                segment, float(position), *central_crop_offset(self.clip, self.sizes[segment.video]), flip=False
            )
            for segment in segments
            for position in positions
        ]

    def _sample(self, segment: RegionSegment, position: float, top: int, left: int, *, flip: bool) -> ClipSample:
        """Return the clip at a relative position: 0 starts with the segment, 1 ends with it."""
        slack = max(0.0, segment.end - segment.start - self.clip.seconds)
        start_frame = round((segment.start + position * slack) * self.clip.fps)
        # Rounding and inexact annotations may reach past the end: the clip is moved into the video.
        start_frame = max(0, min(start_frame, self.num_frames[segment.video] - self.clip.frames))
        centre = (start_frame + self.clip.frames / 2) / self.clip.fps
        concepts = self.concept_labels.at(segment.video, centre)
        return ClipSample(segment.video, start_frame, segment.action, concepts, top, left, flip)


def _draw_evenly(num_choices: int, num_draws: int, rng: np.random.Generator) -> Int64[np.ndarray, "draws"]:
    """Draw indices in random order so that their counts differ by at most one; without choices draw none."""
    if num_choices == 0:
        return np.zeros(0, dtype=np.int64)
    rounds = [rng.permutation(num_choices) for _ in range(-(-num_draws // num_choices))]
    return np.concatenate([*rounds, np.zeros(0, dtype=np.int64)])[:num_draws]
