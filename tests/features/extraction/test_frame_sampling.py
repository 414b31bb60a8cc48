"""Frames are sampled by time: the nearest one to each sample time, while the frames stream."""

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.extraction.frame_sampling import (
    frame_filter,
    nearest_frames,
    num_sample_times,
    rate_as_fraction,
)
from pipeline.video.constant_rate import hold_frames
from pipeline.video.stream import TimedFrame

RATES = st.sampled_from([1.0, 7.5, 12.0, 15.0, 24.0, 25.0, 29.97002997, 30.0, 50.0])


def frames_at(times: list[Fraction]) -> list[TimedFrame]:
    """Frames that show their number and last until the next one; the last one lasts as long as the one before it."""
    durations = [after - time for time, after in pairwise(times)]
    durations += durations[-1:] or [Fraction(1, 30)]
    return [
        TimedFrame(time, duration, partial(np.full, (2, 2, 3), number, np.uint8))
        for number, (time, duration) in enumerate(zip(times, durations, strict=True))
    ]


def sampled_times(frames: list[TimedFrame], rate: Fraction) -> list[Fraction]:
    """Time of the frame of each sample."""
    return [frame.time for frame, [count] in nearest_frames(frames, [rate]) for _ in range(count)]


def test_rate_as_fraction_recovers_ntsc_rates_from_decimals() -> None:
    assert rate_as_fraction(29.97002997) == Fraction(30000, 1001)
    assert rate_as_fraction(7.5) == Fraction(15, 2)


@given(frames=st.integers(1, 200), step=st.integers(1, 10))
def test_nearest_frames_of_a_divisor_rate_are_every_nth_frame(frames: int, step: int) -> None:
    times = [Fraction(index, 30) for index in range(frames)]
    assert sampled_times(frames_at(times), Fraction(30, step)) == times[::step]


@given(frames=st.integers(1, 90), fps=RATES, rate=RATES)
def test_nearest_frames_covers_each_sample_time_before_the_end(frames: int, fps: float, rate: float) -> None:
    times = [index / rate_as_fraction(fps) for index in range(frames)]
    end = (frames - Fraction(1, 10)) / rate_as_fraction(fps) if frames > 1 else Fraction(1, 30) * Fraction(9, 10)
    sample_times = (index / rate_as_fraction(rate) for index in range(frames * 51))
    expected = [min(times, key=lambda time: (abs(time - sample), time)) for sample in sample_times if sample < end]
    assert sampled_times(frames_at(times), rate_as_fraction(rate)) == expected


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), RATES)
def test_nearest_frames_of_variable_rate_videos(gaps: list[int], rate: float) -> None:
    times = [Fraction(sum(gaps[:index]), 1000) for index in range(len(gaps))]
    frames = frames_at(times)
    count = num_sample_times(frames[-1].time + frames[-1].duration, frames[-1].duration, rate_as_fraction(rate))
    expected = [min(times, key=lambda time: (abs(time - k / rate_as_fraction(rate)), time)) for k in range(count)]
    assert sampled_times(frames, rate_as_fraction(rate)) == expected


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40), st.sampled_from([24, 25, 30]))
def test_hold_frames_rounds_times_and_repeats_frames_as_reencoding_does(gaps: list[int], rate: int) -> None:
    times = [Fraction(sum(gaps[:index]), 1000) for index in range(1, len(gaps) + 1)]
    frames, fps = frames_at(times), Fraction(rate)
    starts = [math.floor(time * fps + Fraction(1, 2)) for time in times]
    count = max(1, math.floor((frames[-1].time + frames[-1].duration) * fps + Fraction(1, 2)))
    held = list(hold_frames(frames, fps))
    assert [frame.time for frame in held] == [index / fps for index in range(count)]
    assert {frame.duration for frame in held} == {1 / fps}
    for index, frame in enumerate(held):
        expected = max((number for number, start in enumerate(starts) if start <= index), default=0)
        assert int(frame.to_rgb()[0, 0, 0]) == expected


def test_a_frame_that_goes_back_in_time_replaces_the_one_before_it() -> None:
    frames = frames_at([Fraction(number, 30) for number in (0, 1, 2, 3, 2, 3, 4)])
    assert [int(frame.to_rgb()[0, 0, 0]) for frame in hold_frames(frames, Fraction(30))] == [0, 1, 2, 5, 6]


def test_times_in_milliseconds_give_no_extra_sample() -> None:
    times = [Fraction(round(1000 * index / 30), 1000) for index in range(30)]
    frames = frames_at(times)
    assert frames[-1].time + frames[-1].duration > 1
    assert len(sampled_times(frames, Fraction(15))) == 15


def test_a_late_first_frame_serves_the_samples_before_it() -> None:
    times = [Fraction(1, 2) + Fraction(index, 10) for index in range(5)]
    assert sampled_times(frames_at(times), Fraction(5)) == [times[0], times[0], times[0], times[1], times[3]]


@given(frames=st.integers(1, 90), fps=RATES, rates=st.lists(RATES, min_size=1, max_size=3, unique=True))
def test_frame_filter_predicts_nearest_frames_of_a_constant_rate(frames: int, fps: float, rates: list[float]) -> None:
    video_rate, sample_rates = rate_as_fraction(fps), [rate_as_fraction(rate) for rate in rates]
    image = np.zeros((2, 2, 3), np.uint8)
    all_frames = [TimedFrame(index / video_rate, 1 / video_rate, lambda: image) for index in range(frames)]
    expected = [(frame.time, counts) for frame, counts in nearest_frames(all_frames, sample_rates)]
    is_frame_needed = frame_filter(video_rate, frames, sample_rates)
    needed = [frame for frame in all_frames if is_frame_needed(frame.time)]
    assert [frame.time for frame in needed] == [time for time, _ in expected]
    assert [(frame.time, counts) for frame, counts in nearest_frames(needed, sample_rates)] == expected


@pytest.mark.parametrize("rate", [15.0, 25.0])
def test_nearest_frames_yields_a_frame_as_soon_as_the_next_is_known(rate: float) -> None:
    num_read = 0

    def counted() -> Iterator[TimedFrame]:
        nonlocal num_read
        for frame in frames_at([Fraction(index, 30) for index in range(300)]):
            num_read += 1
            yield frame

    next(nearest_frames(counted(), [rate_as_fraction(rate)]))
    assert num_read == 2
