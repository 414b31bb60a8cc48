"""Times of feature rows, and alignment of features on different grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.time_grid import ClipGrid, coverage_mask, interpolated_rows, nearest_rows, row_positions

GRIDS = st.builds(
    ClipGrid,
    fps=st.sampled_from([15.0, 30.0, 25.0, 29.97, 16000.0]),
    frames=st.integers(1, 64),
    stride=st.integers(1, 64),
)


def test_clip_grid_times_and_centres_of_overlapping_clips() -> None:
    grid = ClipGrid(fps=15.0, frames=16, stride=8)
    np.testing.assert_allclose(grid.spans(3), [[0, 16 / 15], [8 / 15, 24 / 15], [16 / 15, 32 / 15]], rtol=1e-12)
    np.testing.assert_allclose(grid.centres(2), [8 / 15, 16 / 15], rtol=1e-12)
    assert grid.spans(0).shape == (0, 2)


@pytest.mark.parametrize(
    ("frames", "clips"), [(1, 1), (15, 1), (16, 1), (31, 1), (32, 2), (210, 13), (271, 16), (272, 17)]
)
def test_num_clips_counts_complete_clips_as_tsp(frames: int, clips: int) -> None:
    assert ClipGrid(15.0, 16, 16).num_clips(frames / 15) == clips


@given(grid=GRIDS, clips=st.integers(1, 1000))
def test_num_clips_and_duration_are_inverse(grid: ClipGrid, clips: int) -> None:
    assert grid.num_clips(grid.duration(clips)) == clips
    assert grid.spans(clips)[-1, 1] == pytest.approx(grid.duration(clips))
    assert not grid.is_padded(grid.duration(clips))


@given(grid=GRIDS, clips=st.integers(1, 40), targets=st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_interpolated_rows_of_a_ramp_are_a_ramp_that_ends_with_the_feature(
    grid: ClipGrid, clips: int, targets: list[float]
) -> None:
    centres, times = grid.centres(clips), np.asarray(targets)
    ramp = np.stack([centres, -3 * centres], axis=1)
    aligned = interpolated_rows(ramp, row_positions(times, grid))
    inside = np.clip(times, centres[0], centres[-1])
    step = grid.stride / grid.fps
    np.testing.assert_allclose(aligned, np.stack([inside, -3 * inside], axis=1), rtol=0, atol=1e-5 * step + 1e-9)


@given(grid=GRIDS, clips=st.integers(1, 40), targets=st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_nearest_rows_have_the_nearest_centres(grid: ClipGrid, clips: int, targets: list[float]) -> None:
    centres, times = grid.centres(clips), np.asarray(targets)
    indices = nearest_rows(np.arange(clips, dtype=float)[:, None], row_positions(times, grid))[:, 0].astype(int)
    distances = np.abs(centres[None] - times[:, None])
    step = grid.stride / grid.fps
    assert (distances[np.arange(len(times)), indices] <= distances.min(axis=1) + 1e-5 * step).all()


def test_nearest_rows_takes_the_earlier_of_two_equally_near_rows() -> None:
    grid = ClipGrid(15.0, 16, 16)
    between = (grid.centres(4)[:-1] + grid.centres(4)[1:]) / 2
    aligned = nearest_rows(np.arange(4.0)[:, None], row_positions(between, grid))
    assert aligned[:, 0].tolist() == [0.0, 1.0, 2.0]


@given(grid=GRIDS, clips=st.integers(1, 40))
def test_alignment_on_the_same_grid_changes_nothing(grid: ClipGrid, clips: int) -> None:
    features = np.random.default_rng(0).normal(size=(clips, 3)).astype(np.float32)
    positions = row_positions(grid.centres(clips), grid)
    np.testing.assert_array_equal(nearest_rows(features, positions), features)
    np.testing.assert_array_equal(interpolated_rows(features, positions), features)
    assert coverage_mask(positions, clips, grid, grid).all()


@given(reference=GRIDS, grid=GRIDS, duration=st.floats(0.1, 60))
def test_coverage_mask_is_complete_for_features_of_the_same_video(
    reference: ClipGrid, grid: ClipGrid, duration: float
) -> None:
    # Frames left over at the end of the video must not leave a row uncovered.
    clips = reference.num_clips(duration)
    mask = coverage_mask(row_positions(reference.centres(clips), grid), grid.num_clips(duration), grid, reference)
    assert mask.all()


@pytest.mark.parametrize(("num_rows", "num_covered"), [(8, 10), (7, 9), (2, 4)])
def test_coverage_mask_ends_with_the_feature(num_rows: int, num_covered: int) -> None:
    grid = ClipGrid(1.0, 1, 1)
    # Ten rows of one second each. A stride may be left over, and half a clip of each reaches beyond the centre.
    mask = coverage_mask(row_positions(grid.centres(10), grid), num_rows, grid, grid)
    assert mask.tolist() == [row < num_covered for row in range(10)]
