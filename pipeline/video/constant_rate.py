"""Frames at a constant rate: how often each frame of a video is repeated.

Re-encoding and the extraction of features from raw videos count in the same way, so both give the same rows.
"""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from typing import TypeVar

from pipeline.video.stream import TimedFrame, TimedPixels

REENCODED_FPS = Fraction(30)
"""Frame rate to which raw videos are brought (frames/s): that of TSP, and the default of `reencode.fps`."""

T = TypeVar("T", TimedFrame, TimedPixels)


def hold_frames(frames: Iterable[TimedFrame], fps: Fraction) -> Iterator[TimedFrame]:
    """Yield frames at a constant rate; see `count_repeats`."""
    index = 0
    for frame, count in count_repeats(frames, fps):
        to_rgb = cache(frame.to_rgb)
        for _ in range(count):
            yield TimedFrame(index / fps, 1 / fps, to_rgb)
            index += 1


def count_repeats(frames: Iterable[T], fps: Fraction) -> Iterator[tuple[T, int]]:
    """Yield each frame that is shown at a constant rate, and how often, as ffmpeg's filter `fps` repeats it.

    Each time is rounded to a whole number of frames, and each frame is repeated until the next one. The first frame
    also covers the time before it. A frame that goes back in time replaces the one before it.

    Args:
        frames: of one video.
        fps: the constant rate (frames/s).
    """
    index = 0
    previous: T | None = None
    for frame in frames:
        if previous is not None:
            stop = _round_half_up(frame.time * fps)
            if stop > index:
                yield previous, stop - index
                index = stop
        previous = frame
    if previous is not None:
        stop = max(1, _round_half_up((previous.time + previous.duration) * fps))
        if stop > index:
            yield previous, stop - index


def _round_half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))
