"""Average recall: the official numbers, and the properties of the definition."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.evaluation.proposals import RecallCurve, compute_recall_curve, format_proposals, score_proposals
from pipeline.evaluation.segments import (
    TIOU_NAMES,
    TIOUS,
    GroundTruth,
    ScoredSegments,
    match_videos,
    read_ground_truth,
    read_scored_segments,
)

GOLDEN = ["uniform100_mini@100", "ragged_unique_mini@100", "ragged_unique_mini@10", "ragged_unique_mini@None"]

Segment = tuple[float, float]
Truth = dict[str, list[Segment]]
Predicted = dict[str, list[tuple[float, float, float]]]


def truth_of(plain: Truth) -> GroundTruth:
    videos = tuple(sorted(plain))
    rows = [(index, *segment) for index, video in enumerate(videos) for segment in plain[video]]
    table = np.array(rows, np.float64)
    number = table[:, 0].astype(np.int64)
    return GroundTruth(videos, ("Running",), number, table[:, 1:], np.zeros(len(rows), np.int64))


def segments_of(plain: Predicted) -> ScoredSegments:
    """Build scored segments from (start, end, score)."""
    videos = tuple(sorted(plain))
    rows = [(index, *segment) for index, video in enumerate(videos) for segment in plain[video]]
    table = np.array(rows, np.float64).reshape(-1, 4)
    number = table[:, 0].astype(np.int64)
    return ScoredSegments(videos, (), number, table[:, 1:3], table[:, 3], np.zeros(len(rows), np.int64))


def curve_of(truth: GroundTruth, predicted: ScoredSegments, average: float) -> RecallCurve:
    """Compute the curve of proposals whose videos are all known."""
    video, _ = match_videos(truth, predicted)
    ranked = np.lexsort((-predicted.scores, video))
    return compute_recall_curve(truth, video[ranked], predicted.times[ranked], average)


def reference_implementation(truth: Truth, predicted: Predicted, average: float) -> np.ndarray:
    """Compute recall at each threshold and point in the words of the definition."""
    videos = [video for video in truth if truth[video]]
    ranked = {video: sorted(predicted.get(video, []), key=lambda row: -row[2]) for video in videos}
    total = sum(map(len, ranked.values()))
    ratio = average * len(videos) / max(1, total)
    best = {video: rows[: int(len(rows) * ratio)] for video, rows in ranked.items()}
    left = sum(map(len, best.values()))

    def tiou(one: Segment, other: Segment) -> float:
        shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
        union = (one[1] - one[0]) + (other[1] - other[0]) - shared
        return shared / union if union else 0.0

    recall = np.zeros((len(TIOUS), 100))
    for at, threshold in enumerate(TIOUS):
        for point in range(1, 101):
            share = point / 100 * (average * len(videos) / max(1, left))
            hits = [
                any(tiou(row[:2], instance) >= threshold for row in best[video][: int(len(best[video]) * share)])
                for video in videos
                for instance in truth[video]
            ]
            recall[at, point - 1] = sum(hits) / len(hits)
    return recall


@pytest.mark.parametrize("name", GOLDEN)
def test_score_proposals_gives_the_official_numbers(name: str, shared: Path) -> None:
    folder = shared / "golden/localization"
    golden = json.loads((folder / "activitynet_evaluators.json").read_text())[name]
    truth = read_ground_truth(folder / golden["gt"], "validation")
    predicted = read_scored_segments(folder / golden["pred"], False)
    got = score_proposals(truth, predicted, golden["max_avg_nr_proposals"])
    assert (got["n_instances"], got["n_proposals"]) == (golden["n_gt"], golden["n_pred"])
    np.testing.assert_allclose([100 * got["AUC"], got["area"]], [golden["auc_pct"], golden["auc_raw"]], 0, 1e-12)
    # The golden file has single points of the curve; the 100th is at the largest average number.
    curve = curve_of(truth, predicted, got["max_avg_nr_proposals"])
    np.testing.assert_allclose(curve.proposals[[0, -1]], [golden["ppv_first"], golden["ppv_last"]], 0, 1e-12)
    points = [int(point) - 1 for point in golden["AR"]]
    np.testing.assert_allclose(curve.recall.mean(axis=0)[points], list(golden["AR"].values()), 0, 1e-12)
    np.testing.assert_allclose(curve.recall[:, 99], golden["recall_at_100_by_tiou"], 0, 1e-12)
    np.testing.assert_allclose(curve.recall[:, 9], golden["recall_at_10_by_tiou"], 0, 1e-12)
    if golden["max_avg_nr_proposals"] == 100:
        for number in ("1", "5", "10", "100"):
            assert got["AR"][number] == pytest.approx(golden["AR"][number], abs=1e-12)
        for number in ("10", "100"):
            expected = golden[f"recall_at_{number}_by_tiou"]
            np.testing.assert_allclose(list(got["recall"][number].values()), expected, 0, 1e-12)


def test_perfect_proposals_of_activitynet_miss_its_three_zero_length_instances(shared: Path) -> None:
    truth = read_ground_truth(shared / "golden/localization/inputs/anet13_val_gt.json", "validation")
    scores = np.zeros(len(truth.video))
    perfect = ScoredSegments(truth.videos, truth.labels, truth.video, truth.times, scores, truth.label)
    got = score_proposals(truth, perfect)
    assert got["AR"]["100"] == pytest.approx(7651 / 7654, abs=1e-15)
    assert got["zero_length_ground_truth"]["count"] == 3


quarters = st.integers(0, 24).map(lambda number: number / 4)
segments = st.tuples(quarters, quarters).map(lambda pair: (min(pair), max(pair)))
ids = st.sampled_from("abcd")
truths = st.dictionaries(ids, st.lists(segments, max_size=4), min_size=1).filter(lambda plain: any(plain.values()))
# Scores of one video are distinct, as numbers of a shuffled list are.
predictions = st.dictionaries(ids, st.lists(segments, max_size=12)).map(
    lambda plain: {name: [(*row, 7 * i % 13 / 13) for i, row in enumerate(rows)] for name, rows in plain.items()}
)
limits = st.sampled_from([100.0, 10.0, 2.0, 0.7, None])


@given(truths, predictions, st.sampled_from([100.0, 10.0, 2.0, 0.7, 0.01]))
def test_compute_recall_curve_equals_the_definition(truth: Truth, predicted: Predicted, average: float) -> None:
    predicted = {video: rows for video, rows in predicted.items() if truth.get(video)}
    got = curve_of(truth_of(truth), segments_of(predicted), average)
    np.testing.assert_allclose(got.recall, reference_implementation(truth, predicted, average), 0, 1e-12)


@given(truths, predictions, limits, st.randoms(use_true_random=False))
def test_score_proposals_ignores_the_order_of_the_file(
    truth: Truth, predicted: Predicted, limit: float | None, random: Any
) -> None:
    def shuffled(plain: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            video: random.sample(plain[video], len(plain[video])) for video in random.sample(list(plain), len(plain))
        }

    before = score_proposals(truth_of(truth), segments_of(predicted), limit)
    assert score_proposals(truth_of(shuffled(truth)), segments_of(shuffled(predicted)), limit) == before


@given(truths, predictions, limits)
def test_recall_rises_with_proposals_and_falls_with_the_threshold(
    truth: Truth, predicted: Predicted, limit: float | None
) -> None:
    got = score_proposals(truth_of(truth), segments_of(predicted), limit)
    assert 0 <= got["AUC"] <= 0.99 + 1e-12
    recall = np.array([list(values.values()) for values in got["recall"].values()]).reshape(-1, len(TIOUS))
    assert ((recall >= 0) & (recall <= 1)).all()
    assert (np.diff(recall, axis=0) >= -1e-12).all()
    assert (np.diff(recall, axis=1) <= 1e-12).all()
    np.testing.assert_allclose(list(got["AR"].values()), recall.mean(axis=1), 0, 1e-12)


@given(truths.map(lambda plain: {name: [row for row in rows if row[0] < row[1]] for name, rows in plain.items()}))
def test_perfect_proposals_score_1(truth: Truth) -> None:
    if not any(truth.values()):
        return
    got = score_proposals(truth_of(truth), segments_of({name: [(*row, 0.5) for row in truth[name]] for name in truth}))
    assert got["AR"]["5"] == got["AR"]["100"] == 1
    assert 0.9 < got["AUC"] <= 0.99 + 1e-12


@given(truths, predictions, limits)
def test_score_proposals_ignores_unknown_videos_and_videos_without_instances(
    truth: Truth, predicted: Predicted, limit: float | None
) -> None:
    before = score_proposals(truth_of(truth), segments_of(predicted), limit)
    unknown = {f"unknown {number}": [(0.0, 1.0, 1.0)] * 5 for number in range(3)}
    after = score_proposals(truth_of(truth), segments_of(predicted | unknown), limit)
    assert after.pop("n_unknown_videos") == before.pop("n_unknown_videos") + 3
    assert after == before
    without_instances = score_proposals(
        truth_of(truth | {video: [] for video in unknown}), segments_of(predicted | unknown), limit
    )
    del without_instances["n_unknown_videos"]
    assert {**without_instances, "n_videos": before["n_videos"]} == before


@given(truths, predictions, limits)
def test_an_empty_list_scores_like_a_missing_video_but_is_not_missing(
    truth: Truth, predicted: Predicted, limit: float | None
) -> None:
    absent = {video: rows for video, rows in predicted.items() if rows}
    empty: Predicted = {video: [] for video in truth}
    before = score_proposals(truth_of(truth), segments_of(absent), limit)
    after = score_proposals(truth_of(truth), segments_of(empty | absent), limit)
    assert after.pop("n_missing_videos") == 0
    assert before.pop("n_missing_videos") == sum(bool(truth[video]) and video not in absent for video in truth)
    assert {**after, "n_unknown_videos": 0} == {**before, "n_unknown_videos": 0}


# Cases by hand.

GOOD, BAD = (0.0, 10.0), (50.0, 60.0)


def test_tie_rule_of_proposals_is_the_order_of_the_file() -> None:
    truth = truth_of({"a": [GOOD]})
    good_first, bad_first = (
        score_proposals(truth, segments_of({"a": [(*row, 0.5) for row in rows]}), 1.0)
        for rows in ((GOOD, BAD), (BAD, GOOD))
    )
    assert good_first["AR"] == {"1": 1.0}
    assert bad_first["AR"] == {"1": 0.0}
    assert "order of the file" in good_first["ties"]


def test_the_29th_point_counts_28_of_100_proposals() -> None:
    rows = [(*(GOOD if rank == 28 else BAD), -rank) for rank in range(100)]
    curve = curve_of(truth_of({"a": [GOOD]}), segments_of({"a": rows}), 100.0)
    assert curve.proposals[28] == pytest.approx(29)
    assert not curve.recall[:, :29].any()
    assert curve.recall[:, 29:].all()


def test_videos_with_more_proposals_keep_more() -> None:
    # With one per video half of each video's are kept, rounded down: the first of a, which is bad, and none of b.
    truth = truth_of({"a": [GOOD], "b": [GOOD]})
    predicted = segments_of({"a": [(*BAD, 3.0), (*GOOD, 2.0), (*BAD, 1.0)], "b": [(*GOOD, 9.0)]})
    curve = curve_of(truth, predicted, 1.0)
    assert curve.recall[:, -1].tolist() == [0.0] * len(TIOUS)
    assert curve_of(truth, predicted, 1.5).recall[:, -1].tolist() == [0.5] * len(TIOUS)
    assert curve_of(truth, predicted, 2.0).recall[:, -1].tolist() == [1.0] * len(TIOUS)


def test_many_proposals_may_recall_one_instance_and_one_many() -> None:
    got = score_proposals(truth_of({"a": [GOOD, (0.0, 9.0)]}), segments_of({"a": [(*GOOD, 1.0), (*GOOD, 0.5)]}))
    assert got["recall"]["1"]["0.9"] == 1  # 9 / 10
    assert got["recall"]["1"]["0.95"] == 0.5


def test_recall_curve_interpolates_linearly_between_points() -> None:
    curve = RecallCurve(np.array([2.0, 4.0]), np.tile([0.5, 1.0], (len(TIOUS), 1)), np.array([[0.5, 1.0], [0.0, 0.5]]))
    assert curve.at(1) == pytest.approx(0.25)
    assert curve.at(3) == pytest.approx(0.75)
    assert curve.videos_at(3) == pytest.approx([0.75, 0.25])
    assert curve.videos_at(5) is None
    assert curve.at(4) == pytest.approx(1.0)
    assert curve.at(5) is None
    assert curve.area == pytest.approx(1.5)


def test_numbers_beyond_the_last_point_are_left_out() -> None:
    got = score_proposals(truth_of({"a": [GOOD]}), segments_of({"a": [(*GOOD, 1.0)]}), 7.5)
    assert list(got["AR"]) == list(got["recall"]) == ["1", "5"]


@pytest.mark.parametrize("limit", [100.0, None])
def test_no_proposals_score_0(limit: float | None) -> None:
    got = score_proposals(truth_of({"a": [GOOD]}), segments_of({}), limit)
    assert got["AUC"] == got["area"] == got["n_proposals"] == 0
    assert not any(got["AR"].values())


def test_a_zero_length_instance_is_never_recalled_but_counts() -> None:
    got = score_proposals(truth_of({"a": [(4.0, 4.0), GOOD]}), segments_of({"a": [(4.0, 4.0, 1.0), (*GOOD, 0.5)]}))
    assert got["AR"]["100"] == 0.5
    assert got["zero_length_ground_truth"]["count"] == 1


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_score_proposals_refuses_a_max_avg_nr_proposals_that_is_not_positive(limit: float) -> None:
    with pytest.raises(PipelineError, match=r"max_avg_nr_proposals .* is not a positive number"):
        score_proposals(truth_of({"a": [GOOD]}), segments_of({}), limit)


def test_format_proposals_is_in_percent() -> None:
    got = score_proposals(truth_of({"a": [GOOD], "b": [GOOD]}), segments_of({"a": [(*GOOD, 1.0)]}))
    lines = {line.split()[0]: line.split()[1:] for line in format_proposals(got).splitlines()}
    assert list(lines) == ["x", "AR@1", "AR@5", "AR@10", "AR@100", "AUC"]
    assert lines["AR@10"] == ["50.00"] * (len(TIOU_NAMES) + 1)
    assert lines["AUC"] == [f"{100 * got['AUC']:.2f}"]


@given(truths, predictions, limits)
def test_per_video_recall_averages_to_the_score(truth: Truth, predicted: Predicted, limit: float | None) -> None:
    got = score_proposals(truth_of(truth), segments_of(predicted), limit)
    table = got["per_video"]
    assert table["video"] == sorted(video for video in truth if truth[video])
    assert sum(table["n_proposals"]) == got["n_proposals"]
    for number, recall in got["AR"].items():
        assert np.average(table[f"AR@{number}"], weights=table["n_instances"]) == pytest.approx(recall, abs=1e-12)
