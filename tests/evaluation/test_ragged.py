"""Tables and ranges of different sizes, one behind the other, are what loops would make of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.ragged import Indices, bounds, grid, pieces, ranges

sizes = st.integers(0, 4)


def columns_of(rows: list[tuple[int, ...]], width: int) -> list[Indices]:
    return list(np.array(rows, np.int64).reshape(-1, width).T)


@given(st.lists(st.tuples(st.integers(0, 99), sizes), max_size=6))
def test_ranges_stand_one_behind_the_other(given: list[tuple[int, int]]) -> None:
    begin, size = columns_of(given, 2)
    assert ranges(begin, size).tolist() == [number for one, count in given for number in range(one, one + count)]
    assert ranges(7, size).tolist() == [number for _, count in given for number in range(7, 7 + count)]


@given(st.lists(st.tuples(sizes, sizes), max_size=5))
def test_every_cell_of_every_table_comes_once_and_in_order(given: list[tuple[int, int]]) -> None:
    cells = [(n, row, column) for n, (h, w) in enumerate(given) for row in range(h) for column in range(w)]
    assert list(zip(*map(np.ndarray.tolist, grid(*columns_of(given, 2))), strict=True)) == cells


@given(st.lists(sizes, max_size=9), st.integers(1, 9))
def test_pieces_lose_nothing_and_but_for_their_first_weigh_less_than_the_limit(given: list[int], limit: int) -> None:
    weights = np.array(given, np.int64)
    found = pieces(weights, limit)
    assert np.concatenate(found).tolist() == list(range(len(given)))
    assert all(weights[piece[1:]].sum() < limit for piece in found)


def test_bounds_by_hand() -> None:
    assert bounds(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
