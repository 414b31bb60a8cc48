"""Concatenated ranges and tables: equal to what loops compute."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.ragged import Indices, chunk_by_weight, concat_ranges, enumerate_cells, offsets_of

sizes = st.integers(0, 4)


def columns_of(rows: list[tuple[int, ...]], width: int) -> list[Indices]:
    return list(np.array(rows, np.int64).reshape(-1, width).T)


@given(st.lists(st.tuples(st.integers(0, 99), sizes), max_size=6))
def test_concat_ranges_equals_a_loop(parts: list[tuple[int, int]]) -> None:
    begin, size = columns_of(parts, 2)
    assert concat_ranges(begin, size).tolist() == [
        number for start, count in parts for number in range(start, start + count)
    ]
    assert concat_ranges(7, size).tolist() == [number for _, count in parts for number in range(7, 7 + count)]


@given(st.lists(st.tuples(sizes, sizes), max_size=5))
def test_enumerate_cells_equals_a_loop(parts: list[tuple[int, int]]) -> None:
    cells = [(n, row, column) for n, (h, w) in enumerate(parts) for row in range(h) for column in range(w)]
    assert list(zip(*map(np.ndarray.tolist, enumerate_cells(*columns_of(parts, 2))), strict=True)) == cells


@given(st.lists(sizes, max_size=9), st.integers(1, 9))
def test_chunk_by_weight_keeps_all_indices_and_the_limit(values: list[int], limit: int) -> None:
    weights = np.array(values, np.int64)
    chunks = chunk_by_weight(weights, limit)
    assert np.concatenate(chunks).tolist() == list(range(len(values)))
    assert all(weights[chunk[1:]].sum() < limit for chunk in chunks)


def test_offsets_of_by_hand() -> None:
    assert offsets_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
