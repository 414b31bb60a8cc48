"""Sampling of frames by their times, while they stream.

A raw video is first brought to the frame rate of re-encoded videos (`pipeline.video.constant_rate`), so that both give
the same rows. Then frames are sampled at the rate of each extractor: the frames nearest in time to 0, 1 / rate,
2 / rate, ... seconds. Of two frames that are equally near, the earlier one is used. A video has a sample at time
k / rate if this time is before the end of the video by more than a tenth of a frame.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

from pipeline.video.stream import TimedFrame

END_TOLERANCE = Fraction(1, 10)
"""Tolerance at the end of a video, in durations of a frame."""


def rate_as_fraction(rate: float) -> Fraction:
    """Return a rate as the fraction that it approximates: 29.97... is 30000 / 1001."""
    return Fraction(rate).limit_denominator(1001)


def num_sample_times(end: Fraction, frame_s: Fraction, rate: Fraction) -> int:
    """Return how many samples a video has at a rate.

    Args:
        end: end of its last frame, seconds.
        frame_s: duration of its last frame, seconds.
        rate: samples per second.
    """
    return max(0, math.ceil((end - END_TOLERANCE * frame_s) * rate))


def nearest_frames(frames: Iterable[TimedFrame], rates: Sequence[Fraction]) -> Iterator[tuple[TimedFrame, list[int]]]:
    """Select the frames that are nearest to a sample time of any rate, while they stream.

    Args:
        frames: of one video, with increasing times.
        rates: samples per second.

    Yields:
        a frame, and for each rate the number of samples that it is nearest to: 0, 1, or several if frames are rarer.
    """
    totals = [0] * len(rates)
    previous: TimedFrame | None = None

    def advance(new_totals: list[int]) -> list[int]:
        counts = [max(0, new - old) for new, old in zip(new_totals, totals, strict=True)]
        totals[:] = [old + count for old, count in zip(totals, counts, strict=True)]
        return counts

    for frame in frames:
        if previous is not None:
            middle = (previous.time + frame.time) / 2
            counts = advance([math.floor(middle * rate) + 1 for rate in rates])
            if any(counts):
                yield previous, counts
        previous = frame
    if previous is not None:
        end = previous.time + previous.duration
        counts = advance([num_sample_times(end, previous.duration, rate) for rate in rates])
        if any(counts):
            yield previous, counts


def frame_filter(fps: Fraction, num_frames: int, rates: Sequence[Fraction]) -> Callable[[Fraction], bool]:
    """Return a function that tells from a frame's time whether `nearest_frames` will select the frame.

    Args:
        fps: constant frame rate of the video.
        num_frames: frames of the video.
        rates: samples per second.
    """

    def samples_before(index: int, rate: Fraction) -> int:
        """Count the samples of the frames before this one."""
        if index <= 0:
            return 0
        if index >= num_frames:
            return num_sample_times(num_frames / fps, 1 / fps, rate)
        return math.floor((2 * index - 1) / (2 * fps) * rate) + 1

    def is_frame_needed(time: Fraction) -> bool:
        index = round(time * fps)
        return any(samples_before(index + 1, rate) > samples_before(index, rate) for rate in rates)

    return is_frame_needed
