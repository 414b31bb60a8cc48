"""Groups of instances and kinds of false positives: DETAD's numbers, and the rules by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from pipeline.evaluation.detection_analysis import (
    ERRORS,
    MatchedDetections,
    analyze_groups,
    average_precision_n,
    divide_into_groups,
    instance_values,
    match_to_truth,
    profile_false_positives,
)
from pipeline.evaluation.detections import average_precision
from pipeline.evaluation.segments import GroundTruth, ScoredSegments, read_ground_truth, read_scored_segments
from pipeline.io.atomic import read_json

BORDERS = {"length": [30.0, 60.0, 120.0, 180.0], "coverage": [0.2, 0.4, 0.6, 0.8], "num_instances": [1.0, 4.0, 8.0]}
TOLERANCE = 1e-12


class GoldenInput(NamedTuple):
    """Predictions matched with the instances of the classes that they have."""

    matched: MatchedDetections
    values: dict[str, np.ndarray]
    predictions: ScoredSegments
    true_coverage: np.ndarray
    expected: Any


def select(truth: GroundTruth, chosen: np.ndarray) -> GroundTruth:
    return replace(truth, video=truth.video[chosen], times=truth.times[chosen], label=truth.label[chosen])


def keep_labels(truth: GroundTruth, labels: tuple[str, ...]) -> tuple[GroundTruth, np.ndarray]:
    """Return the instances of some classes, and which these are."""
    numbers = {name: number for number, name in enumerate(name for name in truth.labels if name in labels)}
    new = np.array([numbers.get(name, -1) for name in truth.labels])[truth.label]
    chosen = select(replace(truth, labels=tuple(numbers), label=new), new >= 0)
    return chosen, np.flatnonzero(new >= 0)


@pytest.fixture(scope="module", params=["anet13_val_mini_gt.json", "anet13_val_gt.json"])
def golden(request: pytest.FixtureRequest) -> GoldenInput:
    shared: Path = request.getfixturevalue("shared")
    inputs = shared / "golden" / "localization" / "inputs"
    expected = read_json(shared / "golden" / "localization_networks" / "detad.json")[request.param]
    everything = read_ground_truth(inputs / request.param, "validation")
    predictions = read_scored_segments(inputs / "det_unique_mini.json", True)
    database = read_json(inputs / request.param)["database"]
    durations = np.array([database[video]["duration"] for video in everything.videos])
    truth, chosen = keep_labels(everything, predictions.labels)
    chosen = chosen[truth.times[:, 0] < truth.times[:, 1]]
    # The authors' numbers count the instances of a video before the classes are restricted.
    values = {name: array[chosen] for name, array in instance_values(everything, durations).items()}
    coverage = values["length"] / durations[everything.video[chosen]]
    return GoldenInput(match_to_truth(truth, predictions), values, predictions, coverage, expected)


def test_average_map_n_is_the_published_one(golden: GoldenInput) -> None:
    matched, expected = golden.matched, golden.expected
    assert len(matched.truth.video) == expected["instances_used"]
    assert matched.instances_per_class == pytest.approx(expected["average_num_instance_per_class"], abs=TOLERANCE)
    by_tiou = average_precision_n(matched)
    np.testing.assert_allclose(by_tiou, expected["mAP_N_by_tiou"], atol=TOLERANCE)
    assert by_tiou.mean() == pytest.approx(expected["average_mAP_N"], abs=TOLERANCE)


def test_plain_map_is_the_published_one(golden: GoldenInput) -> None:
    if "mAP_plain_by_tiou" not in golden.expected:
        pytest.skip("the golden file has it for one ground truth only")
    matched = golden.matched
    precision = average_precision(matched.truth, matched.label, matched.matches >= 0)
    np.testing.assert_allclose(precision.mean(0), golden.expected["mAP_plain_by_tiou"], atol=TOLERANCE)


@pytest.mark.parametrize("name", BORDERS)
def test_values_of_groups_are_the_published_ones(golden: GoldenInput, name: str) -> None:
    groups = analyze_groups(golden.matched, golden.values[name], BORDERS[name])
    expected = golden.expected["validation_setting_coverage_length_num"][name.replace("_", "-")]
    assert {group: values["average_mAP_N"] for group, values in groups.items()} == pytest.approx(
        expected, abs=TOLERANCE
    )
    if name == "length":
        assert {group: values["instances"] for group, values in groups.items()} == golden.expected["group_counts"]
        assert sum(values["share"] for values in groups.values()) == pytest.approx(1)


def test_values_without_the_instances_that_cover_too_much_are_the_published_ones(golden: GoldenInput) -> None:
    chosen = golden.true_coverage <= 1
    matched = match_to_truth(select(golden.matched.truth, chosen), golden.predictions)
    expected = golden.expected["same_without_capping_coverage"]
    assert len(matched.truth.video) == expected["instances_used"]
    groups = analyze_groups(matched, golden.values["length"][chosen], BORDERS["length"])
    values = {group: values["average_mAP_N"] for group, values in groups.items()}
    assert values == pytest.approx(expected["length"], abs=TOLERANCE)
    if expected["average_mAP_N"] is None:  # DETAD's average is NaN where a class lost all its instances
        assert 0 < average_precision_n(matched).mean() < 1
    else:
        assert average_precision_n(matched).mean() == pytest.approx(expected["average_mAP_N"], abs=TOLERANCE)


def test_false_positive_profile_is_the_published_one(golden: GoldenInput) -> None:
    expected, matched = golden.expected["false_positive_profile"], golden.matched
    chosen = matched.truth.counts[matched.video] > 0
    arrays = {name: getattr(matched, name)[chosen] for name in ("video", "label", "times")}
    profile = profile_false_positives(replace(matched, **arrays, matches=matched.matches[:, chosen]))
    assert profile["n_detections"] == expected["predictions_after_limit"]
    assert profile["average_mAP_N"] == pytest.approx(expected["average_mAP_N"], abs=TOLERANCE)
    assert list(profile["fractions"].values()) == pytest.approx(expected["fraction_by_error_all"], abs=TOLERANCE)
    assert list(profile["counts"]["0.5"].values()) == list(expected["count_by_tiou_0.5"].values())
    assert list(profile["gain"].values()) == pytest.approx(
        list(expected["average_mAP_N_gain_removing"].values()), abs=TOLERANCE
    )
    for part, of_rank in zip(profile["fractions_by_rank"], expected["fraction_by_kG_1_to_10"], strict=True):
        if of_rank is None:
            assert part is None
        else:
            assert list(part.values()) == pytest.approx(of_rank, abs=TOLERANCE)


def example(
    instances: list[tuple[str, float, float, str]], detections: list[tuple[str, float, float, str]], *more_videos: str
) -> MatchedDetections:
    """Match detections whose scores fall in the order of the list."""
    videos = sorted({video for video, *_ in instances} | set(more_videos))
    labels = sorted({label for *_, label in instances})
    instances = sorted(instances)
    truth = GroundTruth(
        tuple(videos),
        tuple(labels),
        np.array([videos.index(video) for video, *_ in instances]),
        np.array([row[1:3] for row in instances]),
        np.array([labels.index(label) for *_, label in instances]),
    )
    names = sorted({label for *_, label in detections})
    rows = sorted(((video, -number, *row) for number, (video, *row) in enumerate(detections)), key=lambda row: row[0])
    predicted = sorted({row[0] for row in rows})
    scored = ScoredSegments(
        tuple(predicted),
        tuple(names),
        np.array([predicted.index(row[0]) for row in rows]),
        np.array([row[2:4] for row in rows]),
        np.array([float(row[1]) for row in rows]),
        np.array([names.index(row[4]) for row in rows]),
    )
    return match_to_truth(truth, scored, np.array([0.5]))


def test_each_kind_of_false_positive() -> None:
    instances = [("a", 0.0, 10.0, "run"), ("a", 20.0, 30.0, "jump"), ("c", 0.0, 5.0, "run")]
    detections = [
        ("a", 0.0, 10.0, "run"),
        ("a", 0.0, 9.0, "run"),
        ("a", 20.0, 30.0, "run"),
        ("a", 0.0, 3.0, "run"),
        ("a", 20.0, 23.0, "run"),
        ("a", 12.0, 15.0, "run"),
        ("b", 0.0, 5.0, "run"),
        ("b", 0.0, 4.0, "jump"),
    ]
    profile = profile_false_positives(example(instances, detections, "b"))
    counts = dict(zip(ERRORS, [1, 1, 1, 1, 1, 3], strict=True))
    assert profile["counts"] == {"0.5": counts}
    assert sum(profile["fractions"].values()) == pytest.approx(1)
    assert all(gain >= 0 for gain in profile["gain"].values())


def test_the_profile_looks_at_ten_detections_for_each_instance() -> None:
    profile = profile_false_positives(example([("a", 0.0, 10.0, "run")], [("a", 0.0, 10.0, "run")] * 13))
    assert profile["n_detections"] == 10
    assert profile["fractions_by_rank"][0]["true_positive"] == 1
    assert [part["double_detection"] for part in profile["fractions_by_rank"][1:]] == [1] * 9


def test_a_class_without_detections_counts_0() -> None:
    matched = example([("a", 0.0, 10.0, "run"), ("a", 20.0, 30.0, "jump")], [("a", 0.0, 10.0, "run")])
    assert average_precision_n(matched).tolist() == [0.5]


def test_detections_of_other_groups_do_not_count_and_false_positives_stay() -> None:
    instances = [("a", 0.0, 10.0, "run"), ("b", 0.0, 50.0, "run")]
    detections = [("a", 0.0, 10.0, "run"), ("a", 70.0, 80.0, "run"), ("b", 0.0, 50.0, "run")]
    matched = example(instances, detections)
    values = instance_values(matched.truth, np.array([100.0, 50.0]))
    groups = analyze_groups(matched, values["length"], BORDERS["length"])
    # N is 2: the short one is found first; before the long one comes a false positive: 2 / (2 + 1).
    assert groups["XS"] == {"instances": 1, "share": 0.5, "average_mAP_N": 1.0}
    assert groups["S"]["average_mAP_N"] == pytest.approx(2 / 3)
    assert groups["M"] == {"instances": 0, "share": 0.0, "average_mAP_N": None}
    assert values["coverage"].tolist() == [0.1, 1.0]


def test_a_border_belongs_to_the_group_below_and_unknown_values_to_none() -> None:
    values = np.array([0.0, 30.0, 30.1, 180.0, 1e4, np.nan])
    assert divide_into_groups(values, BORDERS["length"]).tolist() == [0, 0, 1, 3, 4, -1]
