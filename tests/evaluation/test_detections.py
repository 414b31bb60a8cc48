"""Mean average precision: the official numbers, and the properties of the definition."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.detections import format_detections, score_detections
from pipeline.evaluation.segments import (
    TIOU_NAMES,
    TIOUS,
    GroundTruth,
    ScoredSegments,
    read_ground_truth,
    read_scored_segments,
)

Truth = dict[str, list[tuple[float, float, str]]]
Predicted = dict[str, list[tuple[float, float, float, str]]]


def truth_of(plain: Truth) -> GroundTruth:
    """Build ground truth from (start, end, label)."""
    videos, labels = tuple(sorted(plain)), tuple(sorted({row[2] for rows in plain.values() for row in rows}))
    rows = [(index, *row) for index, video in enumerate(videos) for row in plain[video]]
    return GroundTruth(
        videos,
        labels,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1:3] for row in rows], np.float64),
        np.array([labels.index(row[3]) for row in rows], np.int64),
    )


def segments_of(plain: Predicted) -> ScoredSegments:
    """Build scored segments from (start, end, score, label)."""
    videos, labels = tuple(sorted(plain)), tuple(sorted({row[3] for rows in plain.values() for row in rows}))
    rows = [(index, *row) for index, video in enumerate(videos) for row in plain[video]]
    return ScoredSegments(
        videos,
        labels,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1:3] for row in rows], np.float64).reshape(-1, 2),
        np.array([row[3] for row in rows], np.float64),
        np.array([labels.index(row[4]) for row in rows], np.int64),
    )


def reference_implementation(truth: Truth, predicted: Predicted, label: str, threshold: float) -> float:
    """Compute the AP of a class in the words of the definition."""
    free = {video: sorted(row[:2] for row in rows if row[2] == label) for video, rows in truth.items()}
    instances = sum(map(len, free.values()))
    ranked = sorted(
        (-row[2], video, index, row[:2])
        for video, rows in predicted.items()
        for index, row in enumerate(rows)
        if row[3] == label and video in truth
    )

    def tiou(one: tuple[float, float], other: tuple[float, float]) -> float:
        shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
        union = (one[1] - one[0]) + (other[1] - other[0]) - shared
        return shared / union if union else 0.0

    hits: list[bool] = []
    for _, video, _, segment in ranked:
        best = max(free[video], key=lambda instance: tiou(segment, instance), default=None)
        hits.append(best is not None and tiou(segment, best) >= threshold)
        if hits[-1]:
            free[video].remove(best)
    precision = [sum(hits[: rank + 1]) / (rank + 1) for rank in range(len(hits))]
    return sum(max(precision[rank:]) for rank, hit in enumerate(hits) if hit) / instances


def test_score_detections_gives_the_official_numbers(shared: Path) -> None:
    folder = shared / "golden/localization"
    golden = json.loads((folder / "activitynet_evaluators.json").read_text())["det_unique_mini"]
    truth = read_ground_truth(folder / golden["gt"], "validation")
    got = score_detections(truth, read_scored_segments(folder / golden["pred"], True))
    assert (got["n_instances"], got["n_detections"]) == (golden["n_gt"], golden["n_pred"])
    assert got["n_classes"] == golden["n_classes"]
    assert list(got["mAP"]) == [*TIOU_NAMES, "mean"]
    expected = [*golden["mAP"], golden["average_mAP"]]
    np.testing.assert_allclose(list(got["mAP"].values()), expected, rtol=0, atol=1e-12)


quarters = st.integers(0, 12).map(lambda number: number / 4)
segments = st.tuples(quarters, quarters).map(lambda pair: (min(pair), max(pair)))
ids = st.sampled_from("abcd")
classes = st.sampled_from(["Archery", "Running", "Swimming"])
instances = st.builds(lambda segment, label: (*segment, label), segments, classes)
truths = st.dictionaries(ids, st.lists(instances, max_size=5), min_size=1).filter(lambda plain: any(plain.values()))
scores = st.integers(0, 3).map(lambda number: number / 2)
detected = st.builds(lambda segment, score, label: (*segment, score, label), segments, scores, classes)
predictions = st.dictionaries(ids, st.lists(detected, max_size=8))


def distinct(predicted: Predicted) -> Predicted:
    """Return the same segments with distinct scores."""
    count = iter(range(1000))
    return {
        video: [(start, end, 389 * next(count) % 1000 / 1000, label) for start, end, _, label in rows]
        for video, rows in predicted.items()
    }


@given(truths, predictions)
def test_average_precision_equals_the_definition(truth: Truth, predicted: Predicted) -> None:
    got = score_detections(truth_of(truth), segments_of(predicted), per_class=True)
    expected = {
        label: [reference_implementation(truth, predicted, label, threshold) for threshold in TIOUS]
        for label in sorted({row[2] for rows in truth.values() for row in rows})
    }
    assert list(got["AP"]) == list(expected)
    for label, values in expected.items():
        np.testing.assert_allclose(list(got["AP"][label].values()), [*values, np.mean(values)], rtol=0, atol=1e-12)
    np.testing.assert_allclose(list(got["mAP"].values())[:-1], np.mean(list(expected.values()), axis=0), atol=1e-12)


@given(truths, predictions.map(distinct), st.randoms(use_true_random=False))
def test_score_detections_ignores_the_order_of_the_file(truth: Truth, predicted: Predicted, random: Any) -> None:
    def shuffled(plain: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            video: random.sample(plain[video], len(plain[video])) for video in random.sample(list(plain), len(plain))
        }

    before = score_detections(truth_of(truth), segments_of(predicted), per_class=True)
    assert score_detections(truth_of(shuffled(truth)), segments_of(shuffled(predicted)), per_class=True) == before


@given(truths, predictions)
def test_average_precision_is_between_0_and_1(truth: Truth, predicted: Predicted) -> None:
    got = score_detections(truth_of(truth), segments_of(predicted), per_class=True)
    for values in (got["mAP"], *got["AP"].values()):
        assert all(0 <= value <= 1 for value in values.values())


@given(truths)
def test_perfect_detections_score_1_except_for_zero_length_instances(truth: Truth) -> None:
    whole = {video: [row for row in rows if row[0] < row[1]] for video, rows in truth.items()}
    perfect = {video: [(start, end, 0.5, label) for start, end, label in rows] for video, rows in whole.items()}
    if any(whole.values()):
        assert set(score_detections(truth_of(whole), segments_of(perfect))["mAP"].values()) == {1.0}
    got = score_detections(truth_of(truth), segments_of(perfect))
    without = sum(row[0] == row[1] for rows in truth.values() for row in rows)
    assert got["zero_length_ground_truth"]["count"] == without
    assert (got["mAP"]["mean"] == 1) == (without == 0)


@given(truths, predictions)
def test_score_detections_counts_and_ignores_unknown_videos_and_classes(truth: Truth, predicted: Predicted) -> None:
    before = score_detections(truth_of(truth), segments_of(predicted))
    video = min(truth)
    more = predicted | {
        "stranger": [(0.0, 1.0, 9.0, "Running")],
        video: [(0.0, 1.0, 9.0, "Tango"), *predicted.get(video, [])],
    }
    after = score_detections(truth_of(truth), segments_of(more))
    assert after.pop("n_unknown_videos") == before.pop("n_unknown_videos") + 1
    assert after.pop("unknown_labels") == before.pop("unknown_labels") | {"Tango": 1}
    assert {**after, "n_missing_videos": 0} == {**before, "n_missing_videos": 0}


# Cases by hand.

GOOD, BAD = (0.0, 10.0), (50.0, 60.0)


def average(truth: Truth, predicted: Predicted, threshold: str = "0.5") -> float:
    return score_detections(truth_of(truth), segments_of(predicted))["mAP"][threshold]


def test_tie_rule_of_detections_is_video_then_order_of_the_file() -> None:
    right, wrong = (*GOOD, 0.5, "Running"), (*BAD, 0.5, "Running")
    truth = {"a": [(*GOOD, "Running")]}
    assert average(truth, {"a": [right, wrong]}) == 1
    assert average(truth, {"a": [wrong, right]}) == 0.5
    for order in ("ab", "ba"):
        predicted = {"a": [wrong], "b": [right]}
        assert average({"b": truth["a"], "a": []}, {video: predicted[video] for video in order}) == 0.5
        predicted = {"a": [right], "b": [wrong]}
        assert average({"a": truth["a"], "b": []}, {video: predicted[video] for video in order}) == 1
    assert "video id" in score_detections(truth_of(truth), segments_of({}))["ties"]


def test_tie_rule_of_detections_ignores_the_order_of_videos(tmp_path: Path) -> None:
    instances_of = {video: [{"segment": [0, 10], "label": "Running"}] for video in "ab"}
    database = {video: {"subset": "validation", "annotations": rows} for video, rows in instances_of.items()}
    (tmp_path / "g.json").write_text(json.dumps({"database": database}))
    rows = {"v_a": [{"segment": [50, 60], "score": 1, "label": "Running"}]}
    rows["v_b"] = [{"segment": [0, 10], "score": 1, "label": "Running"}]
    got = []
    for number, order in enumerate((("v_a", "v_b"), ("v_b", "v_a"))):
        path = tmp_path / f"{number}.json"
        results = {video: rows[video] for video in order}
        path.write_text(json.dumps({"results": results, "version": "", "external_data": {}}))
        truth = read_ground_truth(tmp_path / "g.json", "validation")
        got.append(score_detections(truth, read_scored_segments(path, True))["mAP"]["mean"])
    assert got == [0.25, 0.25]


def test_match_detections_falls_through_to_the_next_best_instance() -> None:
    truth = {"a": [(0.0, 10.0, "Running"), (1.0, 10.0, "Running")]}
    both = {"a": [(0.0, 10.0, 0.9, "Running"), (0.0, 10.0, 0.8, "Running")]}
    assert average(truth, both, "0.9") == 1
    assert average(truth, both, "0.95") == 0.5  # 9 / 10 is not enough for the second


def test_match_detections_takes_the_instance_with_the_highest_overlap() -> None:
    truth = {"a": [(0.0, 10.0, "Running"), (1.0, 11.0, "Running")]}
    # The first overlaps both instances enough, the second only the earlier one.
    predicted = {"a": [(1.0, 11.0, 0.9, "Running"), (-1.0, 9.5, 0.8, "Running")]}
    assert average(truth, predicted, "0.8") == 1


def test_match_detections_matches_an_instance_once() -> None:
    truth = {"a": [(*GOOD, "Running")], "b": [(*GOOD, "Running")]}
    twice = {"a": [(*GOOD, 0.9, "Running"), (*GOOD, 0.8, "Running")], "b": [(*GOOD, 0.7, "Running")]}
    # True, false, true: precision 1, 1/2, 2/3.
    assert average(truth, twice) == pytest.approx((1 + 2 / 3) / 2)


def test_average_precision_interpolates_precision_from_each_rank_on() -> None:
    truth = {"a": [(*GOOD, "Running"), (20.0, 30.0, "Running")]}
    predicted = {"a": [(*BAD, 0.9, "Running"), (*GOOD, 0.8, "Running"), (20.0, 30.0, 0.7, "Running")]}
    assert average(truth, predicted) == pytest.approx(2 / 3)


def test_classes_are_independent_and_have_equal_weight() -> None:
    truth = {"a": [(*GOOD, "Running"), (*GOOD, "Running"), (*BAD, "Swimming")]}
    predicted = {"a": [(*GOOD, 0.9, "Running"), (*GOOD, 0.8, "Running"), (*BAD, 0.7, "Running")]}
    got = score_detections(truth_of(truth), segments_of(predicted), per_class=True)
    assert got["AP"]["Running"]["mean"] == 1
    assert got["AP"]["Swimming"]["mean"] == 0
    assert got["mAP"]["mean"] == 0.5


def test_a_detection_in_a_video_without_instances_is_a_false_positive() -> None:
    truth: Truth = {"a": [(*GOOD, "Running")], "b": []}
    assert average(truth, {"a": [(*GOOD, 0.5, "Running")], "b": [(*GOOD, 0.9, "Running")]}) == 0.5


def test_a_zero_length_instance_is_never_detected_but_counts() -> None:
    point = (4.1, 4.1, "Running")
    assert average({"a": [point]}, {"a": [(50.0, 50.0, 1.0, "Running"), (4.1, 4.1, 0.9, "Running")]}) == 0
    assert average({"a": [point, (*GOOD, "Running")]}, {"a": [(*GOOD, 1.0, "Running")]}) == 0.5


def test_no_detections_score_0() -> None:
    got = score_detections(truth_of({"a": [(*GOOD, "Running")]}), segments_of({}))
    assert set(got["mAP"].values()) == {0.0}
    assert (got["n_detections"], got["n_missing_videos"]) == (0, 1)
    assert "AP" not in got


def test_unknown_classes_are_counted_and_the_first_three_named(caplog: pytest.LogCaptureFixture) -> None:
    strange = [(*GOOD, 0.5, f"Dance {number}") for number in (3, 1, 0, 2, 1)]
    with caplog.at_level(logging.WARNING):
        got = score_detections(truth_of({"a": [(*GOOD, "Running")]}), segments_of({"a": strange}))
    assert got["unknown_labels"] == {"Dance 0": 1, "Dance 1": 2, "Dance 2": 1, "Dance 3": 1}
    assert "4 classes" in caplog.text
    assert "Dance 0, Dance 1, Dance 2, ..." in caplog.text


def test_format_detections_is_in_percent() -> None:
    truth, predicted = {"a": [(*GOOD, "Running"), (*BAD, "Swimming")]}, {"a": [(*GOOD, 0.5, "Running")]}
    lines = format_detections(score_detections(truth_of(truth), segments_of(predicted))).splitlines()
    assert lines[1].split() == ["mAP", *["50.00"] * (len(TIOU_NAMES) + 1)]
    lines = format_detections(score_detections(truth_of(truth), segments_of(predicted), per_class=True)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["mAP", "Running", "Swimming"]
    assert lines[2].split()[-1] == "100.00"


def test_per_video_has_recall_and_precision_of_each_video_of_the_subset() -> None:
    truth: Truth = {"a": [(*GOOD, "Running"), (*BAD, "Running")], "b": [], "c": [(*GOOD, "Running")]}
    predicted: Predicted = {
        "a": [(0.0, 7.2, 0.9, "Running"), (20.0, 30.0, 0.8, "Running")],
        "b": [(*GOOD, 0.5, "Running")],
    }
    table = score_detections(truth_of(truth), segments_of(predicted))["per_video"]
    assert table == {
        "video": ["a", "b", "c"],
        "n_instances": [2, 0, 1],
        "n_detections": [2, 1, 0],
        "recall": [pytest.approx(0.5 / 2), None, 0.0],  # matched at the thresholds from 0.5 to 0.7: half of them
        "precision": [pytest.approx(0.5 / 2), 0.0, None],
    }


@given(truths, predictions)
def test_per_video_counts_add_up(truth: Truth, predicted: Predicted) -> None:
    got = score_detections(truth_of(truth), segments_of(predicted))
    assert sum(got["per_video"]["n_instances"]) == got["n_instances"]
    assert sum(got["per_video"]["n_detections"]) == got["n_detections"]
