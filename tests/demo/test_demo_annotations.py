import pytest

from pipeline.config.make_demo import MakeDemo
from pipeline.demo.annotations import (
    action_annotations,
    caption_annotations,
    of_subset,
    second_annotators_videos,
)
from pipeline.demo.scene import Video
from pipeline.demo.world import make_world


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return make_world(MakeDemo())


def test_the_action_file_has_activitynets_structure(videos: list[Video]) -> None:
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


def test_every_label_is_a_leaf_of_the_taxonomy(videos: list[Video]) -> None:
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
def test_the_caption_files_have_activitynet_captions_structure(videos: list[Video], annotator: int) -> None:
    data = caption_annotations(videos, annotator, 0)
    assert list(data) == [f"v_{video.id}" for video in videos]
    for video, entry in zip(videos, data.values(), strict=True):
        assert set(entry) == {"duration", "timestamps", "sentences"}
        assert len(entry["timestamps"]) == len(entry["sentences"]) == len(video.events)
        assert all(0 <= start < end <= entry["duration"] for start, end in entry["timestamps"])
        assert entry["duration"] == pytest.approx(video.duration, abs=0.006)


def test_the_second_annotator_is_a_little_off_and_words_things_differently(videos: list[Video]) -> None:
    one, two = (caption_annotations(videos, annotator, 0) for annotator in (1, 2))
    for name in one:
        for first, second in zip(one[name]["timestamps"], two[name]["timestamps"], strict=True):
            for mine, theirs in zip(first, second, strict=True):
                assert 0.18 <= abs(mine - theirs) <= 0.52
    equal = sum(one[name]["sentences"] == two[name]["sentences"] for name in one)
    assert equal < 0.02 * len(one)


def test_the_second_annotator_misses_a_few_videos(videos: list[Video]) -> None:
    validation = of_subset(videos, "validation")
    assert len(validation) - len(second_annotators_videos(validation)) == 4
