"""Something-Something (Goyal et al., 2017), version 2: its JSON files and its classes.

A file is a list of `{"id", "label", "template", "placeholders"}`; entries of the official test set have only `id`.
`label` is the actor's text in small letters; captions are made from template and placeholders instead. `labels.json`
maps the name of each class, the template without brackets, to its number.

Two orders of the classes exist: that of labels.json, which sorts the names, and the sort of the templates with
brackets, in the published code. They differ for 89 of 174 classes. So classes are joined by their text, never by
number.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.readers import SomethingSomethingSettings
from pipeline.datasets.annotations import CaptionedClip
from pipeline.datasets.templates import class_name, fill_template
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json


@dataclass(frozen=True)
class TemplateClip:
    """A clip as annotated.

    Attributes:
        video: id.
        template: None for a clip of the official test set.
        placeholders: in the order of the template's slots.
    """

    video: str
    template: str | None
    placeholders: tuple[str, ...]


def read_something_something(path: Path) -> list[TemplateClip]:
    """Read a file of Something-Something v2, in its order.

    Raises:
        PipelineError: the file is no list of entries, or an entry is malformed; names the file and the id.
    """
    data = read_json(path, "Something-Something annotations")
    if not isinstance(data, list):
        raise PipelineError(f"{path}: expected a JSON list of clips with `id`, `template` and `placeholders`")
    return [_parse_clip(path, index, entry) for index, entry in enumerate(data)]


def _parse_clip(path: Path, index: int, entry: Any) -> TemplateClip:
    if not isinstance(entry, dict) or "id" not in entry:
        raise PipelineError(f"{path}: entry {index}: expected an object with `id`")
    video = check_id(str(entry["id"]), path)
    template, placeholders = entry.get("template"), entry.get("placeholders", [])
    if template is None and "label" not in entry:
        return TemplateClip(video, None, ())
    if not isinstance(template, str) or not class_name(template):
        raise PipelineError(
            f"{path}: clip {video}: template {template!r} is no text; version 2 has a template for each labelled clip"
        )
    if not isinstance(placeholders, list) or not all(isinstance(text, str) for text in placeholders):
        raise PipelineError(f"{path}: clip {video}: placeholders {placeholders!r} is not a list of texts")
    return TemplateClip(video, template, tuple(placeholders))


def read_classes(path: Path) -> list[str]:
    """Read labels.json: the names of the classes, sorted, which is the official order.

    Raises:
        PipelineError: the file is not an object, or two names differ only in brackets or spaces.
    """
    data = read_json(path, "classes")
    if not isinstance(data, dict) or not data:
        raise PipelineError(f"{path}: expected a JSON object whose keys are the names of the classes")
    names = sorted(class_name(name) for name in data)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise PipelineError(f"{path}: class {repeated[0]!r} occurs twice")
    return names


def read_template_clips(path: Path, settings: SomethingSomethingSettings) -> dict[str, CaptionedClip]:
    """Read the clips by id with their caption and, as category, the name of their class.

    A clip without a template is one of the official test set: it has no caption.

    Raises:
        PipelineError: the file is malformed, or has a clip twice; names the file and the id.
    """
    clips: dict[str, CaptionedClip] = {}
    for clip in read_something_something(path):
        if clip.video in clips:
            raise PipelineError(f"{path}: clip {clip.video} is listed twice; keep one of its entries")
        if clip.template is None:
            clips[clip.video] = CaptionedClip((), subset="testing")
            continue
        filled = fill_template(clip.template, clip.placeholders)
        caption = filled.full if settings.captions == "full" else filled.simplified
        clips[clip.video] = CaptionedClip((caption,), category=class_name(clip.template))
    return clips
