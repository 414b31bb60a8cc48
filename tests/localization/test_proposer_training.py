"""Precision and recall of proposals on the validation videos."""

import pytest

from pipeline.localization.proposals import Proposal
from pipeline.localization.proposer_training import precision_recall


def proposals(*times: tuple[float, float]) -> list[Proposal]:
    return [Proposal(float(start), float(end), 1.0) for start, end in times]


def test_precision_recall_of_one_video() -> None:
    metrics = precision_recall({"v": proposals((0, 10), (0, 6), (50, 60))}, {"v": [[(0.0, 10.0), (20.0, 30.0)]]})
    assert metrics["proposals"] == 3
    assert metrics["precision@0.5"] == pytest.approx(2 / 3)
    assert metrics["recall@0.5"] == pytest.approx(1 / 2)
    assert metrics["precision@0.7"] == pytest.approx(1 / 3)


def test_precision_recall_needs_a_tiou_above_the_threshold() -> None:
    metrics = precision_recall({"v": proposals((0, 5))}, {"v": [[(0.0, 10.0)]]})
    assert metrics["recall@0.5"] == 0


def test_precision_recall_takes_the_best_annotator_for_each_of_the_two() -> None:
    metrics = precision_recall(
        {"v": proposals((0, 10), (20, 30))}, {"v": [[(0.0, 10.0)], [(0.0, 10.0), (20.0, 30.0), (40.0, 50.0)]]}
    )
    assert metrics["precision@0.7"] == 1
    assert metrics["recall@0.7"] == 1


def test_precision_recall_weights_videos_equally() -> None:
    metrics = precision_recall(
        {"v": proposals((0, 1)), "w": proposals((0, 1), (2, 3)), "unannotated": proposals((0, 1))},
        {"v": [[(0.0, 1.0)]], "w": [[(5.0, 6.0)]]},
    )
    assert metrics["precision@0.5"] == 0.5
    assert metrics["proposals"] == 1.5
