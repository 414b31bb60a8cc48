"""Windows are cut where they should be, from whatever pieces, with no more than one of them in memory."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.extraction.windows import Cutter


def cut(cutter: Cutter, pieces: list[np.ndarray]) -> list[list[int]]:
    found = [window for piece in pieces for window in cutter.push(piece)]
    whole = [np.concatenate(window) for window in [*found, *cutter.end()]]
    return [window.reshape(len(window), -1)[:, 0].tolist() for window in whole]


def frames(count: int) -> list[np.ndarray]:
    return [np.full((1, 2, 2, 3), number, dtype=np.uint8) for number in range(count)]


@given(count=st.integers(1, 90), size=st.integers(1, 20), stride=st.integers(1, 30))
def test_clips_are_cut_as_tsp_cuts_them(count: int, size: int, stride: int) -> None:
    starts = range(0, count - size + 1, stride)
    expected = [list(range(start, start + size)) for start in starts]
    found = cut(Cutter(size, stride, "drop", silence=False), frames(count))
    assert found == (expected or [[*range(count), *[count - 1] * (size - count)]])


@given(
    count=st.integers(1, 90),
    size=st.integers(1, 20),
    stride=st.integers(1, 30),
    tail=st.sampled_from(["drop", "pad"]),
    pieces=st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
def test_pieces_of_any_length_give_the_same_windows(
    count: int, size: int, stride: int, tail: Literal["drop", "pad"], pieces: list[int]
) -> None:
    sound = np.arange(1, count + 1, dtype=np.float32)
    ends = np.cumsum(pieces)
    parts = [part for part in np.split(sound, ends[ends < count]) if len(part)]
    found = cut(Cutter(size, stride, tail, silence=True), parts)
    assert found == cut(Cutter(size, stride, tail, silence=True), list(sound[:, None]))
    assert all(len(window) == size for window in found)


@given(count=st.integers(1, 60), size=st.integers(1, 20), stride=st.integers(1, 20))
def test_a_padded_tail_covers_what_whole_windows_leave(count: int, size: int, stride: int) -> None:
    whole = cut(Cutter(size, stride, "drop", silence=True), list(np.arange(1, count + 1)[:, None]))
    found = cut(Cutter(size, stride, "pad", silence=True), list(np.arange(1, count + 1)[:, None]))
    assert found[: len(whole)] == whole
    assert len(found) - len(whole) <= 1
    starts = range(0, len(found) * stride, stride)
    shown = {place for start in starts for place in range(start, min(count, start + size))}
    assert stride > size or shown == set(range(count))


def test_pictures_are_padded_with_the_last_one_and_sound_with_silence() -> None:
    assert cut(Cutter(4, 4, "pad", silence=False), frames(6)) == [[0, 1, 2, 3], [4, 5, 5, 5]]
    sound = [np.array([1.0, 2.0, 3.0], dtype=np.float32)]
    assert cut(Cutter(2, 2, "pad", silence=True), sound) == [[1, 2], [3, 0]]


def test_what_two_windows_overlap_in_is_not_a_tail() -> None:
    assert cut(Cutter(4, 2, "pad", silence=False), frames(6)) == [[0, 1, 2, 3], [2, 3, 4, 5]]


def test_frames_are_asked_for_only_as_windows_need_them() -> None:
    cutter, asked = Cutter(16, 16, "drop", silence=False), 0

    def windows() -> Iterator[list[np.ndarray]]:
        nonlocal asked
        for frame in frames(200):
            asked += 1
            yield from cutter.push(frame)

    found = windows()
    next(found)
    assert asked == 16
    next(found)
    assert asked == 32


def test_frames_of_several_sizes_are_refused() -> None:
    cutter = Cutter(4, 4, "drop", silence=False)
    list(cutter.push(np.zeros((1, 2, 2, 3), np.uint8)))
    with pytest.raises(PipelineError, match="several sizes"):
        list(cutter.push(np.zeros((1, 2, 4, 3), np.uint8)))
