"""Rows of one feature at the times of another's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.alignment import covered, linear, nearest, positions
from pipeline.features.time_grid import ClipGrid

GRIDS = st.builds(
    ClipGrid,
    fps=st.sampled_from([15.0, 30.0, 25.0, 29.97, 16000.0]),
    frames=st.integers(1, 64),
    stride=st.integers(1, 64),
)


@given(grid=GRIDS, clips=st.integers(1, 40), wanted=st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_a_ramp_stays_a_ramp_inside_and_ends_where_the_feature_ends(
    grid: ClipGrid, clips: int, wanted: list[float]
) -> None:
    centres, times = grid.centres(clips), np.asarray(wanted)
    ramp = np.stack([centres, -3 * centres], axis=1)
    found = linear(ramp, positions(times, grid))
    inside = np.clip(times, centres[0], centres[-1])
    step = grid.stride / grid.fps
    np.testing.assert_allclose(found, np.stack([inside, -3 * inside], axis=1), rtol=0, atol=1e-5 * step + 1e-9)


@given(grid=GRIDS, clips=st.integers(1, 40), wanted=st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_the_nearest_row_is_the_one_whose_middle_is_nearest(grid: ClipGrid, clips: int, wanted: list[float]) -> None:
    centres, times = grid.centres(clips), np.asarray(wanted)
    chosen = nearest(np.arange(clips, dtype=float)[:, None], positions(times, grid))[:, 0].astype(int)
    distances = np.abs(centres[None] - times[:, None])
    step = grid.stride / grid.fps
    assert (distances[np.arange(len(times)), chosen] <= distances.min(axis=1) + 1e-5 * step).all()


def test_of_two_rows_as_near_the_earlier_is_taken() -> None:
    grid = ClipGrid(15.0, 16, 16)
    between = (grid.centres(4)[:-1] + grid.centres(4)[1:]) / 2
    found = nearest(np.arange(4.0)[:, None], positions(between, grid))
    assert found[:, 0].tolist() == [0.0, 1.0, 2.0]


@given(grid=GRIDS, clips=st.integers(1, 40))
def test_on_its_own_grid_a_feature_stays_as_it_is(grid: ClipGrid, clips: int) -> None:
    features = np.random.default_rng(0).normal(size=(clips, 3)).astype(np.float32)
    own = positions(grid.centres(clips), grid)
    np.testing.assert_array_equal(nearest(features, own), features)
    np.testing.assert_array_equal(linear(features, own), features)
    assert covered(own, clips, grid, grid).all()


@given(reference=GRIDS, grid=GRIDS, duration=st.floats(0.1, 60))
def test_features_of_the_same_video_cover_each_other(reference: ClipGrid, grid: ClipGrid, duration: float) -> None:
    # Every row of one has a row of the other, whatever is left over at the end of either.
    clips = reference.clips(duration)
    there = covered(positions(reference.centres(clips), grid), grid.clips(duration), grid, reference)
    assert there.all()


@pytest.mark.parametrize(("rows", "there"), [(8, 10), (7, 9), (2, 4)])
def test_where_a_feature_has_ended_it_is_not_there(rows: int, there: int) -> None:
    grid = ClipGrid(1.0, 1, 1)
    # Ten rows of a second each. A row may be left over, and half a clip of each reaches beyond the middle.
    found = covered(positions(grid.centres(10), grid), rows, grid, grid)
    assert found.tolist() == [row < there for row in range(10)]
