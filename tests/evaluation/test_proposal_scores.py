"""Average recall gives the official evaluator's numbers, and has the properties that its definition promises."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.evaluation.localization import (
    NAMES,
    TIOUS,
    GroundTruth,
    Localizations,
    known_videos,
    read_ground_truth,
    read_localizations,
)
from pipeline.evaluation.proposals import Curve, recall_curve, score_proposals, table

GOLDEN = ["uniform100_mini@100", "ragged_unique_mini@100", "ragged_unique_mini@10", "ragged_unique_mini@None"]

Segment = tuple[float, float]
Truth = dict[str, list[Segment]]
Found = dict[str, list[tuple[float, float, float]]]


def truth_of(plain: Truth) -> GroundTruth:
    videos = tuple(sorted(plain))
    rows = [(index, *segment) for index, video in enumerate(videos) for segment in plain[video]]
    table = np.array(rows, np.float64)
    number = table[:, 0].astype(np.int64)
    return GroundTruth(videos, ("Running",), number, table[:, 1:], np.zeros(len(rows), np.int64))


def found_of(plain: Found) -> Localizations:
    """From (start, end, score)."""
    videos = tuple(sorted(plain))
    rows = [(index, *segment) for index, video in enumerate(videos) for segment in plain[video]]
    table = np.array(rows, np.float64).reshape(-1, 4)
    number = table[:, 0].astype(np.int64)
    return Localizations(videos, (), number, table[:, 1:3], table[:, 3], np.zeros(len(rows), np.int64))


def curve_of(truth: GroundTruth, found: Localizations, average: float) -> Curve:
    """The curve of proposals whose videos are all known."""
    video, _ = known_videos(truth, found)
    ranked = np.lexsort((-found.scores, video))
    return recall_curve(truth, video[ranked], found.times[ranked], average)


def by_definition(truth: Truth, found: Found, average: float) -> np.ndarray:
    """Recall at each threshold and point, as the definition reads."""
    videos = [video for video in truth if truth[video]]
    ranked = {video: sorted(found.get(video, []), key=lambda row: -row[2]) for video in videos}
    total = sum(map(len, ranked.values()))
    ratio = average * len(videos) / max(1, total)
    kept = {video: rows[: int(len(rows) * ratio)] for video, rows in ranked.items()}
    left = sum(map(len, kept.values()))

    def tiou(one: Segment, other: Segment) -> float:
        shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
        union = (one[1] - one[0]) + (other[1] - other[0]) - shared
        return shared / union if union else 0.0

    recall = np.zeros((len(TIOUS), 100))
    for at, threshold in enumerate(TIOUS):
        for point in range(1, 101):
            share = point / 100 * (average * len(videos) / max(1, left))
            hits = [
                any(tiou(row[:2], instance) >= threshold for row in kept[video][: int(len(kept[video]) * share)])
                for video in videos
                for instance in truth[video]
            ]
            recall[at, point - 1] = sum(hits) / len(hits)
    return recall


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str, shared: Path) -> None:
    folder = shared / "golden/localization"
    golden = json.loads((folder / "activitynet_evaluators.json").read_text())[name]
    truth = read_ground_truth(folder / golden["gt"], "validation")
    found = read_localizations(folder / golden["pred"], False)
    got = score_proposals(truth, found, golden["max_avg_nr_proposals"])
    assert (got["n_instances"], got["n_proposals"]) == (golden["n_gt"], golden["n_pred"])
    np.testing.assert_allclose([100 * got["AUC"], got["area"]], [golden["auc_pct"], golden["auc_raw"]], 0, 1e-12)
    # The golden curve is told by its points, of which the 100th lies at the largest average number.
    curve = curve_of(truth, found, got["max_avg_nr_proposals"])
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


def test_perfect_proposals_of_activitynet_miss_its_three_instances_without_length(shared: Path) -> None:
    truth = read_ground_truth(shared / "golden/localization/inputs/anet13_val_gt.json", "validation")
    scores = np.zeros(len(truth.video))
    perfect = Localizations(truth.videos, truth.labels, truth.video, truth.times, scores, truth.label)
    got = score_proposals(truth, perfect)
    assert got["AR"]["100"] == pytest.approx(7651 / 7654, abs=1e-15)
    assert got["zero_length_ground_truth"]["count"] == 3


quarters = st.integers(0, 24).map(lambda number: number / 4)
segments = st.tuples(quarters, quarters).map(lambda pair: (min(pair), max(pair)))
ids = st.sampled_from("abcd")
truths = st.dictionaries(ids, st.lists(segments, max_size=4), min_size=1).filter(lambda plain: any(plain.values()))
# Scores of one video are distinct, as numbers of a shuffled list are.
founds = st.dictionaries(ids, st.lists(segments, max_size=12)).map(
    lambda plain: {name: [(*row, 7 * i % 13 / 13) for i, row in enumerate(rows)] for name, rows in plain.items()}
)
limits = st.sampled_from([100.0, 10.0, 2.0, 0.7, None])


@given(truths, founds, st.sampled_from([100.0, 10.0, 2.0, 0.7, 0.01]))
def test_the_curve_is_what_the_definition_says(truth: Truth, found: Found, average: float) -> None:
    found = {video: rows for video, rows in found.items() if truth.get(video)}
    got = curve_of(truth_of(truth), found_of(found), average)
    np.testing.assert_allclose(got.recall, by_definition(truth, found, average), 0, 1e-12)


@given(truths, founds, limits, st.randoms(use_true_random=False))
def test_order_never_matters(truth: Truth, found: Found, limit: float | None, random: Any) -> None:
    def shuffled(plain: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            video: random.sample(plain[video], len(plain[video])) for video in random.sample(list(plain), len(plain))
        }

    before = score_proposals(truth_of(truth), found_of(found), limit)
    assert score_proposals(truth_of(shuffled(truth)), found_of(shuffled(found)), limit) == before


@given(truths, founds, limits)
def test_scores_are_fractions_that_rise_with_proposals_and_fall_with_the_threshold(
    truth: Truth, found: Found, limit: float | None
) -> None:
    got = score_proposals(truth_of(truth), found_of(found), limit)
    assert 0 <= got["AUC"] <= 0.99 + 1e-12
    recall = np.array([list(values.values()) for values in got["recall"].values()]).reshape(-1, len(TIOUS))
    assert ((recall >= 0) & (recall <= 1)).all()
    assert (np.diff(recall, axis=0) >= -1e-12).all()
    assert (np.diff(recall, axis=1) <= 1e-12).all()
    np.testing.assert_allclose(list(got["AR"].values()), recall.mean(axis=1), 0, 1e-12)


@given(truths.map(lambda plain: {name: [row for row in rows if row[0] < row[1]] for name, rows in plain.items()}))
def test_perfect_proposals_reach_one(truth: Truth) -> None:
    if not any(truth.values()):
        return
    got = score_proposals(truth_of(truth), found_of({name: [(*row, 0.5) for row in truth[name]] for name in truth}))
    assert got["AR"]["5"] == got["AR"]["100"] == 1
    assert 0.9 < got["AUC"] <= 0.99 + 1e-12


@given(truths, founds, limits)
def test_what_cannot_be_recalled_has_no_part(truth: Truth, found: Found, limit: float | None) -> None:
    before = score_proposals(truth_of(truth), found_of(found), limit)
    strangers = {f"stranger {number}": [(0.0, 1.0, 1.0)] * 5 for number in range(3)}
    after = score_proposals(truth_of(truth), found_of(found | strangers), limit)
    assert after.pop("n_unknown_videos") == before.pop("n_unknown_videos") + 3
    assert after == before
    quiet = score_proposals(truth_of(truth | {video: [] for video in strangers}), found_of(found | strangers), limit)
    del quiet["n_unknown_videos"]
    assert {**quiet, "n_videos": before["n_videos"]} == before


@given(truths, founds, limits)
def test_an_empty_list_scores_as_a_missing_video_but_is_not_missing(
    truth: Truth, found: Found, limit: float | None
) -> None:
    absent = {video: rows for video, rows in found.items() if rows}
    empty: Found = {video: [] for video in truth}
    before = score_proposals(truth_of(truth), found_of(absent), limit)
    after = score_proposals(truth_of(truth), found_of(empty | absent), limit)
    assert after.pop("n_missing_videos") == 0
    assert before.pop("n_missing_videos") == sum(bool(truth[video]) and video not in absent for video in truth)
    assert {**after, "n_unknown_videos": 0} == {**before, "n_unknown_videos": 0}


# Cases by hand.

GOOD, BAD = (0.0, 10.0), (50.0, 60.0)


def test_equal_scores_keep_the_order_of_the_file() -> None:
    truth = truth_of({"a": [GOOD]})
    good_first, bad_first = (
        score_proposals(truth, found_of({"a": [(*row, 0.5) for row in rows]}), 1.0)
        for rows in ((GOOD, BAD), (BAD, GOOD))
    )
    assert good_first["AR"] == {"1": 1.0}
    assert bad_first["AR"] == {"1": 0.0}
    assert "order of the file" in good_first["ties"]


def test_the_29th_point_takes_28_of_100() -> None:
    rows = [(*(GOOD if rank == 28 else BAD), -rank) for rank in range(100)]
    curve = curve_of(truth_of({"a": [GOOD]}), found_of({"a": rows}), 100.0)
    assert curve.proposals[28] == pytest.approx(29)
    assert not curve.recall[:, :29].any()
    assert curve.recall[:, 29:].all()


def test_videos_with_more_proposals_keep_more() -> None:
    # With one per video half of each video's are kept, rounded down: the first of a, which is bad, and none of b.
    truth = truth_of({"a": [GOOD], "b": [GOOD]})
    found = found_of({"a": [(*BAD, 3.0), (*GOOD, 2.0), (*BAD, 1.0)], "b": [(*GOOD, 9.0)]})
    curve = curve_of(truth, found, 1.0)
    assert curve.recall[:, -1].tolist() == [0.0] * len(TIOUS)
    assert curve_of(truth, found, 1.5).recall[:, -1].tolist() == [0.5] * len(TIOUS)
    assert curve_of(truth, found, 2.0).recall[:, -1].tolist() == [1.0] * len(TIOUS)


def test_many_proposals_may_recall_one_instance_and_one_many() -> None:
    got = score_proposals(truth_of({"a": [GOOD, (0.0, 9.0)]}), found_of({"a": [(*GOOD, 1.0), (*GOOD, 0.5)]}))
    assert got["recall"]["1"]["0.9"] == 1  # 9 / 10
    assert got["recall"]["1"]["0.95"] == 0.5


def test_between_points_recall_lies_on_straight_lines() -> None:
    curve = Curve(np.array([2.0, 4.0]), np.tile([0.5, 1.0], (len(TIOUS), 1)))
    assert curve.at(1) == pytest.approx(0.25)
    assert curve.at(3) == pytest.approx(0.75)
    assert curve.at(4) == pytest.approx(1.0)
    assert curve.at(5) is None
    assert curve.area == pytest.approx(1.5)


def test_numbers_beyond_the_largest_average_are_left_out() -> None:
    got = score_proposals(truth_of({"a": [GOOD]}), found_of({"a": [(*GOOD, 1.0)]}), 7.5)
    assert list(got["AR"]) == list(got["recall"]) == ["1", "5"]


@pytest.mark.parametrize("limit", [100.0, None])
def test_no_proposals_recall_nothing(limit: float | None) -> None:
    got = score_proposals(truth_of({"a": [GOOD]}), found_of({}), limit)
    assert got["AUC"] == got["area"] == got["n_proposals"] == 0
    assert not any(got["AR"].values())


def test_an_instance_without_length_is_never_recalled_but_counts() -> None:
    got = score_proposals(truth_of({"a": [(4.0, 4.0), GOOD]}), found_of({"a": [(4.0, 4.0, 1.0), (*GOOD, 0.5)]}))
    assert got["AR"]["100"] == 0.5
    assert got["zero_length_ground_truth"]["count"] == 1


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_a_senseless_average_number_is_refused(limit: float) -> None:
    with pytest.raises(PipelineError, match=r"max_avg_nr_proposals .* is not a positive number"):
        score_proposals(truth_of({"a": [GOOD]}), found_of({}), limit)


def test_the_table_is_in_percent() -> None:
    got = score_proposals(truth_of({"a": [GOOD], "b": [GOOD]}), found_of({"a": [(*GOOD, 1.0)]}))
    lines = {line.split()[0]: line.split()[1:] for line in table(got).splitlines()}
    assert list(lines) == ["x", "AR@1", "AR@5", "AR@10", "AR@100", "AUC"]
    assert lines["AR@10"] == ["50.00"] * (len(NAMES) + 1)
    assert lines["AUC"] == [f"{100 * got['AUC']:.2f}"]
