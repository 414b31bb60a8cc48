"""SODA_c: the published numbers, the best story in order, and who is left out."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.evaluator import predicted_events, reference_events
from pipeline.evaluation.events import Events
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.soda import best_in_order, soda_c

VAL = ("data/activitynet_captions/val_1.json", "data/activitynet_captions/val_2.json")
GOLDEN = [
    ("golden/dense_captioning/val_2_as_prediction.json", VAL[:1], 0.05827598),
    ("data/predictions/bmt_val_1.json", VAL, 0.07819430),
    (
        "golden/metrics/small_pred.json",
        ("golden/metrics/small_ref1.json", "golden/metrics/small_ref2.json"),
        0.03274572,
    ),
]


@pytest.mark.parametrize(("predictions", "references", "expected"), GOLDEN)
def test_golden(predictions: str, references: tuple[str, ...], expected: float, shared: Path, meteor: Meteor) -> None:
    known = [reference_events(shared / path) for path in references]
    found = soda_c(predicted_events(shared / predictions), known, sorted(set().union(*known)), meteor, 600.0)
    assert np.nanmean(found[..., 0], axis=1).mean() == pytest.approx(expected, abs=5e-9)  # known to eight digits


tables = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(st.integers(0, 8).map(lambda eighth: eighth / 8), min_size=columns, max_size=columns),
        min_size=1,
        max_size=4,
    )
)


@given(tables)
def test_no_other_choice_in_order_is_better(rows: list[list[float]]) -> None:
    table = np.array(rows)
    height, width = table.shape
    choices = [
        sum(table[row, column] for row, column in zip(chosen, columns, strict=True))
        for count in range(min(height, width) + 1)
        for chosen in combinations(range(height), count)
        for columns in combinations(range(width), count)
    ]
    assert best_in_order(table) == max(choices)


def test_a_story_told_in_the_wrong_order_is_worth_less(meteor: Meteor) -> None:
    known = {"v_a": Events.of([(0.0, 10.0, "a man rides a horse"), (5.0, 15.0, "two dogs play in the snow")])}
    told = {"v_a": Events.of([(0.0, 10.0, "a man rides a horse"), (5.0, 15.0, "two dogs play in the snow")])}
    swapped = {"v_a": Events.of([(5.0, 15.0, "a man rides a horse"), (0.0, 10.0, "two dogs play in the snow")])}
    assert soda_c(told, [known], ["v_a"], meteor, 60.0)[0, 0] == pytest.approx([1, 1, 1])
    f1, _, _ = soda_c(swapped, [known], ["v_a"], meteor, 60.0)[0, 0]
    assert 0 < f1 < 0.25  # one of the two, a third of its time


def test_who_is_not_captioned_or_not_annotated_is_left_out(meteor: Meteor) -> None:
    event = Events.of([(0.0, 10.0, "a man rides")])
    known = [{"v_a": event, "v_b": event}, {"v_c": event}]
    found = soda_c({"v_a": event, "v_b": Events.of([]), "v_c": event}, known, ["v_a", "v_b", "v_c"], meteor, 60.0)
    assert np.isnan(found[..., 0]).tolist() == [[False, True, True], [True, True, False]]
    far = {"v_a": Events.of([(90.0, 99.0, "a man rides")])}
    assert soda_c(far, known[:1], ["v_a"], meteor, 60.0).tolist() == [[[0, 0, 0]]]
