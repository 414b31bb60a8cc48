"""The page of the report: one HTML file that opens from disk, with pictures and subtitle tracks beside it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from pipeline.io.atomic import write_text
from pipeline.report.video_files import draw_frame_strip, write_webvtt
from pipeline.video.shard import ReencodedVideo

Captions = Mapping[str, Sequence[dict[str, Any]]]
"""Captions by video id: `timestamp` (start and end, seconds) and `sentence`."""


@dataclass(frozen=True)
class ReportPage:
    """Content of the page.

    Attributes:
        title: heading.
        scores: result of `evaluate dataset`.
        score_rows: rows of the score table.
        videos: descriptions from `describe_video`.
        num_partial: number of test videos of which only the beginning could be decoded.
        curves: name and file of each picture of training curves.
    """

    title: str
    scores: dict[str, Any]
    score_rows: list[dict[str, Any]]
    videos: list[dict[str, Any]]
    num_partial: int
    curves: list[dict[str, str]]


def evenly_spaced(names: Sequence[str], count: int) -> list[str]:
    """Return `count` of the names, evenly spaced in their order; all names if there are fewer."""
    if count >= len(names):
        return list(names)
    return [names[index * len(names) // count] for index in range(count)]


def describe_video(
    folder: Path, video: ReencodedVideo, references: Sequence[Captions], gt: Captions, learned: Captions
) -> dict[str, Any]:
    """Write the picture and the subtitle track of a video, and describe the video for the template.

    Args:
        folder: folder of the page.
        video: the re-encoded video.
        references: reference captions, one mapping per annotator.
        gt: captions of ground-truth proposals.
        learned: captions of learned proposals.
    """
    name = video.video
    draw_frame_strip(video, folder / "videos" / f"{name}.png")
    write_webvtt(list(learned.get(name, ())), folder / "videos" / f"{name}.vtt")
    lanes = [
        _describe_lane("reference", f"annotator {number}", "#718096", captions.get(name, ()), video.duration)
        for number, captions in enumerate(references, start=1)
    ]
    lanes.append(_describe_lane("gt", "ground-truth proposal", "#2b6cb0", gt.get(name, ()), video.duration))
    lanes.append(_describe_lane("learned", "learned proposal", "#b7472a", learned.get(name, ()), video.duration))
    return {
        "id": name,
        "duration": video.duration,
        "source_s": video.source_s,
        "damage": video.reason,
        "file": Path(os.path.relpath(video.path, folder)).as_posix(),
        "strip": f"videos/{name}.png",
        "track": f"videos/{name}.vtt",
        "lanes": [lane for lane in lanes if lane["bars"]],
    }


def write_page(page: ReportPage, output: Path) -> None:
    """Write the page; the template escapes all text from data."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    details = {key: page.scores[key] for key in ("evaluator", "counts", "provenance")}
    columns = [name for name in page.score_rows[0]["values"] if not name.startswith("METEOR") or name == "METEOR mean"]
    html = environment.get_template("page.html.jinja").render(
        title=page.title,
        rows=page.score_rows,
        columns=columns,
        videos=page.videos,
        num_partial=page.num_partial,
        curves=page.curves,
        details=json.dumps(details, indent=1),
        **details,
    )
    write_text(output, html + "\n")


def _describe_lane(
    kind: str, name: str, colour: str, captions: Sequence[dict[str, Any]], duration: float
) -> dict[str, Any]:
    """Describe one line of the timeline; positions and widths of bars are in percent of the duration."""
    bars = []
    for caption in captions:
        start, end = caption["timestamp"]
        position = {"x": round(100 * start / duration, 2), "width": round(100 * (end - start) / duration, 2)}
        bars.append({**position, "start": start, "end": end, "sentence": caption["sentence"]})
    return {"kind": kind, "name": name, "colour": colour, "bars": bars}
