"""Projects of the VIA 3 video annotator: the temporal segments of a video, with the text of one attribute.

A segment belongs to a view, a view shows a file. Attributes of segments have the anchor `FILE1_Z2_XY0`. Those with
options (check boxes, lists) store the ids of the options.
"""

from pathlib import Path
from typing import Any

from pipeline.config.readers import ViaSettings
from pipeline.datasets.annotations import AnnotatedSegment, CaptionedVideo, check_times
from pipeline.datasets.video_ids import check_id, strip_video_suffix
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

SEGMENT_ANCHOR = "FILE1_Z2_XY0"
SECTIONS = ("attribute", "file", "view", "metadata")
CHECKBOX = 2
"""Type of an attribute whose value is several option ids, separated by commas."""


def read_via(path: Path, settings: ViaSettings) -> dict[str, CaptionedVideo]:
    """Read the videos by id with their temporal segments; marks of a single frame and boxes are no events.

    Raises:
        PipelineError: the file is malformed, or has several attributes of segments and the settings name none.
    """
    project = read_json(path, "VIA project")
    if not isinstance(project, dict) or not all(isinstance(project.get(name), dict) for name in SECTIONS):
        raise PipelineError(f"{path}: expected a project of VIA 3: an object with {', '.join(SECTIONS)}")
    attribute, definition = _choose_attribute(path, project["attribute"], settings.attribute)
    videos = {view: _find_video(path, view, project) for view in project["view"]}
    if len(set(videos.values())) < len(videos):
        twice = next(video for video in videos.values() if list(videos.values()).count(video) > 1)
        raise PipelineError(f"{path}: video {twice} has two views; keep one")
    events: dict[str, list[AnnotatedSegment]] = {video: [] for video in videos.values()}
    for name, entry in project["metadata"].items():
        view = str(entry.get("vid")) if isinstance(entry, dict) else ""
        if view not in videos:
            raise PipelineError(f"{path}: metadata {name}: belongs to no view")
        video, times = videos[view], entry.get("z")
        if isinstance(times, list) and len(times) == 2:
            start, end = check_times(times, path, video, len(events[video]))
            values = entry.get("av")
            value = values.get(attribute, "") if isinstance(values, dict) else ""
            events[video].append(AnnotatedSegment(start, end, _read_value(str(value), definition)))
    # VIA stores segments in the order in which they were drawn.
    return {
        video: CaptionedVideo(None, tuple(sorted(of_video, key=lambda event: (event.start, event.end))))
        for video, of_video in events.items()
    }


def _choose_attribute(path: Path, attributes: dict[str, Any], name: str | None) -> tuple[str, dict[str, Any]]:
    """Return id and definition of the attribute that has the texts."""
    of_segments = {
        key: definition
        for key, definition in attributes.items()
        if isinstance(definition, dict) and definition.get("anchor_id") == SEGMENT_ANCHOR
    }
    names = ", ".join(repr(definition.get("aname")) for definition in of_segments.values()) or "none"
    selected = [key for key, each in of_segments.items() if name is None or each.get("aname") == name]
    if len(selected) != 1:
        reason = f"{len(selected)} attributes of segments" + (f" are named {name!r}" if name is not None else "")
        raise PipelineError(f"{path}: {reason}; name one: `attribute` of the reader via (attributes: {names})")
    return selected[0], of_segments[selected[0]]


def _find_video(path: Path, view: str, project: dict[str, Any]) -> str:
    """Return the id of a view's video: the name of its file."""
    entry = project["view"][view]
    files = entry.get("fid_list") if isinstance(entry, dict) else None
    file = project["file"].get(str(files[0])) if isinstance(files, list) and len(files) == 1 else None
    if not isinstance(file, dict) or not isinstance(file.get("fname"), str):
        raise PipelineError(f"{path}: view {view}: expected one file with a name")
    return check_id(strip_video_suffix(file["fname"]), path)


def _read_value(value: str, definition: dict[str, Any]) -> str:
    """Return the text of an attribute: as written, or the names of the chosen options."""
    options = definition.get("options")
    if not isinstance(options, dict) or not options:
        return value
    keys = value.split(",") if definition.get("type") == CHECKBOX else [value]
    return ", ".join(str(options.get(key, key)) for key in keys)
