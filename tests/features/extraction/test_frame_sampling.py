"""Frames are picked by time: the nearest one to each instant, told while they stream by."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.extraction.frame_sampling import exact, instants, nearest, needed
from pipeline.video.stream import Timed

RATES = st.sampled_from([1.0, 7.5, 12.0, 15.0, 24.0, 25.0, 29.97002997, 30.0, 50.0])


def stream(times: list[Fraction]) -> list[Timed]:
    """Frames that last to the next one, the last as long as the one before."""
    gaps = [after - time for time, after in pairwise(times)]
    gaps += gaps[-1:] or [Fraction(1, 30)]
    picture = av.VideoFrame(2, 2, "gray")
    return [Timed(time, gap, picture) for time, gap in zip(times, gaps, strict=True)]


def picked(frames: list[Timed], rate: Fraction) -> list[Fraction]:
    """Time of the frame that stands for each instant."""
    return [frame.time for frame, [count] in nearest(frames, [rate]) for _ in range(count)]


def test_a_rate_that_is_written_in_decimals_is_the_one_that_is_meant() -> None:
    assert exact(29.97002997) == Fraction(30000, 1001)
    assert exact(7.5) == Fraction(15, 2)


@given(frames=st.integers(1, 200), step=st.integers(1, 10))
def test_a_rate_that_divides_takes_every_nth_frame(frames: int, step: int) -> None:
    times = [Fraction(number, 30) for number in range(frames)]
    assert picked(stream(times), Fraction(30, step)) == times[::step]


@given(frames=st.integers(1, 90), fps=RATES, rate=RATES)
def test_each_instant_before_the_end_gets_its_nearest_frame(frames: int, fps: float, rate: float) -> None:
    times = [number / exact(fps) for number in range(frames)]
    end = (frames - Fraction(1, 10)) / exact(fps) if frames > 1 else Fraction(1, 30) * Fraction(9, 10)
    wanted = [number / exact(rate) for number in range(frames * 51) if number / exact(rate) < end]
    expected = [min(times, key=lambda time: (abs(time - instant), time)) for instant in wanted]
    assert picked(stream(times), exact(rate)) == expected


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), RATES)
def test_frames_that_come_at_odd_times_are_picked_as_well(gaps: list[int], rate: float) -> None:
    times = [Fraction(sum(gaps[:number]), 1000) for number in range(len(gaps))]
    frames = stream(times)
    count = instants(frames[-1].time + frames[-1].duration, frames[-1].duration, exact(rate))
    expected = [min(times, key=lambda time: (abs(time - k / exact(rate)), time)) for k in range(count)]
    assert picked(frames, exact(rate)) == expected


def test_a_container_that_counts_in_milliseconds_has_no_instant_too_many() -> None:
    times = [Fraction(round(1000 * number / 30), 1000) for number in range(30)]
    frames = stream(times)
    assert frames[-1].time + frames[-1].duration > 1
    assert len(picked(frames, Fraction(15))) == 15


def test_a_first_frame_that_comes_late_stands_for_the_time_before() -> None:
    times = [Fraction(1, 2) + Fraction(number, 10) for number in range(5)]
    assert picked(stream(times), Fraction(5)) == [times[0], times[0], times[0], times[1], times[3]]


@given(frames=st.integers(1, 90), fps=RATES, rates=st.lists(RATES, min_size=1, max_size=3, unique=True))
def test_what_is_needed_of_a_constant_rate_is_told_beforehand(frames: int, fps: float, rates: list[float]) -> None:
    constant, asked = exact(fps), [exact(rate) for rate in rates]
    whole = [Timed(number / constant, 1 / constant, av.VideoFrame(2, 2, "gray")) for number in range(frames)]
    expected = [(frame.time, counts) for frame, counts in nearest(whole, asked)]
    wanted = needed(constant, frames, asked)
    thinned = [frame for frame in whole if wanted(frame.time)]
    assert [frame.time for frame in thinned] == [time for time, _ in expected]
    assert [(frame.time, counts) for frame, counts in nearest(thinned, asked)] == expected


@pytest.mark.parametrize("rate", [15.0, 25.0])
def test_frames_are_given_as_soon_as_the_next_one_is_known(rate: float) -> None:
    asked = 0

    def counted() -> Any:
        nonlocal asked
        for frame in stream([Fraction(number, 30) for number in range(300)]):
            asked += 1
            yield frame

    picks = nearest(counted(), [exact(rate)])
    next(picks)
    assert asked == 2
