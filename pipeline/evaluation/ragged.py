"""Arrays of different lengths, concatenated: each is a range of one flat array, between two offsets."""

import numpy as np
from jaxtyping import Int

Indices = Int[np.ndarray, "_"]
"""Indices, any number of them."""


def concat_ranges(starts: Int[np.ndarray, " parts"] | int, sizes: Int[np.ndarray, " parts"]) -> Indices:
    """Concatenate the ranges start, start + 1, ..., start + size - 1 of all parts."""
    ends = np.cumsum(sizes)
    return np.arange(sizes.sum()) + np.repeat(starts - ends + sizes, sizes)


def gather_rows(
    offsets: Int[np.ndarray, " offsets"], rows: Int[np.ndarray, " rows"]
) -> tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"]]:
    """Concatenate the entries of rows: for each entry, the position of its row in `rows`, and its own index."""
    sizes = offsets[rows + 1] - offsets[rows]
    return np.repeat(np.arange(len(rows)), sizes), concat_ranges(offsets[rows], sizes)


def enumerate_cells(
    heights: Int[np.ndarray, " tables"], widths: Int[np.ndarray, " tables"]
) -> tuple[Indices, Indices, Indices]:
    """Enumerate the cells of tables, table after table, row after row.

    Args:
        heights: rows of each table.
        widths: columns of each table.

    Returns:
        Table, row and column of each cell.
    """
    table_of_row = np.repeat(np.arange(len(heights)), heights)
    cells = widths[table_of_row]
    return np.repeat(table_of_row, cells), np.repeat(concat_ranges(0, heights), cells), concat_ranges(0, cells)


def offsets_of(sizes: Int[np.ndarray, " parts"]) -> Int[np.ndarray, " offsets"]:
    """Compute where each part starts in the flat array, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def chunk_by_weight(weights: Int[np.ndarray, " n"], limit: int) -> list[Int[np.ndarray, " chunk"]]:
    """Split the indices 0 to n - 1 into consecutive chunks whose weights sum up to about `limit`.

    The weights of a chunk without its first index sum up to less than `limit`. A chunk of one index may exceed it.
    """
    return np.split(np.arange(len(weights)), np.flatnonzero(np.diff(np.cumsum(weights) // limit)) + 1)
