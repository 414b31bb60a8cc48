"""Mean average precision gives the official numbers, and has the properties that its definition promises."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.detections import score_detections, table
from pipeline.evaluation.localization import (
    NAMES,
    TIOUS,
    GroundTruth,
    Localizations,
    read_ground_truth,
    read_localizations,
)

Truth = dict[str, list[tuple[float, float, str]]]
Found = dict[str, list[tuple[float, float, float, str]]]


def truth_of(plain: Truth) -> GroundTruth:
    """From (start, end, label)."""
    videos, labels = tuple(sorted(plain)), tuple(sorted({row[2] for rows in plain.values() for row in rows}))
    rows = [(index, *row) for index, video in enumerate(videos) for row in plain[video]]
    return GroundTruth(
        videos,
        labels,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1:3] for row in rows], np.float64),
        np.array([labels.index(row[3]) for row in rows], np.int64),
    )


def found_of(plain: Found) -> Localizations:
    """From (start, end, score, label)."""
    videos, labels = tuple(sorted(plain)), tuple(sorted({row[3] for rows in plain.values() for row in rows}))
    rows = [(index, *row) for index, video in enumerate(videos) for row in plain[video]]
    return Localizations(
        videos,
        labels,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1:3] for row in rows], np.float64).reshape(-1, 2),
        np.array([row[3] for row in rows], np.float64),
        np.array([labels.index(row[4]) for row in rows], np.int64),
    )


def by_definition(truth: Truth, found: Found, label: str, threshold: float) -> float:
    """AP of a class as the definition reads."""
    free = {video: sorted(row[:2] for row in rows if row[2] == label) for video, rows in truth.items()}
    instances = sum(map(len, free.values()))
    ranked = sorted(
        (-row[2], video, index, row[:2])
        for video, rows in found.items()
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


def test_golden(shared: Path) -> None:
    folder = shared / "golden/localization"
    golden = json.loads((folder / "activitynet_evaluators.json").read_text())["det_unique_mini"]
    truth = read_ground_truth(folder / golden["gt"], "validation")
    got = score_detections(truth, read_localizations(folder / golden["pred"], True))
    assert (got["n_instances"], got["n_detections"]) == (golden["n_gt"], golden["n_pred"])
    assert got["n_classes"] == golden["n_classes"]
    assert list(got["mAP"]) == [*NAMES, "mean"]
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
founds = st.dictionaries(ids, st.lists(detected, max_size=8))


def distinct(found: Found) -> Found:
    """The same with scores that are all different."""
    count = iter(range(1000))
    return {
        video: [(start, end, 389 * next(count) % 1000 / 1000, label) for start, end, _, label in rows]
        for video, rows in found.items()
    }


@given(truths, founds)
def test_average_precision_is_what_the_definition_says(truth: Truth, found: Found) -> None:
    got = score_detections(truth_of(truth), found_of(found), per_class=True)
    expected = {
        label: [by_definition(truth, found, label, threshold) for threshold in TIOUS]
        for label in sorted({row[2] for rows in truth.values() for row in rows})
    }
    assert list(got["AP"]) == list(expected)
    for label, values in expected.items():
        np.testing.assert_allclose(list(got["AP"][label].values()), [*values, np.mean(values)], rtol=0, atol=1e-12)
    np.testing.assert_allclose(list(got["mAP"].values())[:-1], np.mean(list(expected.values()), axis=0), atol=1e-12)


@given(truths, founds.map(distinct), st.randoms(use_true_random=False))
def test_order_never_matters(truth: Truth, found: Found, random: Any) -> None:
    def shuffled(plain: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            video: random.sample(plain[video], len(plain[video])) for video in random.sample(list(plain), len(plain))
        }

    before = score_detections(truth_of(truth), found_of(found), per_class=True)
    assert score_detections(truth_of(shuffled(truth)), found_of(shuffled(found)), per_class=True) == before


@given(truths, founds)
def test_scores_are_fractions(truth: Truth, found: Found) -> None:
    got = score_detections(truth_of(truth), found_of(found), per_class=True)
    for values in (got["mAP"], *got["AP"].values()):
        assert all(0 <= value <= 1 for value in values.values())


@given(truths)
def test_perfect_detections_reach_one_but_for_instances_without_length(truth: Truth) -> None:
    whole = {video: [row for row in rows if row[0] < row[1]] for video, rows in truth.items()}
    perfect = {video: [(start, end, 0.5, label) for start, end, label in rows] for video, rows in whole.items()}
    if any(whole.values()):
        assert set(score_detections(truth_of(whole), found_of(perfect))["mAP"].values()) == {1.0}
    got = score_detections(truth_of(truth), found_of(perfect))
    without = sum(row[0] == row[1] for rows in truth.values() for row in rows)
    assert got["zero_length_ground_truth"]["count"] == without
    assert (got["mAP"]["mean"] == 1) == (without == 0)


@given(truths, founds)
def test_unknown_videos_and_classes_are_counted_and_nothing_else(truth: Truth, found: Found) -> None:
    before = score_detections(truth_of(truth), found_of(found))
    video = min(truth)
    more = found | {"stranger": [(0.0, 1.0, 9.0, "Running")], video: [(0.0, 1.0, 9.0, "Tango"), *found.get(video, [])]}
    after = score_detections(truth_of(truth), found_of(more))
    assert after.pop("n_unknown_videos") == before.pop("n_unknown_videos") + 1
    assert after.pop("unknown_labels") == before.pop("unknown_labels") | {"Tango": 1}
    assert {**after, "n_missing_videos": 0} == {**before, "n_missing_videos": 0}


# Cases by hand.

GOOD, BAD = (0.0, 10.0), (50.0, 60.0)


def average(truth: Truth, found: Found, threshold: str = "0.5") -> float:
    return score_detections(truth_of(truth), found_of(found))["mAP"][threshold]


def test_equal_scores_go_by_video_then_by_the_order_of_the_file() -> None:
    right, wrong = (*GOOD, 0.5, "Running"), (*BAD, 0.5, "Running")
    truth = {"a": [(*GOOD, "Running")]}
    assert average(truth, {"a": [right, wrong]}) == 1
    assert average(truth, {"a": [wrong, right]}) == 0.5
    for order in ("ab", "ba"):
        found = {"a": [wrong], "b": [right]}
        assert average({"b": truth["a"], "a": []}, {video: found[video] for video in order}) == 0.5
        found = {"a": [right], "b": [wrong]}
        assert average({"a": truth["a"], "b": []}, {video: found[video] for video in order}) == 1
    assert "video id" in score_detections(truth_of(truth), found_of({}))["ties"]


def test_neither_does_the_order_of_videos_in_the_file_matter_to_ties(tmp_path: Path) -> None:
    known = {video: [{"segment": [0, 10], "label": "Running"}] for video in "ab"}
    database = {video: {"subset": "validation", "annotations": rows} for video, rows in known.items()}
    (tmp_path / "g.json").write_text(json.dumps({"database": database}))
    rows = {"v_a": [{"segment": [50, 60], "score": 1, "label": "Running"}]}
    rows["v_b"] = [{"segment": [0, 10], "score": 1, "label": "Running"}]
    got = []
    for number, order in enumerate((("v_a", "v_b"), ("v_b", "v_a"))):
        path = tmp_path / f"{number}.json"
        results = {video: rows[video] for video in order}
        path.write_text(json.dumps({"results": results, "version": "", "external_data": {}}))
        truth = read_ground_truth(tmp_path / "g.json", "validation")
        got.append(score_detections(truth, read_localizations(path, True))["mAP"]["mean"])
    assert got == [0.25, 0.25]


def test_a_detection_falls_through_to_the_next_best_instance() -> None:
    truth = {"a": [(0.0, 10.0, "Running"), (1.0, 10.0, "Running")]}
    both = {"a": [(0.0, 10.0, 0.9, "Running"), (0.0, 10.0, 0.8, "Running")]}
    assert average(truth, both, "0.9") == 1
    assert average(truth, both, "0.95") == 0.5  # 9 / 10 is not enough for the second


def test_a_detection_takes_what_it_overlaps_most_and_leaves_the_rest() -> None:
    truth = {"a": [(0.0, 10.0, "Running"), (1.0, 11.0, "Running")]}
    # The first overlaps both instances enough, the second only the earlier one.
    found = {"a": [(1.0, 11.0, 0.9, "Running"), (-1.0, 9.5, 0.8, "Running")]}
    assert average(truth, found, "0.8") == 1


def test_an_instance_is_found_once() -> None:
    truth = {"a": [(*GOOD, "Running")], "b": [(*GOOD, "Running")]}
    twice = {"a": [(*GOOD, 0.9, "Running"), (*GOOD, 0.8, "Running")], "b": [(*GOOD, 0.7, "Running")]}
    # True, false, true: precision 1, 1/2, 2/3.
    assert average(truth, twice) == pytest.approx((1 + 2 / 3) / 2)


def test_precision_is_the_best_from_a_rank_on() -> None:
    truth = {"a": [(*GOOD, "Running"), (20.0, 30.0, "Running")]}
    found = {"a": [(*BAD, 0.9, "Running"), (*GOOD, 0.8, "Running"), (20.0, 30.0, 0.7, "Running")]}
    assert average(truth, found) == pytest.approx(2 / 3)


def test_classes_do_not_meet_and_count_alike() -> None:
    truth = {"a": [(*GOOD, "Running"), (*GOOD, "Running"), (*BAD, "Swimming")]}
    found = {"a": [(*GOOD, 0.9, "Running"), (*GOOD, 0.8, "Running"), (*BAD, 0.7, "Running")]}
    got = score_detections(truth_of(truth), found_of(found), per_class=True)
    assert got["AP"]["Running"]["mean"] == 1
    assert got["AP"]["Swimming"]["mean"] == 0
    assert got["mAP"]["mean"] == 0.5


def test_a_detection_in_a_video_without_instances_is_false() -> None:
    truth: Truth = {"a": [(*GOOD, "Running")], "b": []}
    assert average(truth, {"a": [(*GOOD, 0.5, "Running")], "b": [(*GOOD, 0.9, "Running")]}) == 0.5


def test_an_instance_without_length_is_never_found_but_counts() -> None:
    point = (4.1, 4.1, "Running")
    assert average({"a": [point]}, {"a": [(50.0, 50.0, 1.0, "Running"), (4.1, 4.1, 0.9, "Running")]}) == 0
    assert average({"a": [point, (*GOOD, "Running")]}, {"a": [(*GOOD, 1.0, "Running")]}) == 0.5


def test_no_detections_score_zero() -> None:
    got = score_detections(truth_of({"a": [(*GOOD, "Running")]}), found_of({}))
    assert set(got["mAP"].values()) == {0.0}
    assert (got["n_detections"], got["n_missing_videos"]) == (0, 1)
    assert "AP" not in got


def test_unknown_classes_are_named_up_to_three(caplog: pytest.LogCaptureFixture) -> None:
    strange = [(*GOOD, 0.5, f"Dance {number}") for number in (3, 1, 0, 2, 1)]
    with caplog.at_level(logging.WARNING):
        got = score_detections(truth_of({"a": [(*GOOD, "Running")]}), found_of({"a": strange}))
    assert got["unknown_labels"] == {"Dance 0": 1, "Dance 1": 2, "Dance 2": 1, "Dance 3": 1}
    assert "detections of 4 classes" in caplog.text
    assert "Dance 0, Dance 1, Dance 2, ..." in caplog.text


def test_the_table_is_in_percent() -> None:
    truth, found = {"a": [(*GOOD, "Running"), (*BAD, "Swimming")]}, {"a": [(*GOOD, 0.5, "Running")]}
    lines = table(score_detections(truth_of(truth), found_of(found))).splitlines()
    assert lines[1].split() == ["mAP", *["50.00"] * (len(NAMES) + 1)]
    lines = table(score_detections(truth_of(truth), found_of(found), per_class=True)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["mAP", "Running", "Swimming"]
    assert lines[2].split()[-1] == "100.00"
