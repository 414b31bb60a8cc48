"""TSP's ground-truth tables: one CSV row per segment, `Action` and `No action` rows, ids without `v_`."""

import csv
import math
from pathlib import Path

from pipeline.datasets.annotations import Annotated, Segment, check_duration
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError

COLUMNS = ("video-name", "t-start", "t-end", "action-label", "video-duration", "temporal-region-label")


def read_tsp(path: Path) -> dict[str, Annotated]:
    """Videos by id (as the file writes it: without `v_`) with their action segments and their background.

    Raises:
        PipelineError: absent, without a needed column, or a row that is not as the format says (names the line).
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such table")
    videos: dict[str, tuple[float, list[Segment], list[Segment]]] = {}
    # Bytes that are no UTF-8 become marks, and the row they stand in fails by its line, if they matter.
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if absent:
            raise PipelineError(f"{path}: lacks the column {', '.join(absent)} of TSP's ground-truth tables")
        for row in reader:
            where = f"line {reader.line_num}"
            video = check_id(row["video-name"], path)
            duration = check_duration(_number(row["video-duration"], path, where), path, video)
            _, actions, background = videos.setdefault(video, (duration, [], []))
            region = row["temporal-region-label"]
            if region not in ("Action", "No action"):
                raise PipelineError(f"{path}: {where}: temporal-region-label {region!r} is not Action or No action")
            start, end = (_number(row[name], path, where) for name in ("t-start", "t-end"))
            if region == "Action":
                actions.append(Segment(start, end, row["action-label"]))
            else:
                background.append(Segment(start, end, ""))
    return {
        video: Annotated(duration, tuple(actions), background=tuple(background))
        for video, (duration, actions, background) in videos.items()
    }


def _number(text: str | None, path: Path, where: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise PipelineError(f"{path}: {where}: {text!r} is not a number of seconds")
    return number
