"""The page: a player, a timeline and a list of videos in one HTML file, which works from a disk without network.

The rule `write_report` adds scores and training curves to it. Captions alone need no more than:

    events = {CAPTIONS.key: [PageEvent(2.4, 5.6, "A man runs.", score=0.87)]}
    write_page(Page("My videos", [CAPTIONS], [PageVideo("my", Path("my.mp4"), events)]), Path("captions/index.html"))

The file holds all captions, but no video: the browser loads only the one that is selected. Videos are named by their
paths relative to the page. The page's policy forbids the browser to load anything from elsewhere, and all text from
data is escaped.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from pipeline.io.atomic import write_text

METRIC = "METEOR"
"""Metric of the scores of a video."""

CaptionKind = Literal["reference", "gt", "learned", "control"]
"""Where events come from: annotators, ground-truth proposals, learned proposals, another video's features."""


@dataclass(frozen=True)
class PageEvent:
    """An event of a video and its caption.

    Attributes:
        start: seconds.
        end: seconds.
        sentence: the caption.
        score: score of the proposal; None if there is none.
    """

    start: float
    end: float
    sentence: str
    score: float | None = None


@dataclass(frozen=True)
class CaptionSet:
    """The captions of one source: a line of the timeline, and a column below it.

    Attributes:
        key: name in `PageVideo.events`; without spaces.
        title: what the page calls it.
        kind: decides the colour.
        visible: whether it is switched on at first.
    """

    key: str
    title: str
    kind: CaptionKind
    visible: bool = True


CAPTIONS = CaptionSet("captions", "Captions", "learned")
"""The only set of a page that has no references."""


@dataclass(frozen=True)
class PageVideo:
    """A video of the page.

    Attributes:
        video: id.
        file: the video file.
        events: events by key of their set of captions; a set may be absent.
        duration: seconds; None: as the browser finds it.
        scores: METEOR in points of 100 by key of a set; None for a video without score.
        note: what is special about it, for example its damage.
    """

    video: str
    file: Path
    events: Mapping[str, Sequence[PageEvent]]
    duration: float | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class PageReport:
    """What only the report shows.

    Attributes:
        scores: result of `evaluate dataset`.
        score_rows: rows of the score table.
        num_partial: number of test videos of which only the beginning could be decoded.
        curves: name and file of each picture of training curves.
    """

    scores: dict[str, Any]
    score_rows: list[dict[str, Any]]
    num_partial: int
    curves: list[dict[str, str]]

    @property
    def columns(self) -> list[str]:
        """Columns of the score table that the page shows: of METEOR only the mean."""
        names = self.score_rows[0]["values"]
        return [name for name in names if not name.startswith(METRIC) or name == f"{METRIC} mean"]


@dataclass(frozen=True)
class Page:
    """Content of the page.

    Attributes:
        title: heading.
        caption_sets: the sets of captions, from above.
        videos: the videos, in any order.
        report: what only the report shows; None for captions alone.
    """

    title: str
    caption_sets: Sequence[CaptionSet]
    videos: Sequence[PageVideo]
    report: PageReport | None = None


def evenly_spaced(names: Sequence[str], count: int | None) -> list[str]:
    """Return `count` of the names, evenly spaced in their order; all names if there are fewer, or for None."""
    if count is None or count >= len(names):
        return list(names)
    return [names[index * len(names) // count] for index in range(count)]


def write_page(page: Page, output: Path) -> None:
    """Write the page; text from data is escaped by the template, and stays text in the script.

    Args:
        page: the content.
        output: the HTML file; its folder decides the paths of the videos.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    style, script = (environment.get_template(f"page.{suffix}.jinja").render() for suffix in ("css", "js"))
    details = {key: page.report.scores[key] for key in ("evaluator", "counts", "provenance")} if page.report else {}
    html = environment.get_template("page.html.jinja").render(
        title=page.title,
        report=page.report,
        columns=page.report.columns if page.report else [],
        details=json.dumps(details, indent=1),
        data=_describe_data(page, output.parent),
        style=Markup(style),  # noqa: S704  # both are files of this project, without data
        style_hash=_policy_hash(style),
        script=Markup(script),  # noqa: S704
        script_hash=_policy_hash(script),
        **details,
    )
    write_text(output, html + "\n")


def _describe_data(page: Page, folder: Path) -> dict[str, Any]:
    """Return the sets of captions and the videos as the script reads them."""
    return {
        "metric": METRIC,
        "captionSets": [vars(caption_set) for caption_set in page.caption_sets],
        "videos": [
            {
                "id": video.video,
                "file": _describe_address(video.file, folder),
                "duration": None if video.duration is None else round(video.duration, 3),
                "note": video.note,
                "scores": {key: None if score is None else round(score, 2) for key, score in video.scores.items()},
                "events": {key: _describe_events(events) for key, events in video.events.items()},
            }
            for video in page.videos
        ],
    }


def _describe_address(file: Path, folder: Path) -> str:
    """Return the address of a file relative to a folder, with all special characters encoded."""
    return Path("/", os.path.relpath(file, folder)).as_uri().removeprefix("file:///")


def _describe_events(events: Sequence[PageEvent]) -> list[list[float | str]]:
    """Return events in time order, each as a short list: there may be ten thousands."""
    rows = []
    for event in sorted(events, key=lambda event: (event.start, event.end)):
        row: list[float | str] = [round(event.start, 3), round(event.end, 3), event.sentence]
        rows.append(row if event.score is None else [*row, round(event.score, 4)])
    return rows


def _policy_hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy allows a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
