"""The files of Something-Something: classes joined by text, groups, and what bad input gets."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.readers import SomethingSomethingSettings
from pipeline.datasets.annotations import CaptionedClip
from pipeline.datasets.clip_labels import label_template_clips, read_groups
from pipeline.datasets.something_something import (
    TemplateClip,
    read_classes,
    read_something_something,
    read_template_clips,
)
from pipeline.errors import PipelineError
from tests.helpers.two_channel_golden import read_golden


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_file_gives_its_clips_in_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "train.json",
        [
            {"id": "7", "label": "opening door", "template": "Opening [something]", "placeholders": ["door"]},
            {"id": 12, "label": "x", "template": "Moving [part] of [something]", "placeholders": ["lid", "jar"]},
            {"id": "3"},
        ],
    )
    assert read_something_something(path) == [
        TemplateClip("7", "Opening [something]", ("door",)),
        TemplateClip("12", "Moving [part] of [something]", ("lid", "jar")),
        TemplateClip("3", None, ()),
    ]


def test_the_reader_gives_class_and_caption_and_no_label_of_the_test_set(tmp_path: Path) -> None:
    entry = {"id": "7", "label": "x", "template": "Opening [something]", "placeholders": ["a red door"]}
    path = write(tmp_path / "train.json", [entry, {"id": "8"}])
    for kind, caption in (("full", "Opening a red door"), ("simplified", "Opening door")):
        clips = read_template_clips(path, SomethingSomethingSettings.parse({"captions": kind}, ""))
        assert clips == {
            "7": CaptionedClip((caption,), category="Opening something"),
            "8": CaptionedClip((), subset="testing"),
        }
    with pytest.raises(PipelineError, match=r"train\.json.*7"):
        read_template_clips(write(path, [entry, entry]), SomethingSomethingSettings())


def test_the_published_classes_and_groups_are_joined_by_text(shared: Path, tmp_path: Path) -> None:
    golden = read_golden(shared, "something_something_groups")
    names = [group["name"] for group in golden["groups"]]
    groups = {entry["template"]: names[entry["group"]] for entry in golden["classes"]}
    official = {entry["template"].replace("[", "").replace("]", ""): entry["index"] for entry in golden["classes"]}
    classes = read_classes(write(tmp_path / "labels.json", official))
    assert [official[name] for name in classes] == list(range(174))
    clips = [TemplateClip(str(number), entry["template"], ()) for number, entry in enumerate(golden["classes"])]
    labels = label_template_clips(
        {Path("train.json"): clips}, classes, read_groups(write(tmp_path / "groups.json", groups))
    )
    assert labels.groups == sorted(names)
    assert len(labels.groups) == 50
    assert labels.labels == classes
    by_video = {row.video: row for row in labels.clips}
    for number, entry in enumerate(golden["classes"]):
        label = by_video[str(number)].label
        assert labels.group_of[label] == names[entry["group"]]
        assert labels.labels.index(label) == entry["index"]


def test_odd_rows_are_counted() -> None:
    clips = [
        TemplateClip("a", "Opening [something]", ()),
        TemplateClip("b", "Opening [something]", ("door", "more")),
        TemplateClip("c", "Opening [something]", ("",)),
        TemplateClip("d", "Opening [something]", ("a [b]",)),
        TemplateClip("e", "Waiting", ()),
        TemplateClip("f", None, ()),
    ]
    counts = label_template_clips(
        {Path("x.json"): clips}, ["Closing something", "Opening something", "Waiting"], {}
    ).counts
    assert counts == {
        "too_few_placeholders": 1,
        "too_many_placeholders": 1,
        "empty_placeholder": 1,
        "bracket_in_placeholder": 1,
        "template_without_slots": 1,
        "clips_without_label": 1,
        "clips": 5,
        "classes": 3,
        "classes_without_clips": 1,
    }


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ({"id": "1"}, ["list"]),
        ([{"label": "x"}], ["entry 0", "id"]),
        ([{"id": "../x", "template": "a"}], ["../x"]),
        ([{"id": "1", "label": "opening door"}], ["clip 1", "template"]),
        ([{"id": "1", "template": " [] "}], ["clip 1", "template"]),
        ([{"id": "1", "template": "a [b]", "placeholders": "door"}], ["clip 1", "placeholders"]),
        ([{"id": "1", "template": "a [b]", "placeholders": [3]}], ["clip 1", "placeholders"]),
    ],
)
def test_a_malformed_file_is_one_error(content: Any, facts: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "bad.json", content)
    with pytest.raises(PipelineError) as error:
        read_something_something(path)
    assert all(fact in str(error.value) for fact in [str(path), *facts])


def test_what_no_class_no_group_and_two_entries_get() -> None:
    clip, path = TemplateClip("9", "Opening [something]", ("door",)), Path("train.json")
    with pytest.raises(PipelineError, match=r"train\.json.*9.*Opening something"):
        label_template_clips({path: [clip]}, ["Closing something"], {})
    with pytest.raises(PipelineError, match=r"groups.*Opening something"):
        label_template_clips({path: [clip]}, None, {"Closing something": "Doors"})
    with pytest.raises(PipelineError, match=r"val\.json.*9"):
        label_template_clips({path: [clip], Path("val.json"): [clip]}, None, {})
    with pytest.raises(PipelineError, match=r"train\.json"):
        label_template_clips({path: [TemplateClip("9", None, ())]}, None, {})


@pytest.mark.parametrize("content", [[], {}, {"a": 3}, {"a [b]": "x", "a b": "y"}])
def test_malformed_groups_are_one_error(content: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "groups.json", content)
    with pytest.raises(PipelineError, match=r"groups\.json"):
        read_groups(path)


@pytest.mark.parametrize("content", [[], {}, {"a [b]": 0, "a b": 1}])
def test_malformed_classes_are_one_error(content: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "labels.json", content)
    with pytest.raises(PipelineError, match=r"labels\.json"):
        read_classes(path)
