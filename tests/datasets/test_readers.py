"""The readers of annotation files, and their errors."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.readers import READERS, ReaderSpec, reader_of
from pipeline.datasets.activitynet_captions import read_activitynet_captions, write_activitynet_captions
from pipeline.datasets.activitynet_json import read_activitynet
from pipeline.datasets.annotations import (
    ActionVideo,
    AnnotatedSegment,
    CaptionedClip,
    CaptionedVideo,
    read_actions,
    read_captions,
    read_clips,
)
from pipeline.datasets.tsp_csv import read_tsp
from pipeline.errors import PipelineError

HEADER = "video-name,t-start,t-end,action-label,video-duration,filename,fps,video-frames,temporal-region-label\n"


def write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", "actions", "activitynet_json"),
        ("a.csv", "actions", "tsp_csv"),
        ("a.other", "actions", "activitynet_json"),
        ("train.json", "captions", "activitynet_captions"),
        ("train.csv", "captions", "caption_table"),
        ("film.SRT", "captions", "srt"),
        ("film.other", "captions", "activitynet_captions"),
        ("captions.json", "clips", "clip_json"),
        ("captions.csv", "clips", "clip_table"),
        ("train_val_videodatainfo.json", "clips", "msrvtt"),
        ("test_videodatainfo_2017.json", "clips", "msrvtt"),
        ("vatex_public_test_english_v1.1.json", "clips", "vatex"),
    ],
)
def test_reader_of_selects_by_suffix_and_content(name: str, content: Any, expected: str) -> None:
    assert reader_of(name, content).name == expected


@pytest.mark.parametrize("spec", READERS.values(), ids=READERS)
def test_every_reader_reads_the_example_of_its_format(tmp_path: Path, spec: ReaderSpec) -> None:
    path = tmp_path / "a.any"
    path.write_text(spec.example.replace("<id>", "a"))
    if spec.content == "actions":
        actions = read_actions(path, spec.name)
        assert actions.keys() == {"a"}
        assert isinstance(actions["a"], ActionVideo)
        assert actions["a"].segments
    elif spec.content == "clips":
        [clip] = read_clips(path, spec.name).items()
        assert clip[0].startswith("a")
        assert isinstance(clip[1], CaptionedClip)
        assert clip[1].captions
    else:
        captions = read_captions(path, spec.name)
        assert captions.keys() == {"a"}
        assert isinstance(captions["a"], CaptionedVideo)
        assert captions["a"].events


@pytest.mark.parametrize("spec", READERS.values(), ids=READERS)
def test_every_reader_names_a_file_of_another_format(tmp_path: Path, spec: ReaderSpec) -> None:
    path = tmp_path / "annotations"
    path.write_text("nothing of the kind\n")
    read = {"actions": read_actions, "captions": read_captions, "clips": read_clips}[spec.content]
    with pytest.raises(PipelineError, match=str(path)):
        read(path, spec.name)


def test_write_activitynet_captions_writes_what_the_reader_reads(tmp_path: Path) -> None:
    videos = {"v_a": CaptionedVideo(9.5, (AnnotatedSegment(0.5, 2.0, " A man. "), AnnotatedSegment(4.0, 1.0, "")))}
    write_activitynet_captions(tmp_path / "c.json", videos)
    assert read_captions(tmp_path / "c.json") == videos


def test_read_activitynet(tmp_path: Path) -> None:
    entry = {
        "subset": "training",
        "duration": 9.5,
        "annotations": [{"segment": [1, 2.5], "label": "Archery"}],
    }
    videos = read_activitynet(write(tmp_path / "a.json", {"database": {"-abc": entry}}))
    assert videos["-abc"].segments == (AnnotatedSegment(1.0, 2.5, "Archery"),)
    assert (videos["-abc"].subset, videos["-abc"].duration) == ("training", 9.5)


def test_read_activitynet_captions_changes_nothing(tmp_path: Path) -> None:
    entry = {"duration": 5, "timestamps": [[4, 1]], "sentences": [" A man. "]}
    videos = read_activitynet_captions(write(tmp_path / "c.json", {"v_a": entry}))
    assert videos["v_a"].events == (AnnotatedSegment(4, 1, " A man. "),)


def test_read_tsp(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "abc,1,2.5,Archery,9,v_abc.mp4,30,270,Action\nabc,3,9,,9,v_abc.mp4,30,270,No action\n")
    video = read_tsp(path)["abc"]
    assert video.segments == (AnnotatedSegment(1, 2.5, "Archery"),)
    assert video.background == (AnnotatedSegment(3, 9, ""),)


def test_read_tsp_of_the_published_tables(shared: Path) -> None:
    folder = shared / "data" / "activitynet_tsp"
    for subset, *counts in (("train", 10024, 15410, 15956), ("valid", 4926, 7654, 7747)):
        videos = read_tsp(folder / f"activitynet_v1-3_{subset}_tsp_groundtruth.csv")
        actions = sum(len(video.segments) for video in videos.values())
        background = sum(len(video.background or ()) for video in videos.values())
        assert [len(videos), actions, background] == counts


@pytest.mark.parametrize(
    ("captions", "expected"),
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
def test_read_activitynet_captions_errors_name_file_and_video(tmp_path: Path, captions: Any, expected: str) -> None:
    with pytest.raises(PipelineError, match=rf"train\.json: .*{expected}"):
        read_activitynet_captions(write(tmp_path / "train.json", captions))


@pytest.mark.parametrize(
    ("database", "expected"),
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
def test_read_activitynet_errors_name_file_and_video(tmp_path: Path, database: Any, expected: str) -> None:
    with pytest.raises(PipelineError, match=rf"anet\.json: .*{expected}"):
        read_activitynet(write(tmp_path / "anet.json", {"database": database}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("video-name,t-start\n", "has no column t-end"),
        (HEADER + "abc,1,x,Archery,9,v_abc.mp4,30,270,Action\n", "line 2: 'x' is not a number"),
        (HEADER + "abc,1,2,Archery,9,v_abc.mp4,30,270,Maybe\n", "line 2: temporal-region-label 'Maybe'"),
        (HEADER + "abc,1,2,Archery,,v_abc.mp4,30,270,Action\n", "line 2: '' is not a number"),
    ],
)
def test_read_tsp_errors_name_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "tsp.csv"
    path.write_text(text)
    with pytest.raises(PipelineError, match=rf"tsp\.csv: {expected}"):
        read_tsp(path)
