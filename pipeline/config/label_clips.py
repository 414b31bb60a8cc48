"""Section `label_clips`: class, group and captions of each clip."""

from pydantic import Field

from pipeline.config.base import Section


class LabelClips(Section):
    """Labels of clips, which recognizers learn."""

    TARGET = "results/{dataset}/clip_labels/manifest.json"

    templates: list[str] = Field(
        [],
        description="files of Something-Something v2, whose templates are the classes; []: the class of a video is its "
        "first action, and its caption is the first one",
    )
    classes: str | None = Field(
        None, description="labels.json of Something-Something: the names of all classes; null: those that occur"
    )
    groups: str | None = Field(
        None,
        description="JSON object from class (a template, with or without brackets) to group of classes; null: no "
        "groups",
    )
