"""What every annotation reader returns, and the checks that all readers share."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pipeline.config.readers import READERS, reader_of
from pipeline.errors import PipelineError

MAX_SECONDS = 1e9
"""Largest accepted time (thirty years); larger ones are mistakes."""


@dataclass(frozen=True)
class AnnotatedSegment:
    """A segment of a video as annotated: nothing is clipped or dropped.

    Attributes:
        start: seconds.
        end: seconds.
        text: action label, sentence, or empty for background.
    """

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class ActionVideo:
    """A video with its action segments.

    Attributes:
        duration: seconds; None if the file does not state it.
        segments: in the file's order.
        subset: training, validation or testing; None if the file does not state it.
        background: segments that the file states to show no action; None if the file states no background.
    """

    duration: float | None
    segments: tuple[AnnotatedSegment, ...]
    subset: str | None = None
    background: tuple[AnnotatedSegment, ...] | None = None


@dataclass(frozen=True)
class CaptionedVideo:
    """A video with its captioned events.

    Attributes:
        duration: seconds.
        events: in the file's order, with their sentences as written.
    """

    duration: float
    events: tuple[AnnotatedSegment, ...]


def read_actions(path: Path, reader: str | None = None) -> dict[str, ActionVideo]:
    """Read a file of action annotations, by video id as in the file.

    Args:
        path: the file.
        reader: name of a reader; None selects the reader by the suffix of the file.

    Raises:
        PipelineError: no such reader, or the file is absent or malformed.
    """
    read = (READERS[reader] if reader else reader_of(path.name, "actions")).load()
    return cast("dict[str, ActionVideo]", read(path))


def read_captions(path: Path, reader: str | None = None) -> dict[str, CaptionedVideo]:
    """Read a file of captions, by video id as in the file.

    Args:
        path: the file.
        reader: name of a reader; None selects the reader by the suffix of the file.

    Raises:
        PipelineError: no such reader, or the file is absent or malformed.
    """
    read = (READERS[reader] if reader else reader_of(path.name, "captions")).load()
    return cast("dict[str, CaptionedVideo]", read(path))


def is_seconds(time: Any) -> bool:
    """Return whether a value is a plausible time in seconds: a finite number below `MAX_SECONDS`."""
    return isinstance(time, int | float) and not isinstance(time, bool) and abs(time) < MAX_SECONDS


def check_times(times: Any, path: Path, video: str, index: int) -> tuple[float, float]:
    """Return start and end if they are two finite numbers of seconds; their order is not checked.

    Raises:
        PipelineError: anything else; names the file, the video and the segment.
    """
    if not (isinstance(times, list) and len(times) == 2 and all(is_seconds(time) for time in times)):
        raise PipelineError(f"{path}: video {video}, segment {index}: {times!r} is not [start, end] in seconds")
    return float(times[0]), float(times[1])


def check_duration(duration: Any, path: Path, video: str) -> float:
    """Return the duration if it is a positive finite number of seconds.

    Raises:
        PipelineError: anything else; names the file and the video.
    """
    is_number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if not is_number or not math.isfinite(duration) or duration <= 0:
        raise PipelineError(f"{path}: video {video}: duration {duration!r} is not a positive number of seconds")
    return float(duration)
