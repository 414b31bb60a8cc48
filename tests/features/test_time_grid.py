"""Rows in time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.time_grid import ClipGrid

GRIDS = st.builds(
    ClipGrid,
    fps=st.sampled_from([15.0, 30.0, 25.0, 29.97, 16000.0]),
    frames=st.integers(1, 64),
    stride=st.integers(1, 64),
)


def test_times_of_rows_are_where_the_clips_lie() -> None:
    grid = ClipGrid(fps=15.0, frames=16, stride=8)
    np.testing.assert_allclose(grid.times(3), [[0, 16 / 15], [8 / 15, 24 / 15], [16 / 15, 32 / 15]], rtol=1e-12)
    np.testing.assert_allclose(grid.centres(2), [8 / 15, 16 / 15], rtol=1e-12)
    assert grid.times(0).shape == (0, 2)


@pytest.mark.parametrize(
    ("frames", "clips"), [(1, 1), (15, 1), (16, 1), (31, 1), (32, 2), (210, 13), (271, 16), (272, 17)]
)
def test_a_video_has_its_whole_clips_as_tsp_counts_them(frames: int, clips: int) -> None:
    assert ClipGrid(15.0, 16, 16).clips(frames / 15) == clips


@given(grid=GRIDS, clips=st.integers(1, 1000))
def test_as_many_seconds_as_rows_last_hold_so_many_rows(grid: ClipGrid, clips: int) -> None:
    assert grid.clips(grid.duration(clips)) == clips
    assert grid.times(clips)[-1, 1] == pytest.approx(grid.duration(clips))
    assert not grid.padded(grid.duration(clips))
