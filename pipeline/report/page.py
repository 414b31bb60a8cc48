"""The page that people look at: one HTML file that opens from disk, with pictures and tracks beside it."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from pipeline.io.atomic import write_text
from pipeline.report.tables import score_rows
from pipeline.report.videos import draw_strip, write_track
from pipeline.video.shard import VideoRow

Captions = Mapping[str, Sequence[dict[str, Any]]]


def spread(names: Sequence[str], count: int) -> list[str]:
    """`count` of the names (all, if there are fewer), spread evenly over their order."""
    if count >= len(names):
        return list(names)
    return [names[index * len(names) // count] for index in range(count)]


def show_video(
    folder: Path, video: VideoRow, references: Sequence[Captions], gt: Captions, learned: Captions
) -> dict[str, Any]:
    """Write what the page shows of a video and describe it for the template.

    Args:
        folder: of the page.
        video: the re-encoded video.
        references: per annotator, captions by video.
        gt: captions of annotated events, by video.
        learned: captions of proposed events, by video.
    """
    name = video.video
    draw_strip(video, folder / "films" / f"{name}.png")
    write_track(list(learned.get(name, ())), folder / "films" / f"{name}.vtt")
    lanes = [
        _lane("reference", f"annotator {number}", "#718096", found.get(name, ()), video.duration)
        for number, found in enumerate(references, start=1)
    ]
    lanes.append(_lane("gt", "annotated event", "#2b6cb0", gt.get(name, ()), video.duration))
    lanes.append(_lane("learned", "found event", "#b7472a", learned.get(name, ()), video.duration))
    return {
        "video": name,
        "duration": video.duration,
        "source_s": video.source_s,
        "damage": video.reason,
        "file": Path(os.path.relpath(video.path, folder)).as_posix(),
        "strip": f"films/{name}.png",
        "track": f"films/{name}.vtt",
        "lanes": [lane for lane in lanes if lane["bars"]],
    }


def _lane(kind: str, name: str, colour: str, captions: Sequence[dict[str, Any]], duration: float) -> dict[str, Any]:
    """One line of the timeline; bars in percent of the duration."""
    bars = []
    for caption in captions:
        start, end = caption["timestamp"]
        place = {"x": round(100 * start / duration, 2), "width": round(100 * (end - start) / duration, 2)}
        bars.append({**place, "start": start, "end": end, "sentence": caption["sentence"]})
    return {"kind": kind, "name": name, "colour": colour, "bars": bars}


def write_page(
    output: Path,
    title: str,
    scores: dict[str, Any],
    films: list[dict[str, Any]],
    partial: int,
    curves: list[dict[str, str]],
) -> None:
    """Fill the template; every text from data is escaped.

    Args:
        output: the page.
        title: its heading.
        scores: result of `evaluate road`.
        films: from `show_video`.
        partial: test videos of which only the beginning is there.
        curves: name and file of each picture.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    rows = score_rows(scores)
    shown = {key: scores[key] for key in ("evaluator", "counts", "provenance")}
    page = environment.get_template("page.html.jinja").render(
        title=title,
        rows=rows,
        columns=[name for name in rows[0]["values"] if not name.startswith("METEOR") or name == "METEOR mean"],
        films=films,
        partial=partial,
        curves=curves,
        details=json.dumps(shown, indent=1),
        **shown,
    )
    write_text(output, page + "\n")
