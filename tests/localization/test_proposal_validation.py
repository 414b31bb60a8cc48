"""Precision and recall of proposals."""

import pytest

from pipeline.localization.proposals import Proposal
from pipeline.localization.validation import agreement


def proposals(*times: tuple[float, float]) -> list[Proposal]:
    return [Proposal(float(start), float(end), 1.0) for start, end in times]


def test_precision_and_recall_of_one_video() -> None:
    found = agreement({"v": proposals((0, 10), (0, 6), (50, 60))}, {"v": [[(0.0, 10.0), (20.0, 30.0)]]})
    assert found["proposals"] == 3
    assert found["precision@0.5"] == pytest.approx(2 / 3)
    assert found["recall@0.5"] == pytest.approx(1 / 2)
    assert found["precision@0.7"] == pytest.approx(1 / 3)


def test_overlap_has_to_exceed_the_threshold() -> None:
    found = agreement({"v": proposals((0, 5))}, {"v": [[(0.0, 10.0)]]})
    assert found["recall@0.5"] == 0


def test_the_better_annotator_counts_for_precision_and_recall_apart() -> None:
    found = agreement(
        {"v": proposals((0, 10), (20, 30))}, {"v": [[(0.0, 10.0)], [(0.0, 10.0), (20.0, 30.0), (40.0, 50.0)]]}
    )
    assert found["precision@0.7"] == 1
    assert found["recall@0.7"] == 1


def test_videos_weigh_the_same() -> None:
    found = agreement(
        {"v": proposals((0, 1)), "w": proposals((0, 1), (2, 3)), "unannotated": proposals((0, 1))},
        {"v": [[(0.0, 1.0)]], "w": [[(5.0, 6.0)]]},
    )
    assert found["precision@0.5"] == 0.5
    assert found["proposals"] == 1.5
