"""Average precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.encoders.validation_metrics import mean_average_precision


def one(scores: list[float], shown: list[int]) -> float:
    return mean_average_precision(np.array(scores, dtype=np.float32)[:, None], np.array(shown, dtype=bool)[:, None])


def test_a_known_ranking() -> None:
    # Hits at ranks 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3.
    assert one([0.9, 0.8, 0.7, 0.6, 0.1], [1, 0, 1, 1, 0]) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert one([1, 2, 3], [0, 0, 1]) == 1.0


def test_the_order_of_equal_scores_does_not_matter() -> None:
    assert one([1, 1, 1, 1], [1, 0, 0, 0]) == one([1, 1, 1, 1], [0, 0, 0, 1]) == pytest.approx(0.25)


def test_concepts_that_nothing_shows_are_left_out() -> None:
    scores = np.array([[0.1, 0.9], [0.2, 0.1]], dtype=np.float32)
    assert mean_average_precision(scores, np.array([[False, True], [False, False]])) == 1.0
    assert mean_average_precision(scores, np.zeros((2, 2), dtype=bool)) == 0.0


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_it_is_the_mean_precision_at_the_hits(items: list[tuple[int, bool]]) -> None:
    if not any(hit for _, hit in items):
        return
    precisions = []
    for score, hit in items:
        if hit:
            above = [other for value, other in items if value >= score]
            precisions.append(sum(above) / len(above))
    scores, shown = [float(score) for score, _ in items], [int(hit) for _, hit in items]
    assert one(scores, shown) == pytest.approx(float(np.mean(precisions)))
