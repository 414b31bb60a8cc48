"""tIoU: the exact formula, densevid_eval's formula, and what tells them apart."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.tiou import tiou_densevid, tiou_exact, tiou_matrix

quarters = st.integers(0, 40).map(lambda number: number / 4)
segments = st.tuples(quarters, quarters).map(lambda pair: (min(pair), max(pair)))
any_second = st.floats(-1e300, 1e300)
any_segment = st.tuples(any_second, any_second).map(lambda pair: (min(pair), max(pair)))


def test_tiou_exact_by_hand() -> None:
    first = np.array([[0.0, 10.0], [0.0, 10.0], [0.0, 10.0], [4.0, 4.0], [4.0, 4.0], [0.0, 10.0]])
    second = np.array([[5.0, 15.0], [10.0, 20.0], [2.0, 4.0], [4.0, 4.0], [0.0, 10.0], [0.0, 10.0]])
    np.testing.assert_allclose(tiou_exact(first, second), [1 / 3, 0, 0.2, 0, 0, 1], rtol=1e-15)


@given(any_segment, any_segment)
def test_tiou_exact_is_a_symmetric_fraction_and_1_for_equal_segments(a: Any, b: Any) -> None:
    first, second = np.array([a]), np.array([b])
    assert 0 <= tiou_exact(first, second)[0] <= 1
    assert tiou_exact(first, second) == tiou_exact(second, first)
    assert tiou_exact(first, first)[0] == (a[0] < a[1])


@given(st.lists(segments, min_size=1, max_size=4), st.lists(segments, min_size=1, max_size=4))
def test_tiou_matrix_has_tiou_exact_of_all_segments_with_all(first: list[Any], second: list[Any]) -> None:
    matrix = tiou_matrix(np.array(first), np.array(second))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            assert matrix[i, j] == tiou_exact(np.array([a]), np.array([b]))[0]


@given(st.lists(st.tuples(segments, segments), min_size=1, max_size=4))
def test_tiou_densevid_is_a_symmetric_fraction(pairs: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    first, second = np.array(pairs).transpose(1, 0, 2)
    tiou = tiou_densevid(first, second)
    np.testing.assert_allclose(tiou, tiou_densevid(second, first), rtol=0, atol=1e-15)
    assert ((tiou >= 0) & (tiou <= 1)).all()
    lengths = first[:, 1] - first[:, 0]
    np.testing.assert_allclose(tiou_densevid(first, first), (lengths > 0).astype(float), atol=1e-7)


def test_tiou_densevid_by_hand() -> None:
    others = np.array([[5.0, 15.0], [10.0, 20.0], [20.0, 30.0], [2.0, 4.0], [9.0, 1.0]])
    times = np.repeat([[0.0, 10.0]], len(others), axis=0)
    np.testing.assert_allclose(tiou_densevid(times, others), [1 / 3, 0, 0, 0.2, 0], atol=1e-8)


def test_half_of_an_event_is_below_one_half_for_tiou_densevid_only() -> None:
    half = np.array([[0.0, 10.0]]), np.array([[0.0, 20.0]])
    assert tiou_densevid(*half)[0] < 0.5 == tiou_exact(*half)[0] == pytest.approx(tiou_matrix(*half)[0, 0], abs=0)
