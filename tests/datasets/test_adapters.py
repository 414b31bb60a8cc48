"""Annotation files: what is read, and what each mistake is told as."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.activitynet import read_activitynet
from pipeline.datasets.activitynet_captions import read_captions
from pipeline.datasets.annotations import Segment
from pipeline.datasets.tsp_csv import read_tsp
from pipeline.errors import PipelineError

HEADER = "video-name,t-start,t-end,action-label,video-duration,filename,fps,video-frames,temporal-region-label\n"


def write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_activitynet_is_read(tmp_path: Path) -> None:
    entry = {
        "subset": "training",
        "duration": 9.5,
        "annotations": [{"segment": [1, 2.5], "label": "Archery"}],
    }
    read = read_activitynet(write(tmp_path / "a.json", {"database": {"-abc": entry}}))
    assert read["-abc"].segments == (Segment(1.0, 2.5, "Archery"),)
    assert (read["-abc"].subset, read["-abc"].duration) == ("training", 9.5)


def test_captions_are_read_untouched(tmp_path: Path) -> None:
    entry = {"duration": 5, "timestamps": [[4, 1]], "sentences": [" A man. "]}
    assert read_captions(write(tmp_path / "c.json", {"v_a": entry}))["v_a"].segments == (Segment(4, 1, " A man. "),)


def test_tsp_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "abc,1,2.5,Archery,9,v_abc.mp4,30,270,Action\nabc,3,9,,9,v_abc.mp4,30,270,No action\n")
    read = read_tsp(path)["abc"]
    assert read.segments == (Segment(1, 2.5, "Archery"),)
    assert read.background == (Segment(3, 9, ""),)


def test_real_tables_hold_what_was_counted(shared: Path) -> None:
    folder = shared / "data" / "activitynet_tsp"
    for subset, *counts in (("train", 10024, 15410, 15956), ("valid", 4926, 7654, 7747)):
        read = read_tsp(folder / f"activitynet_v1-3_{subset}_tsp_groundtruth.csv")
        actions = sum(len(video.segments) for video in read.values())
        background = sum(len(video.background or ()) for video in read.values())
        assert [len(read), actions, background] == counts


@pytest.mark.parametrize(
    ("captions", "said"),
    [
        ([1], "expected an object of videos"),
        (
            {"v_a": {"duration": 5, "timestamps": [[0, 1]], "sentences": []}},
            "video v_a: expected as many timestamps",
        ),
        ({"v_a": {"duration": 5, "timestamps": [[0]], "sentences": ["x"]}}, r"video v_a, segment 0: \[0\]"),
        ({"v_a": {"duration": 5, "timestamps": [[0, "1"]], "sentences": ["x"]}}, "video v_a, segment 0"),
        (
            {"v_a": {"duration": 5, "timestamps": [[0, 1]], "sentences": [3]}},
            "video v_a, event 0: sentence 3",
        ),
        ({"v_a": {"duration": 0, "timestamps": [], "sentences": []}}, "video v_a: duration 0"),
        ({"../a": {"duration": 5, "timestamps": [], "sentences": []}}, "'../a' cannot be a video id"),
        ({"a/b": {"duration": 5, "timestamps": [], "sentences": []}}, "'a/b' cannot be a video id"),
        ({"..": {"duration": 5, "timestamps": [], "sentences": []}}, r"'\.\.' cannot be a video id"),
        ({"": {"duration": 5, "timestamps": [], "sentences": []}}, "'' cannot be a video id"),
        ({"a\n": {"duration": 5, "timestamps": [], "sentences": []}}, "cannot be a video id"),
    ],
)
def test_wrong_captions_name_file_and_video(tmp_path: Path, captions: Any, said: str) -> None:
    with pytest.raises(PipelineError, match=rf"train\.json: .*{said}"):
        read_captions(write(tmp_path / "train.json", captions))


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ({"a": {"subset": "train", "duration": 1, "annotations": []}}, "video a: subset 'train' is none of"),
        ({"a": {"subset": "training", "duration": 1}}, "video a: expected an object with `annotations`"),
        (
            {"a": {"subset": "training", "duration": 1, "annotations": [{"segment": [0, 1]}]}},
            "video a, segment 0",
        ),
        ([], "a `database` of videos"),
    ],
)
def test_wrong_activitynet_names_file_and_video(tmp_path: Path, database: Any, said: str) -> None:
    with pytest.raises(PipelineError, match=rf"anet\.json: .*{said}"):
        read_activitynet(write(tmp_path / "anet.json", {"database": database}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video-name,t-start\n", "lacks the column t-end"),
        (HEADER + "abc,1,x,Archery,9,v_abc.mp4,30,270,Action\n", "line 2: 'x' is not a number"),
        (HEADER + "abc,1,2,Archery,9,v_abc.mp4,30,270,Maybe\n", "line 2: temporal-region-label 'Maybe'"),
        (HEADER + "abc,1,2,Archery,,v_abc.mp4,30,270,Action\n", "line 2: '' is not a number"),
    ],
)
def test_wrong_tables_name_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tsp.csv"
    path.write_text(text)
    with pytest.raises(PipelineError, match=rf"tsp\.csv: {said}"):
        read_tsp(path)
