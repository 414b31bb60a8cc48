"""Tables of different sizes, one behind the other in flat arrays."""

import numpy as np
from jaxtyping import Int

Indices = Int[np.ndarray, "_"]
"""Whole numbers, however many."""


def ranges(begin: Int[np.ndarray, " parts"] | int, sizes: Int[np.ndarray, " parts"]) -> Indices:
    """Whole numbers from each `begin` on, as many as each size says, one range behind the other."""
    ends = np.cumsum(sizes)
    return np.arange(sizes.sum()) + np.repeat(begin - ends + sizes, sizes)


def grid(rows: Int[np.ndarray, " tables"], columns: Int[np.ndarray, " tables"]) -> tuple[Indices, Indices, Indices]:
    """Every cell of tables of the given sizes: its table, row and column, in that order."""
    table_of_row = np.repeat(np.arange(len(rows)), rows)
    cells = columns[table_of_row]
    return np.repeat(table_of_row, cells), np.repeat(ranges(0, rows), cells), ranges(0, cells)


def bounds(counts: Int[np.ndarray, " parts"]) -> Int[np.ndarray, " bounds"]:
    """Where each part begins when parts of the given sizes stand one behind the other, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def pieces(weights: Int[np.ndarray, " n"], limit: int) -> list[Int[np.ndarray, " some"]]:
    """The indices 0 .. n - 1 cut into stretches whose weights sum up to about `limit`."""
    return np.split(np.arange(len(weights)), np.flatnonzero(np.diff(np.cumsum(weights) // limit)) + 1)
