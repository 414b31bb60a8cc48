"""What every adapter gives, and the checks that all of them share."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

LONGEST = 1e9
"""Seconds, thirty years."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a video with an action label or a sentence, as annotated (nothing clipped, nothing dropped).

    Attributes:
        start: seconds.
        end: seconds.
        text: the label, or the sentence.
    """

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Annotated:
    """A video and its segments.

    Attributes:
        duration: seconds; None where the file does not say.
        segments: in the file's order.
        subset: training, validation or testing, where the file says so.
        background: stretches that the file states to show no action (their text is empty); None where the file states
            nothing of the kind.
    """

    duration: float | None
    segments: tuple[Segment, ...]
    subset: str | None = None
    background: tuple[Segment, ...] | None = None


def is_seconds(time: Any) -> bool:
    """Whether a value is a number of seconds that a video can have: not infinite, nor text, nor thirty years."""
    return isinstance(time, int | float) and not isinstance(time, bool) and abs(time) < LONGEST


def check_times(pair: Any, path: Path, video: str, index: int) -> tuple[float, float]:
    """Two finite numbers of seconds; their order is judged elsewhere.

    Raises:
        PipelineError: anything else, naming file, video and position.
    """
    good = isinstance(pair, list) and len(pair) == 2 and all(is_seconds(time) for time in pair)
    if not good:
        raise PipelineError(f"{path}: video {video}, segment {index}: {pair!r} is not [start, end] in seconds")
    return float(pair[0]), float(pair[1])


def check_duration(duration: Any, path: Path, video: str) -> float:
    """A positive number of seconds.

    Raises:
        PipelineError: anything else.
    """
    number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if not number or not math.isfinite(duration) or duration <= 0:
        raise PipelineError(f"{path}: video {video}: duration {duration!r} is not a positive number of seconds")
    return float(duration)
