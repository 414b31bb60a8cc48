"""Annotation files of the demo."""

import pytest

from pipeline.config.make_demo import MakeDemo
from pipeline.demo.annotations import (
    action_annotations,
    caption_annotations,
    second_annotator_videos,
    select_subset,
)
from pipeline.demo.plan import plan_videos
from pipeline.demo.scene import VideoPlan


@pytest.fixture(scope="module")
def videos() -> list[VideoPlan]:
    return plan_videos(MakeDemo())


def test_action_annotations_have_the_structure_of_activitynet(videos: list[VideoPlan]) -> None:
    data = action_annotations(videos)
    assert set(data) == {"version", "taxonomy", "database"}
    assert data["version"] == "VERSION 1.3"
    assert set(data["database"]) == {video.id for video in videos}
    for entry in data["database"].values():
        assert set(entry) == {"duration", "subset", "resolution", "url", "annotations"}
        assert (entry["annotations"] == []) == (entry["subset"] == "testing")
        for annotation in entry["annotations"]:
            start, end = annotation["segment"]
            assert 0 <= start < end <= entry["duration"]


def test_action_annotations_use_the_leaves_of_the_taxonomy(videos: list[VideoPlan]) -> None:
    data = action_annotations(videos)
    nodes = {node["nodeId"]: node for node in data["taxonomy"]}
    assert len(nodes) == len(data["taxonomy"])
    for node in nodes.values():
        if node["parentId"] is not None:
            assert nodes[node["parentId"]]["nodeName"] == node["parentName"]
    parents = {node["parentId"] for node in nodes.values()}
    leaves = {node["nodeName"] for number, node in nodes.items() if number not in parents}
    used = {note["label"] for entry in data["database"].values() for note in entry["annotations"]}
    assert used == leaves


@pytest.mark.parametrize("annotator", [1, 2])
def test_caption_annotations_have_the_structure_of_activitynet_captions(
    videos: list[VideoPlan], annotator: int
) -> None:
    data = caption_annotations(videos, annotator, 0)
    assert list(data) == [f"v_{video.id}" for video in videos]
    for video, entry in zip(videos, data.values(), strict=True):
        assert set(entry) == {"duration", "timestamps", "sentences"}
        assert len(entry["timestamps"]) == len(entry["sentences"]) == len(video.events)
        assert all(0 <= start < end <= entry["duration"] for start, end in entry["timestamps"])
        assert entry["duration"] == pytest.approx(video.duration, abs=0.006)


def test_caption_annotations_of_the_second_annotator_differ_in_times_and_wording(videos: list[VideoPlan]) -> None:
    first, second = (caption_annotations(videos, annotator, 0) for annotator in (1, 2))
    for name in first:
        for times in zip(first[name]["timestamps"], second[name]["timestamps"], strict=True):
            for exact, shifted in zip(*times, strict=True):
                assert 0.18 <= abs(exact - shifted) <= 0.52
    equal = sum(first[name]["sentences"] == second[name]["sentences"] for name in first)
    assert equal < 0.02 * len(first)


def test_second_annotator_videos_lack_one_video_in_25(videos: list[VideoPlan]) -> None:
    validation = select_subset(videos, "validation")
    assert len(validation) - len(second_annotator_videos(validation)) == 4
