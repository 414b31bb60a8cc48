"""TSP's ground-truth tables: one CSV row per segment, `Action` and `No action` rows, ids without `v_`."""

import csv
import math
from pathlib import Path

from pipeline.datasets.annotations import ActionVideo, AnnotatedSegment, check_duration
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError

COLUMNS = ("video-name", "t-start", "t-end", "action-label", "video-duration", "temporal-region-label")


def read_tsp(path: Path) -> dict[str, ActionVideo]:
    """Read the videos by id (without `v_`, as in the file) with their action segments and their background.

    Raises:
        PipelineError: the file is absent, lacks a column, or has a malformed row (names the line).
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such table")
    videos: dict[str, tuple[float, list[AnnotatedSegment], list[AnnotatedSegment]]] = {}
    # Bytes that are not UTF-8 become replacement characters; where they matter, their row fails by its line number.
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise PipelineError(f"{path}: has no column {', '.join(missing)}; TSP's ground-truth tables have it")
        for row in reader:
            place = f"line {reader.line_num}"
            video = check_id(row["video-name"], path)
            duration = check_duration(_parse_seconds(row["video-duration"], path, place), path, video)
            _, actions, background = videos.setdefault(video, (duration, [], []))
            region = row["temporal-region-label"]
            if region not in ("Action", "No action"):
                raise PipelineError(f"{path}: {place}: temporal-region-label {region!r} is not Action or No action")
            start, end = (_parse_seconds(row[name], path, place) for name in ("t-start", "t-end"))
            if region == "Action":
                actions.append(AnnotatedSegment(start, end, row["action-label"]))
            else:
                background.append(AnnotatedSegment(start, end, ""))
    return {
        video: ActionVideo(duration, tuple(actions), background=tuple(background))
        for video, (duration, actions, background) in videos.items()
    }


def _parse_seconds(text: str | None, path: Path, place: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise PipelineError(f"{path}: {place}: {text!r} is not a number of seconds")
    return number
