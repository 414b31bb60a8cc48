"""Which frames stand for a video at some rate: those nearest in time to 0, 1 / rate, 2 / rate, ... seconds.

Of two frames that are equally near, the earlier one is taken. A video has an instant k / rate if it lies before the
video's end, by more than a tenth of a frame: containers that count in milliseconds are that vague.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

from pipeline.video.stream import Timed

SLACK = Fraction(1, 10)
"""Of a frame's duration."""


def exact(rate: float) -> Fraction:
    """A rate as the fraction that is meant: 29.97... is 30000 / 1001."""
    return Fraction(rate).limit_denominator(1001)


def instants(end: Fraction, frame: Fraction, rate: Fraction) -> int:
    """How many instants a video has.

    Args:
        end: of its last frame, seconds.
        frame: duration of its last frame, seconds.
        rate: instants per second.
    """
    return max(0, math.ceil((end - SLACK * frame) * rate))


def nearest(frames: Iterable[Timed], rates: Sequence[Fraction]) -> Iterator[tuple[Timed, list[int]]]:
    """Frames that are nearest to an instant of any rate, while they come.

    Args:
        frames: of one video, each later than the one before.
        rates: per second.

    Yields:
        a frame, and of how many instants it is the nearest, for each rate: 0, 1, or several if frames are rarer.
    """
    taken = [0] * len(rates)
    held: Timed | None = None

    def share(upto: list[int]) -> list[int]:
        counts = [max(0, end - begin) for end, begin in zip(upto, taken, strict=True)]
        taken[:] = [begin + count for begin, count in zip(taken, counts, strict=True)]
        return counts

    for frame in frames:
        if held is not None:
            middle = (held.time + frame.time) / 2
            counts = share([math.floor(middle * rate) + 1 for rate in rates])
            if any(counts):
                yield held, counts
        held = frame
    if held is not None:
        counts = share([instants(held.time + held.duration, held.duration, rate) for rate in rates])
        if any(counts):
            yield held, counts


def needed(fps: Fraction, frames: int, rates: Sequence[Fraction]) -> Callable[[Fraction], bool]:
    """Which frames of a constant-rate video `nearest` will give, told by their time alone.

    Args:
        fps: of the video.
        frames: of the video.
        rates: instants per second.
    """

    def before(index: int, rate: Fraction) -> int:
        """Instants that belong to earlier frames than this one."""
        if index <= 0:
            return 0
        if index >= frames:
            return instants(frames / fps, 1 / fps, rate)
        return math.floor((2 * index - 1) / (2 * fps) * rate) + 1

    def wanted(time: Fraction) -> bool:
        index = round(time * fps)
        return any(before(index + 1, rate) > before(index, rate) for rate in rates)

    return wanted
