"""The corpus of clips: one event as long as the clip, many annotators, official splits, categories, stated rules."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.video_files import write_video

from pipeline.build_corpus import main
from pipeline.datasets.annotations import read_captions
from pipeline.datasets.assemble import EVENT_LABEL
from pipeline.datasets.corpus import Corpus
from pipeline.localization.proposals import ground_truth_proposals

Settings = dict[str, Any]
BASE: Settings = {"actions": [], "captions_train": None, "captions_val": [], "videos": "videos", "shards": 2}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of MSR-VTT's format: a clip of each split, with a file each."""
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    save("videodatainfo.json", msrvtt())
    for number in range(3):
        Path("videos", f"video{number}.mp4").write_bytes(b"")
    return BASE | {"clips": ["videodatainfo.json"]}


def msrvtt(**changes: Any) -> dict[str, Any]:
    videos = [
        {"video_id": f"video{number}", "category": 3 + number, "start time": 5, "end time": 15, "split": split}
        for number, split in enumerate(("train", "validate", "test"))
    ]
    sentences = [
        {"sen_id": 2 * number + index, "video_id": f"video{number}", "caption": text}
        for number in range(3)
        for index, text in enumerate((f" A man  runs, {number}. ", "He runs"))
    ]
    return {"videos": videos, "sentences": sentences, **changes}


def save(name: str, data: Any) -> None:
    Path(name).write_text(json.dumps(data))


def build(settings: Settings) -> Corpus:
    assert main(["--config", json.dumps(settings), "--output", "corpus/manifest.json"]) == 0
    return Corpus.open(Path("corpus/manifest.json"))


def failing(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["--config", json.dumps(settings), "--output", "corpus/manifest.json"]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_clip_is_a_video_with_one_event_and_an_annotator_for_each_caption(dataset: Settings) -> None:
    corpus = build(dataset)
    assert {row.video: row.split for row in corpus.videos} == {"video0": "train", "video1": "val", "video2": "test"}
    assert [(row.annotator, row.start, row.end, row.sentence) for row in corpus.captions if row.video == "video1"] == [
        (1, 0.0, 10.0, "A man runs, 1."),
        (2, 0.0, 10.0, "He runs"),
    ]
    assert [(one.start, one.end) for one in ground_truth_proposals(corpus, 1)["video2"]] == [(0.0, 10.0)]


def test_a_category_is_the_action_of_the_whole_clip(dataset: Settings) -> None:
    corpus = build(dataset)
    assert [(row.start, row.end, row.label) for row in corpus.segments] == [
        (0.0, 10.0, "sports/actions"),
        (0.0, 10.0, "news/events/politics"),
        (0.0, 10.0, "education"),
    ]


def test_references_are_as_written_and_sorted_by_annotator(dataset: Settings) -> None:
    sentences = [{"sen_id": n, "video_id": "video2", "caption": f"Caption {n}."} for n in range(12)]
    save("videodatainfo.json", msrvtt(sentences=[*msrvtt()["sentences"][:4], *sentences]))
    files = build(dataset).references("test")
    assert [read_captions(path)["video2"].events[0].text for path in files] == [f"Caption {n}." for n in range(12)]


def test_subsets_state_the_split_of_files_without_one(dataset: Settings) -> None:
    files = {}
    for number, subset in enumerate(("training", "validation", "testing")):
        files[f"{subset}_v1.0.json"] = subset
        save(f"{subset}_v1.0.json", [{"videoID": f"a{number}_000000_000010", "enCap": ["A dog."]}])
        Path("videos", f"a{number}_000000_000010.mp4").write_bytes(b"")
    corpus = build(BASE | {"clips": list(files), "subsets": files})
    assert [row.split for row in corpus.videos] == ["train", "val", "test"]
    assert {row.label for row in corpus.segments} == {EVENT_LABEL}  # VATEX has no categories


def test_clips_without_a_subset_are_divided_by_a_hash(dataset: Settings) -> None:
    save("clips.json", {f"video{number}": "A dog." for number in range(3)})
    pins = {"video0": "train", "video1": "val"}
    fractions = {"train": 0.0, "enlarged": 0.0, "val": 0.0, "test": 1.0}
    corpus = build(dataset | {"clips": ["clips.json"], "pins": pins, "fractions": fractions})
    assert [row.split for row in corpus.videos] == ["train", "val", "test"]


def test_durations_are_measured_where_no_file_states_them(dataset: Settings) -> None:
    write_video(Path("videos", "film.mp4"), seconds=2)
    save("clips.json", {"film": ["A dog.", "A cat."], "video0": "An unreadable file."})
    corpus = build(dataset | {"clips": ["clips.json"], "subsets": {"clips.json": "training"}})
    assert {row.video for row in corpus.captions} == {"film"}
    assert [row.end for row in corpus.captions] == pytest.approx([2, 2], abs=0.1)
    assert [(row.video, row.reason) for row in corpus.rejects] == [("video0", "unmeasured")]
    assert corpus.manifest.metadata["counts"]["captions_without_duration"] == 1


def test_an_empty_caption_is_a_reject_and_its_clip_keeps_the_others(dataset: Settings) -> None:
    sentences = msrvtt()["sentences"]
    save("videodatainfo.json", msrvtt(sentences=[*sentences[:5], sentences[5] | {"caption": "  "}]))
    corpus = build(dataset)
    assert [(row.video, row.source, row.reason) for row in corpus.rejects] == [
        ("video2", "videodatainfo.json", "empty_sentence")
    ]
    assert [len(read_captions(path)) for path in corpus.references("test")] == [1, 0]


def test_a_clip_without_captions_is_left_out_unless_it_is_of_the_official_test_set(dataset: Settings) -> None:
    save("videodatainfo.json", msrvtt(sentences=[row for row in msrvtt()["sentences"] if row["video_id"] == "video0"]))
    corpus = build(dataset)
    assert {row.video: row.split for row in corpus.videos} == {"video0": "train", "video2": "submission"}
    assert [(row.video, row.reason) for row in corpus.rejects] == [("video1", "uncaptioned"), ("video2", "uncaptioned")]


def test_missing_clips_fail_unless_they_are_allowed(dataset: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    Path("videos", "video2.mp4").unlink()
    assert "video2" in failing(dataset, capsys)
    corpus = build(dataset | {"missing": "allow"})
    assert [(row.video, row.reason) for row in corpus.rejects] == [("video2", "missing")]
    assert {row.video for row in corpus.videos if row.path is None} == {"video2"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"clips": ["videodatainfo.json", "again.json"]}, "again.json: clip video1 is in videodatainfo.json too"),
        ({"label_map": "labels.json"}, "labels.json: video video1 has label 'news/events/politics'"),
        ({"captions_train": "train.json", "captions_val": ["val.json"]}, "clips take the place of"),
        ({"pins": {"nobody": "test"}}, "build_corpus.pins names 'nobody'"),
        ({"subsets": {"videodatainfo.json": "validation"}}, "no clip is in the split train"),
        ({"subsets": {"other.json": "validation"}}, "subsets names 'other.json'"),
        ({"readers": {"videodatainfo.json": "activitynet_captions"}}, "no reader of clips"),
        ({"readers": {"videodatainfo.json": "vatex"}}, "expected VATEX's JSON"),
    ],
)
def test_build_corpus_names_what_is_wrong_with_clips(
    dataset: Settings, changes: Settings, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save("again.json", {"video1": "A dog."})
    save("labels.json", ["sports/actions", "education"])
    assert expected in failing(dataset | changes, capsys)
