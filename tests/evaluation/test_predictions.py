"""Reading caption files: malformed files are refused, with file, video and index."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.predictions import read_predictions

GOOD = {"sentence": "A man runs.", "timestamp": [0, 2.5]}


def write(path: Path, results: Any, **other: Any) -> Path:
    path.write_text(json.dumps({"version": "VERSION 1.3", "results": results, "external_data": {}} | other))
    return path


def test_read_predictions_returns_the_content_of_a_valid_file(tmp_path: Path) -> None:
    predictions = read_predictions(write(tmp_path / "good.json", {"v_1": [GOOD, GOOD], "v_2": []}))
    assert predictions.results == {"v_1": [GOOD, GOOD], "v_2": []}
    assert predictions.version == "VERSION 1.3"


@pytest.mark.parametrize("key", ["version", "results", "external_data"])
def test_read_predictions_names_a_missing_key(tmp_path: Path, key: str) -> None:
    path = write(tmp_path / "bad.json", {})
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))
    with pytest.raises(PipelineError, match=rf"bad\.json: lacks the key '{key}'"):
        read_predictions(path)


@pytest.mark.parametrize(
    ("results", "fault"),
    [
        ([GOOD], "results is not an object"),
        ({"v_1": GOOD}, "video v_1: expected a list"),
        ({"v_1": [GOOD, "A man runs."]}, "video v_1, caption 1: .* is not an object"),
        ({"v_1": [GOOD | {"sentence": None}]}, "video v_1, caption 0: sentence None is not text"),
        ({"v_1": [{"timestamp": [0, 1]}]}, "sentence None is not text"),
        ({"v_1": [GOOD | {"timestamp": [0]}]}, r"timestamp \[0\] is not \[start, end\]"),
        ({"v_1": [GOOD | {"timestamp": ["0", "1"]}]}, "is not .start, end."),
        ({"v_1": [GOOD | {"timestamp": [False, True]}]}, "is not .start, end."),
        ({"v_1": [GOOD | {"timestamp": [0, float("nan")]}]}, "is not .start, end."),
        ({"v_1": [GOOD | {"timestamp": [0, float("inf")]}]}, "is not .start, end."),
        ({"v_1": [GOOD | {"timestamp": [0, 1e300]}]}, "is not .start, end."),
        ({"v_1": [GOOD | {"timestamp": [0, 10**400]}]}, "is not .start, end."),
        ({"v_1": [GOOD | {"timestamp": [2, 1]}]}, r"timestamp \[2, 1\] ends before it starts"),
    ],
)
def test_read_predictions_names_file_video_and_index_of_a_fault(tmp_path: Path, results: Any, fault: str) -> None:
    with pytest.raises(PipelineError, match=rf"bad\.json: .*{fault}"):
        read_predictions(write(tmp_path / "bad.json", results))


def test_read_predictions_refuses_a_list(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("[]")
    with pytest.raises(PipelineError, match=r"list\.json: expected an object"):
        read_predictions(path)
