"""Label Studio's JSON export: regions of a video, or of its sound, with a text or labels each.

Three kinds of results have times: `labels` and `textarea` of an audio track (seconds), and `timelinelabels` of a video
(frames, from 1, both included). Results with the same id belong to one region.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config.readers import LabelStudioSettings
from pipeline.datasets.annotations import AnnotatedSegment, CaptionedVideo, check_times
from pipeline.datasets.video_ids import check_id, strip_video_suffix
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json

MEDIA_KEYS = ("video", "video_url", "videos", "audio", "url")
"""Keys of a task's data that name the file; without one of them, the only text that looks like a path."""
UPLOAD = re.compile(r"/data/upload/.*/[0-9a-f]{8}-(?P<name>[^/]+)")
"""An uploaded file: Label Studio puts eight hexadecimal digits before its name."""


@dataclass
class Region:
    """A region of the labelling interface.

    Attributes:
        times: start and end in seconds; None until a result states them.
        texts: what annotators wrote.
        labels: which labels they chose.
    """

    times: tuple[float, float] | None = None
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def read_label_studio(path: Path, settings: LabelStudioSettings) -> dict[str, CaptionedVideo]:
    """Read the videos by id with their regions; if no region has a text, the labels are the texts.

    Raises:
        PipelineError: the file is malformed, a video is annotated twice, or timeline labels lack `fps`.
    """
    tasks = read_json(path, "Label Studio export")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "annotations" in task for task in tasks):
        raise PipelineError(f"{path}: expected Label Studio's export in the format JSON (not JSON-MIN)")
    regions: dict[str, list[Region]] = {}
    for number, task in enumerate(tasks):
        video = _find_video(path, number, task)
        if video in regions:
            raise PipelineError(f"{path}: video {video} has two tasks; keep one")
        regions[video] = _read_regions(path, video, _choose_annotation(path, video, task), settings)
    has_texts = any(region.texts for of_video in regions.values() for region in of_video)
    return {
        video: CaptionedVideo(None, tuple(_build_events(of_video, has_texts))) for video, of_video in regions.items()
    }


def _build_events(regions: list[Region], has_texts: bool) -> Iterator[AnnotatedSegment]:
    for region in regions:
        if region.times is not None:
            yield AnnotatedSegment(*region.times, " ".join(region.texts if has_texts else region.labels))


def _find_video(path: Path, number: int, task: dict[str, Any]) -> str:
    """Return the id of a task's video: the name of its file."""
    data = task.get("data")
    files = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    paths = [files[key] for key in MEDIA_KEYS if key in files] or [text for text in files.values() if "/" in text]
    if not paths:
        raise PipelineError(f"{path}: task {number}: its data names no video")
    upload = UPLOAD.fullmatch(paths[0])
    name = upload["name"] if upload else paths[0].partition("?d=")[2] or paths[0].partition("?")[0]
    is_address = "://" in paths[0] or paths[0].startswith("/data/")
    return check_id(strip_video_suffix(_unquote(name) if is_address else name), path)


def _unquote(text: str) -> str:
    """Return a text of an address with `%20` and the like replaced."""
    data = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode())
    return data.decode(errors="surrogateescape")


def _choose_annotation(path: Path, video: str, task: dict[str, Any]) -> list[Any]:
    """Return the results of the only annotation of a task; one without annotation has none."""
    annotations = task["annotations"]
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise PipelineError(f"{path}: video {video}: expected a list of annotations")
    finished = [each for each in annotations if not each.get("was_cancelled")]
    if len(finished) > 1:
        raise PipelineError(
            f"{path}: video {video} has {len(finished)} annotations; export one per task, or a file for each annotator"
        )
    results = finished[0].get("result") if finished else []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise PipelineError(f"{path}: video {video}: expected a list of results")
    return results


def _read_regions(path: Path, video: str, results: list[Any], settings: LabelStudioSettings) -> list[Region]:
    """Return the regions of a video in the order of the file."""
    regions: dict[str, Region] = {}
    for index, result in enumerate(results):
        kind, value = result.get("type"), result.get("value")
        if kind not in ("labels", "textarea", "timelinelabels") or not isinstance(value, dict):
            continue  # boxes, choices of the whole video
        region = regions.setdefault(str(result.get("id", index)), Region())
        region.times = region.times or _read_times(path, video, index, value, settings)
        for key, texts in (("text", region.texts), ("labels", region.labels), ("timelinelabels", region.labels)):
            values = value.get(key, [])
            texts += [str(text) for text in (values if isinstance(values, list) else [values])]
    timeless = [region for region in regions.values() if region.times is None]
    if timeless:
        text = " ".join(timeless[0].texts or timeless[0].labels)
        raise PipelineError(f"{path}: video {video}: {text[:60]!r} belongs to no region with times")
    return list(regions.values())


def _read_times(
    path: Path, video: str, index: int, value: dict[str, Any], settings: LabelStudioSettings
) -> tuple[float, float] | None:
    """Return start and end of a region [s]; None if this result does not state them."""
    if "ranges" not in value:
        times = [value.get("start"), value.get("end")]
        return None if times == [None, None] else check_times(times, path, video, index)
    ranges = value["ranges"]
    if not isinstance(ranges, list) or len(ranges) != 1 or not isinstance(ranges[0], dict):
        raise PipelineError(f"{path}: video {video}, result {index}: expected one range of frames")
    first, last = check_times([ranges[0].get("start"), ranges[0].get("end")], path, video, index)
    if settings.fps is None:
        raise PipelineError(
            f"{path}: video {video}: timeline labels count frames; state `fps` of the reader label_studio, the "
            "frameRate of the labelling interface (Label Studio's default is 24)"
        )
    return (first - 1) / settings.fps, last / settings.fps
