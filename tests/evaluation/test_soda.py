"""SODA_c: the published numbers, the best alignment in time order, and the videos that do not count."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.evaluate import Evaluate
from pipeline.evaluation.captions import score_captions
from pipeline.evaluation.matching import EventsByVideo, VideoEvents
from pipeline.evaluation.metric import Metric
from pipeline.evaluation.soda import best_alignment

EventReader = Callable[[str], EventsByVideo]

VAL = ("data/activitynet_captions/val_1.json", "data/activitynet_captions/val_2.json")
GOLDEN = [
    pytest.param("golden/dense_captioning/val_2_as_prediction.json", VAL[:1], 0.05827598, marks=pytest.mark.campaign),
    pytest.param("data/predictions/bmt_val_1.json", VAL, 0.07819430, marks=pytest.mark.campaign),
    (
        "golden/metrics/small_pred.json",
        ("golden/metrics/small_ref1.json", "golden/metrics/small_ref2.json"),
        0.03274572,
    ),
]


def score_soda(captions: EventsByVideo, references: list[EventsByVideo], metrics: dict[str, Metric]) -> np.ndarray:
    """Return F1, precision and recall of each annotator and reference video."""
    scores = score_captions(captions, references, Evaluate(), {"SODA_c": metrics["SODA_c"]})
    return np.stack([scores.annotator_scores["SODA_c"][name] for name in ("F1", "Precision", "Recall")], axis=-1)


@pytest.mark.parametrize(("predictions", "references", "expected"), GOLDEN)
def test_soda_c_gives_the_published_numbers(
    predictions: str,
    references: tuple[str, ...],
    expected: float,
    metrics: dict[str, Metric],
    read_predicted: EventReader,
    read_references: EventReader,
) -> None:
    f1 = score_soda(read_predicted(predictions), [read_references(path) for path in references], metrics)[..., 0]
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


def test_captions_in_the_wrong_order_score_less(metrics: dict[str, Metric]) -> None:
    references = {
        "v_a": VideoEvents.from_rows([(0.0, 10.0, "a man rides a horse"), (5.0, 15.0, "two dogs play in the snow")])
    }
    swapped = {
        "v_a": VideoEvents.from_rows([(5.0, 15.0, "a man rides a horse"), (0.0, 10.0, "two dogs play in the snow")])
    }
    assert score_soda(references, [references], metrics)[0, 0] == pytest.approx([1, 1, 1])
    f1, _, _ = score_soda(swapped, [references], metrics)[0, 0]
    assert 0 < f1 < 0.25  # one of the two, a third of its time


def test_videos_without_captions_or_annotator_are_left_out(metrics: dict[str, Metric]) -> None:
    event = VideoEvents.from_rows([(0.0, 10.0, "a man rides")])
    references: list[EventsByVideo] = [{"v_a": event, "v_b": event}, {"v_c": event}]
    scores = score_soda({"v_a": event, "v_b": VideoEvents.from_rows([]), "v_c": event}, references, metrics)
    assert np.isnan(scores[..., 0]).tolist() == [[False, True, True], [True, True, False]]


def test_captions_that_overlap_nothing_score_0(metrics: dict[str, Metric]) -> None:
    event = VideoEvents.from_rows([(0.0, 10.0, "a man rides")])
    elsewhere = {"v_a": VideoEvents.from_rows([(90.0, 99.0, "a man rides")])}
    assert score_soda(elsewhere, [{"v_a": event}], metrics).tolist() == [[[0, 0, 0]]]
