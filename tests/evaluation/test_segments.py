"""Reading ground truth and scored segments: the order of a file does not matter; malformed files are refused."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.segments import (
    TIOU_NAMES,
    GroundTruth,
    ScoredSegments,
    format_threshold_table,
    match_videos,
    read_ground_truth,
    read_scored_segments,
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


def is_equal(first: GroundTruth | ScoredSegments, second: GroundTruth | ScoredSegments) -> bool:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_read_ground_truth_orders_a_subset_by_video_then_by_the_file(tmp_path: Path) -> None:
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


def test_read_scored_segments_orders_by_video_then_by_the_file(tmp_path: Path) -> None:
    segments = read_scored_segments(
        results_file(tmp_path / "p.json", {"v_b": [UNSURE, SURE], "a": [SURE], "c": []}), True
    )
    assert segments.videos == ("a", "b", "c")
    assert segments.labels == ("Archery", "Running")
    assert segments.video.tolist() == [0, 1, 1]
    assert segments.times.tolist() == [[0, 2.5], [-1, 4], [0, 2.5]]
    assert segments.scores.tolist() == [0.9, -3, 0.9]
    assert segments.label.tolist() == [1, 0, 1]


def test_read_scored_segments_ignores_labels_unless_labelled(tmp_path: Path) -> None:
    rows = [{"segment": [0, 1], "score": 1}, {"segment": [0, 1], "score": 1, "label": 7}]
    segments = read_scored_segments(results_file(tmp_path / "p.json", {"a": rows}), False)
    assert segments.labels == ()
    assert segments.label.tolist() == [0, 0]


def test_read_scored_segments_accepts_a_file_without_segments(tmp_path: Path) -> None:
    segments = read_scored_segments(results_file(tmp_path / "p.json", {}), True)
    assert segments.times.shape == (0, 2)
    assert segments.videos == ()


@pytest.mark.parametrize("prefix", ["", "v_"])
def test_order_of_videos_and_prefix_do_not_matter(tmp_path: Path, prefix: str) -> None:
    results = {name: [SURE | {"score": number}] * number for number, name in enumerate("abcde")}
    database = {name: entry(*[RUN, SWIM][: number % 2 + 1]) for number, name in enumerate("abcde")}
    shuffled_results = {prefix + name: results[name] for name in "dbeca"}
    shuffled_database = {prefix + name: database[name] for name in "ecabd"}
    segments, shuffled_segments = (
        read_scored_segments(results_file(tmp_path / f"{number}.json", content), True)
        for number, content in enumerate((results, shuffled_results))
    )
    assert is_equal(segments, shuffled_segments)
    truth, shuffled_truth = (
        read_ground_truth(truth_file(tmp_path / f"{number}g.json", content), "validation")
        for number, content in enumerate((database, shuffled_database))
    )
    assert is_equal(truth, shuffled_truth)


def test_ground_truth_counts_zero_length_instances(tmp_path: Path) -> None:
    point = {"segment": [3, 3], "label": "Running"}
    path = truth_file(tmp_path / "g.json", {"a": entry(RUN, point), "b": entry(point), "c": entry(SWIM)})
    zero_length = read_ground_truth(path, "validation").zero_length
    assert zero_length["count"] == 2
    assert "overlaps nothing" in zero_length["rule"]


def test_match_videos_counts_and_names_videos_of_only_one_side(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    truth = read_ground_truth(truth_file(tmp_path / "g.json", {name: entry(RUN) for name in "abx"}), "validation")
    segments = read_scored_segments(
        results_file(tmp_path / "p.json", {"v_b": [SURE], "x": [], **{name: [SURE] for name in "mnop"}}), True
    )
    with caplog.at_level(logging.WARNING):
        index, counts = match_videos(truth, segments)
    assert index.tolist() == [1, -1, -1, -1, -1]
    assert counts == {"n_videos": 3, "n_instances": 3, "n_missing_videos": 1, "n_unknown_videos": 4}
    missing, unknown = caplog.messages
    assert missing.startswith("1 videos")
    assert missing.endswith(": a")
    assert "4 videos" in unknown
    assert unknown.endswith(": m, n, o, ...")


@pytest.mark.parametrize(
    ("database", "fault"),
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
        ({"a": entry(RUN), "v_a": entry(RUN)}, "video a is listed twice, as a and as v_a"),
        ({"v_a": entry(RUN, subset="training"), "a": entry(RUN)}, "video a is listed twice, as v_a and as a"),
        ({"a": entry(subset="train"), "b": entry(subset="test")}, "no video of subset 'validation'; .*: test, train$"),
        ({}, "no video of subset 'validation'; the file has: none"),
        ({"v_a": entry()}, "subset 'validation' has no annotations"),
    ],
)
def test_read_ground_truth_names_file_video_and_index_of_a_fault(tmp_path: Path, database: Any, fault: str) -> None:
    with pytest.raises(PipelineError, match=rf"bad\.json: .*{fault}"):
        read_ground_truth(truth_file(tmp_path / "bad.json", database), "validation")


@pytest.mark.parametrize(
    ("results", "fault"),
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
        ({"v_a": [], "a": []}, "video a is listed twice, as v_a and as a"),
    ],
)
def test_read_scored_segments_names_file_video_and_index_of_a_fault(tmp_path: Path, results: Any, fault: str) -> None:
    with pytest.raises(PipelineError, match=rf"bad\.json: .*{fault}"):
        read_scored_segments(results_file(tmp_path / "bad.json", results), True)


@pytest.mark.parametrize("key", ["version", "results", "external_data"])
def test_read_scored_segments_names_a_missing_key(tmp_path: Path, key: str) -> None:
    path = results_file(tmp_path / "bad.json", {})
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))
    with pytest.raises(PipelineError, match=rf"bad\.json: lacks the key '{key}'"):
        read_scored_segments(path, True)


@pytest.mark.parametrize("text", ["{}", "[]", "3"])
def test_read_ground_truth_needs_the_key_database(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(PipelineError, match=r"bad\.json: lacks the key 'database'"):
        read_ground_truth(path, "validation")


def test_read_scored_segments_refuses_a_duplicate_key(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"version": "", "external_data": {}, "results": {"v_a": [], "v_a": []}}')
    with pytest.raises(PipelineError, match=r"bad\.json: key 'v_a' occurs twice"):
        read_scored_segments(path, True)


def test_read_ground_truth_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"gone\.json: no such ground truth"):
        read_ground_truth(tmp_path / "gone.json", "validation")


def test_tiou_names_have_no_trailing_zero() -> None:
    assert TIOU_NAMES == ("0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95")


def test_format_threshold_table_leaves_missing_cells_blank() -> None:
    header, row, long_row = format_threshold_table(
        {"AUC": {"mean": 0.5}, "Washing of dishes": {"mean": 1}}
    ).splitlines()
    assert header.split() == ["x", "100", *TIOU_NAMES, "mean"]
    assert row.split() == ["AUC", "50.00"]
    assert len(long_row) == len(row) == len(header)
