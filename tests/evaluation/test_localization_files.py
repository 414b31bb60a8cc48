"""Ground truth and scored segments are read whole, whatever their order, or refused in plain words."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.evaluation.localization import (
    NAMES,
    GroundTruth,
    Localizations,
    known_videos,
    read_ground_truth,
    read_localizations,
    table,
    tiou,
)

RUN = {"segment": [0, 2.5], "label": "Running"}
SWIM = {"segment": [1.5, 4], "label": "Swimming"}
SURE = {"segment": [0, 2.5], "score": 0.9, "label": "Running"}
UNSURE = {"segment": [-1, 4], "score": -3, "label": "Archery"}


def entry(*annotations: Any, subset: Any = "validation") -> dict[str, Any]:
    return {"subset": subset, "duration": 10.0, "annotations": list(annotations)}


def truth_file(path: Path, database: Any) -> Path:
    path.write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": database}))
    return path


def results_file(path: Path, results: Any) -> Path:
    path.write_text(json.dumps({"version": "VERSION 1.3", "results": results, "external_data": {}}))
    return path


def same(one: GroundTruth | Localizations, other: GroundTruth | Localizations) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(mine, yours) for mine, yours in pairs)


def test_a_subset_is_read_by_video_then_in_the_order_of_the_file(tmp_path: Path) -> None:
    database = {
        "v_b": entry(SWIM, RUN),
        "a": entry(RUN),
        "c": entry(),
        "d": entry({"segment": "unread"}, subset="training"),
    }
    truth = read_ground_truth(truth_file(tmp_path / "g.json", database), "validation")
    assert truth.videos == ("a", "b", "c")
    assert truth.labels == ("Running", "Swimming")
    assert truth.video.tolist() == [0, 1, 1]
    assert truth.times.tolist() == [[0, 2.5], [1.5, 4], [0, 2.5]]
    assert truth.label.tolist() == [0, 1, 0]
    assert truth.counts.tolist() == [1, 2, 0]


def test_scored_segments_are_read_by_video_then_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = read_localizations(results_file(tmp_path / "p.json", {"v_b": [UNSURE, SURE], "a": [SURE], "c": []}), True)
    assert found.videos == ("a", "b", "c")
    assert found.labels == ("Archery", "Running")
    assert found.video.tolist() == [0, 1, 1]
    assert found.times.tolist() == [[0, 2.5], [-1, 4], [0, 2.5]]
    assert found.scores.tolist() == [0.9, -3, 0.9]
    assert found.label.tolist() == [1, 0, 1]


def test_labels_are_not_looked_at_where_none_are_asked_for(tmp_path: Path) -> None:
    rows = [{"segment": [0, 1], "score": 1}, {"segment": [0, 1], "score": 1, "label": 7}]
    found = read_localizations(results_file(tmp_path / "p.json", {"a": rows}), False)
    assert found.labels == ()
    assert found.label.tolist() == [0, 0]


def test_a_file_without_segments_is_read(tmp_path: Path) -> None:
    found = read_localizations(results_file(tmp_path / "p.json", {}), True)
    assert found.times.shape == (0, 2)
    assert found.videos == ()


@pytest.mark.parametrize("prefix", ["", "v_"])
def test_neither_the_order_of_videos_nor_their_prefix_matters(tmp_path: Path, prefix: str) -> None:
    results = {name: [SURE | {"score": number}] * number for number, name in enumerate("abcde")}
    database = {name: entry(*[RUN, SWIM][: number % 2 + 1]) for number, name in enumerate("abcde")}
    turned = {prefix + name: results[name] for name in "dbeca"}
    again = {prefix + name: database[name] for name in "ecabd"}
    one, other = (
        read_localizations(results_file(tmp_path / f"{number}.json", given), True)
        for number, given in enumerate((results, turned))
    )
    assert same(one, other)
    here, there = (
        read_ground_truth(truth_file(tmp_path / f"{number}g.json", given), "validation")
        for number, given in enumerate((database, again))
    )
    assert same(here, there)


def test_zero_length_instances_are_counted(tmp_path: Path) -> None:
    point = {"segment": [3, 3], "label": "Running"}
    path = truth_file(tmp_path / "g.json", {"a": entry(RUN, point), "b": entry(point), "c": entry(SWIM)})
    said = read_ground_truth(path, "validation").zero_length
    assert said["count"] == 2
    assert "overlaps nothing" in said["rule"]


def test_videos_of_only_one_side_are_counted_and_named_up_to_three(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    truth = read_ground_truth(truth_file(tmp_path / "g.json", {name: entry(RUN) for name in "abx"}), "validation")
    found = read_localizations(
        results_file(tmp_path / "p.json", {"v_b": [SURE], "x": [], **{name: [SURE] for name in "mnop"}}), True
    )
    with caplog.at_level(logging.WARNING):
        index, counts = known_videos(truth, found)
    assert index.tolist() == [1, -1, -1, -1, -1]
    assert counts == {"n_videos": 3, "n_instances": 3, "n_missing_videos": 1, "n_unknown_videos": 4}
    missing, unknown = caplog.messages
    assert missing.startswith("1 videos")
    assert missing.endswith(": a")
    assert "4 videos" in unknown
    assert unknown.endswith(": m, n, o, ...")


@pytest.mark.parametrize(
    ("database", "says"),
    [
        ([], "database is not an object of videos"),
        ({"v_a": [RUN]}, "video v_a: expected an object with subset"),
        ({"v_a": {"annotations": [RUN]}}, "video v_a: expected an object with subset"),
        ({"v_a": entry(RUN, subset=1)}, "video v_a: expected an object with subset"),
        ({"v_a": {"subset": "validation"}}, "video v_a: expected a list of annotations"),
        ({"v_a": entry(RUN, "run")}, "video v_a, annotation 1: 'run' is not an object with segment, label"),
        ({"v_a": entry({"segment": [0, 1]})}, "video v_a, annotation 0: label None is not the name"),
        ({"v_a": entry(RUN | {"label": 3})}, "label 3 is not the name"),
        ({"v_a": entry({"label": "Running"})}, r"segment None is not \[start, end\]"),
        ({"v_a": entry(RUN | {"segment": ["0.5", "1.5"]})}, r"segment \['0.5', '1.5'\] is not \[start, end\]"),
        ({"v_a": entry(RUN | {"segment": [2, 1]})}, r"segment \[2, 1\] ends before it starts"),
        ({"a": entry(RUN), "v_a": entry(RUN)}, "video a stands there as a and as v_a; remove one"),
        ({"v_a": entry(RUN, subset="training"), "a": entry(RUN)}, "video a stands there as v_a and as a; remove one"),
        ({"a": entry(subset="train"), "b": entry(subset="test")}, "no video of subset 'validation'; .*: test, train$"),
        ({}, "no video of subset 'validation'; the file has: none"),
        ({"v_a": entry()}, "subset 'validation' has no annotations"),
    ],
)
def test_bad_ground_truth_is_named_by_file_video_and_place(tmp_path: Path, database: Any, says: str) -> None:
    with pytest.raises(PipelineError, match=rf"bad\.json: .*{says}"):
        read_ground_truth(truth_file(tmp_path / "bad.json", database), "validation")


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ([SURE], "results is not an object of videos"),
        ({"v_a": SURE}, "video v_a: expected a list of segments"),
        ({"v_a": [SURE, [0, 1]]}, r"video v_a, segment 1: \[0, 1\] is not an object with segment, score, label"),
        ({"v_a": [{"score": 1, "label": "Running"}]}, "segment None is not"),
        ({"v_a": [SURE | {"segment": [0]}]}, r"segment \[0\] is not \[start, end\]"),
        ({"v_a": [SURE | {"segment": {"start": 0}}]}, "is not .start, end."),
        ({"v_a": [SURE | {"segment": ["0", "1"]}]}, "is not .start, end."),
        ({"v_a": [SURE | {"segment": [False, True]}]}, "is not .start, end."),
        ({"v_a": [SURE | {"segment": [0, float("nan")]}]}, "is not .start, end."),
        ({"v_a": [SURE | {"segment": [0, float("inf")]}]}, "is not .start, end."),
        ({"v_a": [SURE | {"segment": [0, 10**400]}]}, "is not .start, end."),
        ({"v_a": [SURE | {"segment": [2, 1]}]}, r"segment \[2, 1\] ends before it starts"),
        ({"v_a": [{"segment": [0, 1], "label": "Running"}]}, "score None is not a finite number"),
        ({"v_a": [SURE | {"score": "0.9"}]}, "score '0.9' is not a finite number"),
        ({"v_a": [SURE | {"score": True}]}, "score True is not a finite number"),
        ({"v_a": [SURE | {"score": float("nan")}]}, "score nan is not a finite number"),
        ({"v_a": [SURE | {"score": float("-inf")}]}, "score -inf is not a finite number"),
        ({"v_a": [SURE, {"segment": [0, 1], "score": 1}]}, "video v_a, segment 1: label None is not the name"),
        ({"v_a": [SURE | {"label": ["Running"]}]}, "label .'Running'. is not the name"),
        ({"v_a": [], "a": []}, "video a stands there as v_a and as a; remove one"),
    ],
)
def test_bad_segments_are_named_by_file_video_and_place(tmp_path: Path, results: Any, says: str) -> None:
    with pytest.raises(PipelineError, match=rf"bad\.json: .*{says}"):
        read_localizations(results_file(tmp_path / "bad.json", results), True)


@pytest.mark.parametrize("key", ["version", "results", "external_data"])
def test_a_missing_key_of_predictions_is_named(tmp_path: Path, key: str) -> None:
    path = results_file(tmp_path / "bad.json", {})
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))
    with pytest.raises(PipelineError, match=rf"bad\.json: lacks the key '{key}'"):
        read_localizations(path, True)


@pytest.mark.parametrize("text", ["{}", "[]", "3"])
def test_ground_truth_needs_its_database(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(PipelineError, match=r"bad\.json: lacks the key 'database'"):
        read_ground_truth(path, "validation")


def test_a_video_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"version": "", "external_data": {}, "results": {"v_a": [], "v_a": []}}')
    with pytest.raises(PipelineError, match=r"bad\.json: key 'v_a' stands twice"):
        read_localizations(path, True)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"gone\.json: no such ground truth"):
        read_ground_truth(tmp_path / "gone.json", "validation")


def test_tiou_by_hand() -> None:
    one = np.array([[0.0, 10.0], [0.0, 10.0], [0.0, 10.0], [4.0, 4.0], [4.0, 4.0], [0.0, 10.0]])
    other = np.array([[5.0, 15.0], [10.0, 20.0], [2.0, 4.0], [4.0, 4.0], [0.0, 10.0], [0.0, 10.0]])
    np.testing.assert_allclose(tiou(one, other), [1 / 3, 0, 0.2, 0, 0, 1], rtol=1e-15)


seconds = st.floats(-1e300, 1e300)
segments = st.tuples(seconds, seconds).map(lambda pair: (min(pair), max(pair)))


@given(segments, segments)
def test_tiou_is_a_symmetric_fraction_and_one_for_the_same_segment(one: Any, other: Any) -> None:
    first, second = np.array([one]), np.array([other])
    assert 0 <= tiou(first, second)[0] <= 1
    assert tiou(first, second) == tiou(second, first)
    assert tiou(first, first)[0] == (one[0] < one[1])


def test_thresholds_are_named_as_they_are_written() -> None:
    assert NAMES == ("0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95")


def test_the_table_leaves_blank_what_there_is_not() -> None:
    head, row, long = table({"AUC": {"mean": 0.5}, "Washing of dishes": {"mean": 1}}).splitlines()
    assert head.split() == ["x", "100", *NAMES, "mean"]
    assert row.split() == ["AUC", "50.00"]
    assert len(long) == len(row) == len(head)
