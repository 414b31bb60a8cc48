"""SODA_c: the published numbers, the best alignment in time order, and the videos that do not count."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.evaluate import Evaluate
from pipeline.evaluation.evaluator import evaluate_caption_sets, read_predicted_events, read_reference_events
from pipeline.evaluation.matching import EventsByVideo, VideoEvents
from pipeline.evaluation.soda import best_alignment

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


def score_soda(captions: EventsByVideo, references: list[EventsByVideo]) -> np.ndarray:
    """Return F1, precision and recall of each annotator and reference video."""
    scores = evaluate_caption_sets({"captions": captions}, references, Evaluate(metrics=["SODA_c"], bootstrap=0))[
        "captions"
    ]
    return np.stack([scores.annotator_scores["SODA_c"][name] for name in ("F1", "Precision", "Recall")], axis=-1)


@pytest.mark.parametrize(("predictions", "references", "expected"), GOLDEN)
def test_soda_c_gives_the_published_numbers(
    predictions: str, references: tuple[str, ...], expected: float, shared: Path
) -> None:
    references: list[EventsByVideo] = [read_reference_events(shared / path) for path in references]
    f1 = score_soda(read_predicted_events(shared / predictions), references)[..., 0]
    assert np.nanmean(f1, axis=1).mean() == pytest.approx(expected, abs=5e-9)  # references to eight digits


tables = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(st.integers(0, 8).map(lambda eighth: eighth / 8), min_size=columns, max_size=columns),
        min_size=1,
        max_size=4,
    )
)


@given(tables)
def test_best_alignment_is_the_best_of_all_alignments_in_order(rows: list[list[float]]) -> None:
    table = np.array(rows)
    height, width = table.shape
    sums = [
        sum(table[row, column] for row, column in zip(chosen, columns, strict=True))
        for count in range(min(height, width) + 1)
        for chosen in combinations(range(height), count)
        for columns in combinations(range(width), count)
    ]
    assert best_alignment(table) == max(sums)


def test_captions_in_the_wrong_order_score_less() -> None:
    references = {
        "v_a": VideoEvents.from_rows([(0.0, 10.0, "a man rides a horse"), (5.0, 15.0, "two dogs play in the snow")])
    }
    swapped = {
        "v_a": VideoEvents.from_rows([(5.0, 15.0, "a man rides a horse"), (0.0, 10.0, "two dogs play in the snow")])
    }
    assert score_soda(references, [references])[0, 0] == pytest.approx([1, 1, 1])
    f1, _, _ = score_soda(swapped, [references])[0, 0]
    assert 0 < f1 < 0.25  # one of the two, a third of its time


def test_videos_without_captions_or_annotator_are_left_out() -> None:
    event = VideoEvents.from_rows([(0.0, 10.0, "a man rides")])
    references: list[EventsByVideo] = [{"v_a": event, "v_b": event}, {"v_c": event}]
    scores = score_soda({"v_a": event, "v_b": VideoEvents.from_rows([]), "v_c": event}, references)
    assert np.isnan(scores[..., 0]).tolist() == [[False, True, True], [True, True, False]]


def test_captions_that_overlap_nothing_score_0() -> None:
    event = VideoEvents.from_rows([(0.0, 10.0, "a man rides")])
    assert score_soda({"v_a": VideoEvents.from_rows([(90.0, 99.0, "a man rides")])}, [{"v_a": event}]).tolist() == [
        [[0, 0, 0]]
    ]
