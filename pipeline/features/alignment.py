"""Rows of one feature at the times of another's."""

import numpy as np
from jaxtyping import Bool, Float

from pipeline.features.time_grid import ClipGrid

_DIGITS = 6
"""Decimals of a row that count: what lies halfway is so whatever way its time was computed."""

Positions = Float[np.ndarray, "rows"]
Given = Float[np.ndarray, "clips dim"]
Aligned = Float[np.ndarray, "rows dim"]


def positions(centres: Float[np.ndarray, "rows"], grid: ClipGrid) -> Positions:
    """Where times lie on a grid, counted in its rows: 2.5 is halfway between the middles of the rows 2 and 3.

    Args:
        centres: seconds.
        grid: of the feature that is to be aligned.
    """
    return np.round((centres * grid.fps - grid.frames / 2) / grid.stride, _DIGITS)


def covered(found: Positions, clips: int, grid: ClipGrid, other: ClipGrid) -> Bool[np.ndarray, "rows"]:
    """Where a feature of `clips` rows is there; its first and last row stand for what is left over at the ends.

    Up to a stride's frames may be left over (a clip that is not full is dropped), and both features' rows reach half
    a clip beyond their middles; what is farther off has no features.

    Args:
        found: where the other feature's rows lie, see `positions`.
        clips: rows of the feature.
        grid: its own.
        other: the other feature's.
    """
    seconds = (grid.frames / 2 + grid.stride) / grid.fps + other.frames / 2 / other.fps
    reach = seconds * grid.fps / grid.stride
    inside: Bool[np.ndarray, " rows"] = (found >= -reach) & (found <= clips - 1 + reach)
    return inside


def nearest(features: Given, found: Positions) -> Aligned:
    """The nearest row at each position; of two equally near ones the earlier."""
    rows = np.clip(np.ceil(found - 0.5), 0, len(features) - 1).astype(np.int64)
    return features[rows]


def linear(features: Given, found: Positions) -> Aligned:
    """Between the two rows around each position; before the first and after the last these rows themselves."""
    inside = np.clip(found, 0, len(features) - 1)
    before = np.floor(inside).astype(np.int64)
    after = np.minimum(before + 1, len(features) - 1)
    share = (inside - before)[:, None].astype(features.dtype)
    return features[before] * (1 - share) + features[after] * share


METHODS = {"nearest": nearest, "linear": linear}
