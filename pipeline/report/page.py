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
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from pipeline.io.atomic import write_text

METRIC = "METEOR"
"""Metric of the scores of a video."""

TrackKind = Literal["reference", "gt", "learned", "control"]
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
class PageTrack:
    """One line of the timeline, and one column of captions.

    Attributes:
        key: name in `PageVideo.events`; without spaces.
        title: what the page calls it.
        kind: decides the colour.
        shown: whether it is switched on at first.
    """

    key: str
    title: str
    kind: TrackKind
    shown: bool = True


CAPTIONS = PageTrack("captions", "Captions", "learned")
"""The only line of a page that has no references."""


@dataclass(frozen=True)
class PageVideo:
    """A video of the page.

    Attributes:
        video: id.
        file: the video file.
        events: events by key of their track; a track may be absent.
        duration: seconds; None: as the browser finds it.
        scores: METEOR in points of 100 by key of the track; None for a video without score.
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
        tracks: lines of the timeline, from above.
        videos: the videos, in any order.
        report: what only the report shows; None for captions alone.
    """

    title: str
    tracks: Sequence[PageTrack]
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
    """Return the tracks and the videos as the script reads them."""
    return {
        "metric": METRIC,
        "tracks": [vars(track) for track in page.tracks],
        "videos": [
            {
                "id": video.video,
                "file": quote(os.fsencode(Path(os.path.relpath(video.file, folder)).as_posix())),
                "duration": None if video.duration is None else round(video.duration, 3),
                "note": video.note,
                "scores": {key: None if score is None else round(score, 2) for key, score in video.scores.items()},
                "events": {key: [_describe_event(event) for event in video.events[key]] for key in video.events},
            }
            for video in page.videos
        ],
    }


def _describe_event(event: PageEvent) -> list[float | str]:
    """Return an event as a short list: there may be ten thousands."""
    score = [] if event.score is None else [round(event.score, 4)]
    return [round(event.start, 3), round(event.end, 3), event.sentence, *score]


def _policy_hash(text: str) -> str:
    """Return the hash by which a Content-Security-Policy allows a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
