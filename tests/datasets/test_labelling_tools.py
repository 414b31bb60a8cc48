"""JSON of Label Studio and VIA: regions, frames, options, names of files, and errors that name the video."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.annotations import AnnotatedSegment, read_captions
from pipeline.errors import PipelineError

TIMES = {"start": 1.5, "end": 4.0}
LABEL = {"id": "r1", "type": "labels", "value": {**TIMES, "labels": ["Event"]}}
TEXT = {"id": "r1", "type": "textarea", "value": {**TIMES, "text": ["A man", "runs."]}}
TIMELINE = {
    "id": "t1",
    "type": "timelinelabels",
    "value": {"ranges": [{"start": 1, "end": 50}], "timelinelabels": ["Run"]},
}


def task(*results: dict[str, Any], video: str = "/data/upload/3/0a1b2c3d-film.mp4", **fields: Any) -> dict[str, Any]:
    return {"data": {"video": video}, "annotations": [{"result": list(results)}], **fields}


def read(path: Path, data: Any, reader: Any) -> dict[str, tuple[AnnotatedSegment, ...]]:
    path.write_text(json.dumps(data))
    return {video: entry.events for video, entry in read_captions(path, reader).items()}


def test_a_region_of_label_studio_has_its_text_or_else_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    assert read(path, [task(LABEL, TEXT)], "label_studio") == {"film": (AnnotatedSegment(1.5, 4.0, "A man runs."),)}
    assert read(path, [task(LABEL)], "label_studio") == {"film": (AnnotatedSegment(1.5, 4.0, "Event"),)}
    other = {"id": "r2", "type": "labels", "value": {"start": 5, "end": 6, "labels": ["Event"]}}
    events = read(path, [task(LABEL, TEXT, other)], "label_studio")["film"]
    assert [event.text for event in events] == ["A man runs.", ""], "a region that nobody described has no text"


def test_timeline_labels_are_frames_from_1_both_included(tmp_path: Path) -> None:
    reader = {"name": "label_studio", "fps": 25.0}
    assert read(tmp_path / "export.json", [task(TIMELINE)], reader) == {"film": (AnnotatedSegment(0.0, 2.0, "Run"),)}


@pytest.mark.parametrize(
    "video",
    [
        "/data/upload/3/0a1b2c3d-my film.mp4",
        "/data/local-files/?d=films/my%20film.mp4",
        "https://example.org/films/my%20film.mp4?token=a/b",
        "s3://bucket/films/my film.mp4",
        "films\\my film.mp4",
    ],
)
def test_the_video_of_a_task_is_the_name_of_its_file(tmp_path: Path, video: str) -> None:
    assert read(tmp_path / "export.json", [task(TEXT, video=video)], "label_studio").keys() == {"my film"}


def test_boxes_and_cancelled_annotations_of_label_studio_are_no_events(tmp_path: Path) -> None:
    box = {"id": "b", "type": "videorectangle", "value": {"sequence": []}}
    cancelled = {"was_cancelled": True, "result": [LABEL]}
    data = [{**task(TEXT, box), "annotations": [cancelled, {"result": [TEXT, box]}]}]
    assert len(read(tmp_path / "export.json", data, "label_studio")["film"]) == 1


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        ({"a": 1}, ["JSON-MIN"]),
        ([{"video": "a.mp4", "label": []}], ["JSON-MIN"]),
        ([task(TIMELINE)], ["video film", "fps"]),
        ([task(TEXT), task(TEXT)], ["video film", "two tasks"]),
        ([{**task(), "annotations": [{"result": []}, {"result": []}]}], ["video film", "2 annotations"]),
        ([task({"id": "w", "type": "textarea", "value": {"text": ["whole film"]}})], ["video film", "whole film"]),
        ([task({**LABEL, "value": {"start": "1", "end": 2, "labels": []}})], ["video film", "'1'"]),
        ([{**task(), "data": {"number": 3}}], ["task 0"]),
        ([task(video="/data/..")], ["'..'"]),
    ],
)
def test_an_error_of_label_studio_names_file_and_video(tmp_path: Path, data: Any, facts: list[str]) -> None:
    with pytest.raises(PipelineError) as error:
        read(tmp_path / "export.json", data, "label_studio")
    for fact in [str(tmp_path / "export.json"), *facts]:
        assert fact in str(error.value)


def via(**changes: Any) -> dict[str, Any]:
    attribute = {"aname": "caption", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}}
    return {
        "attribute": {"1": attribute},
        "file": {"1": {"fid": "1", "fname": "film.mp4"}},
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": {
            "1_b": {"vid": "1", "z": [5, 6.5], "xy": [], "av": {"1": "He stops."}},
            "1_a": {"vid": "1", "z": [1.5, 4.0], "xy": [], "av": {"1": "A man runs."}},
            "1_c": {"vid": "1", "z": [2.0], "xy": [2, 0, 0, 9, 9], "av": {}},
        },
        **changes,
    }


def test_segments_of_via_are_events_in_the_order_of_time(tmp_path: Path) -> None:
    events = (AnnotatedSegment(1.5, 4.0, "A man runs."), AnnotatedSegment(5.0, 6.5, "He stops."))
    assert read(tmp_path / "via.json", via(), "via") == {"film": events}


def test_options_of_via_are_read_by_their_names(tmp_path: Path) -> None:
    attributes = {
        "1": {"aname": "action", "anchor_id": "FILE1_Z2_XY0", "type": 2, "options": {"0": "run", "1": "jump"}},
        "2": {"aname": "caption", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}},
    }
    metadata = {"m": {"vid": "1", "z": [0, 1], "av": {"1": "0,1", "2": "A man."}}}
    project = via(attribute=attributes, metadata=metadata)
    for name, text in (("action", "run, jump"), ("caption", "A man.")):
        events = read(tmp_path / "via.json", project, {"name": "via", "attribute": name})
        assert events == {"film": (AnnotatedSegment(0, 1, text),)}
    with pytest.raises(PipelineError, match=r"via\.json: 2 attributes.*'action', 'caption'"):
        read(tmp_path / "via.json", project, "via")


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        ({"_via_img_metadata": {}}, ["VIA 3"]),
        (via(attribute={}), ["0 attributes", "none"]),
        (via(view={"1": {"fid_list": []}}), ["view 1"]),
        (via(view={"1": {"fid_list": ["1"]}, "2": {"fid_list": ["1"]}}), ["video film", "two views"]),
        (via(metadata={"m": {"vid": "9"}}), ["metadata m"]),
        (via(metadata={"m": {"vid": "1", "z": [1, None]}}), ["video film", "None"]),
    ],
)
def test_an_error_of_via_names_the_file_and_the_place(tmp_path: Path, data: Any, facts: list[str]) -> None:
    with pytest.raises(PipelineError) as error:
        read(tmp_path / "via.json", data, "via")
    for fact in [str(tmp_path / "via.json"), *facts]:
        assert fact in str(error.value)
