"""Windows are cut at the right places from chunks of any length, with at most one window in memory."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.extraction.windows import WindowCutter


def cut(cutter: WindowCutter, chunks: list[np.ndarray]) -> list[list[int]]:
    """First value of each frame or sample of each window."""
    pushed = [window for chunk in chunks for window in cutter.push(chunk)]
    windows = [np.concatenate(window) for window in [*pushed, *cutter.finish()]]
    return [window.reshape(len(window), -1)[:, 0].tolist() for window in windows]


def single_frames(count: int) -> list[np.ndarray]:
    return [np.full((1, 2, 2, 3), index, dtype=np.uint8) for index in range(count)]


@given(count=st.integers(1, 90), size=st.integers(1, 20), stride=st.integers(1, 30))
def test_window_cutter_cuts_clips_as_tsp_does(count: int, size: int, stride: int) -> None:
    starts = range(0, count - size + 1, stride)
    expected = [list(range(start, start + size)) for start in starts]
    windows = cut(WindowCutter(size, stride, "drop", silence=False), single_frames(count))
    assert windows == (expected or [[*range(count), *[count - 1] * (size - count)]])


@given(
    count=st.integers(1, 90),
    size=st.integers(1, 20),
    stride=st.integers(1, 30),
    tail=st.sampled_from(["drop", "pad"]),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_windows_do_not_depend_on_the_lengths_of_chunks(
    count: int, size: int, stride: int, tail: Literal["drop", "pad"], lengths: list[int]
) -> None:
    sound = np.arange(1, count + 1, dtype=np.float32)
    ends = np.cumsum(lengths)
    chunks = [chunk for chunk in np.split(sound, ends[ends < count]) if len(chunk)]
    windows = cut(WindowCutter(size, stride, tail, silence=True), chunks)
    assert windows == cut(WindowCutter(size, stride, tail, silence=True), list(sound[:, None]))
    assert all(len(window) == size for window in windows)


@given(count=st.integers(1, 60), size=st.integers(1, 20), stride=st.integers(1, 20))
def test_a_padded_tail_covers_the_end_that_fills_no_window(count: int, size: int, stride: int) -> None:
    whole = cut(WindowCutter(size, stride, "drop", silence=True), list(np.arange(1, count + 1)[:, None]))
    padded = cut(WindowCutter(size, stride, "pad", silence=True), list(np.arange(1, count + 1)[:, None]))
    assert padded[: len(whole)] == whole
    assert len(padded) - len(whole) <= 1
    starts = range(0, len(padded) * stride, stride)
    covered = {index for start in starts for index in range(start, min(count, start + size))}
    assert stride > size or covered == set(range(count))


def test_frames_are_padded_with_the_last_frame_and_sound_with_silence() -> None:
    assert cut(WindowCutter(4, 4, "pad", silence=False), single_frames(6)) == [[0, 1, 2, 3], [4, 5, 5, 5]]
    sound = [np.array([1.0, 2.0, 3.0], dtype=np.float32)]
    assert cut(WindowCutter(2, 2, "pad", silence=True), sound) == [[1, 2], [3, 0]]


def test_the_overlap_of_two_windows_is_not_a_tail() -> None:
    assert cut(WindowCutter(4, 2, "pad", silence=False), single_frames(6)) == [[0, 1, 2, 3], [2, 3, 4, 5]]


def test_window_cutter_reads_frames_only_as_windows_need_them() -> None:
    cutter, num_read = WindowCutter(16, 16, "drop", silence=False), 0

    def windows() -> Iterator[list[np.ndarray]]:
        nonlocal num_read
        for frame in single_frames(200):
            num_read += 1
            yield from cutter.push(frame)

    iterator = windows()
    next(iterator)
    assert num_read == 16
    next(iterator)
    assert num_read == 32


def test_a_changing_frame_size_is_an_error() -> None:
    cutter = WindowCutter(4, 4, "drop", silence=False)
    list(cutter.push(np.zeros((1, 2, 2, 3), np.uint8)))
    with pytest.raises(PipelineError, match="frame size"):
        list(cutter.push(np.zeros((1, 2, 4, 3), np.uint8)))
