"""Foreground and background segments of videos: what clips are drawn from (TSP, section 3.3)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.encoders.losses import NO_ACTION


@dataclass(frozen=True)
class Segment:
    """A stretch of a video, all of one kind.

    Attributes:
        video: id.
        start: seconds.
        end: seconds, after `start`.
        action: class, or NO_ACTION for background.
    """

    video: str
    start: float
    end: float
    action: int


def action_segments(
    rows: Iterable[Mapping[str, Any]], durations: Mapping[str, float], labels: list[str]
) -> list[Segment]:
    """Action segments of the given videos, cut to what the video really holds; empty ones are left out.

    Args:
        rows: of the corpus' table `SEGMENTS`; those without label are passed over.
        durations: seconds of each video that is used; segments of other videos are left out.
        labels: the classes; a class is its position.
    """
    ids = {label: number for number, label in enumerate(labels)}
    return [
        Segment(row["video"], *inside, ids[row["label"]])
        for row in rows
        if row["label"] is not None and (inside := _inside(row, durations))
    ]


def given_background(rows: Iterable[Mapping[str, Any]], durations: Mapping[str, float]) -> list[Segment]:
    """The background that the annotations state, cut likewise.

    Args:
        rows: of the corpus' table `SEGMENTS`; those with a label are passed over.
        durations: as for `action_segments`.
    """
    return [
        Segment(row["video"], *inside, NO_ACTION)
        for row in rows
        if row["label"] is None and (inside := _inside(row, durations))
    ]


def _inside(row: Mapping[str, Any], durations: Mapping[str, float]) -> tuple[float, float] | None:
    """Times of a row inside its video; None where the video is not used, or nothing is left."""
    duration = durations.get(row["video"])
    if duration is None:
        return None
    start, end = max(0.0, row["start"]), min(duration, row["end"])
    return (start, end) if start < end else None


def background_segments(actions: Iterable[Segment], durations: Mapping[str, float], min_gap: float) -> list[Segment]:
    """The complement of the union of each video's action segments, gaps of at least `min_gap` seconds.

    Videos without any action segment have none: that nobody annotated an action does not make them
    background.
    """
    by_video: dict[str, list[Segment]] = {}
    for segment in actions:
        by_video.setdefault(segment.video, []).append(segment)
    gaps = []
    for video, segments in by_video.items():
        reached = 0.0
        for segment in sorted(segments, key=lambda segment: segment.start):
            gaps.append(Segment(video, reached, segment.start, NO_ACTION))
            reached = max(reached, segment.end)
        gaps.append(Segment(video, reached, durations[video], NO_ACTION))
    return [gap for gap in gaps if gap.end - gap.start >= min_gap]


def long_enough(segments: Iterable[Segment], seconds: float) -> list[Segment]:
    """Those that hold a whole clip of so many seconds."""
    return [segment for segment in segments if segment.end - segment.start >= seconds - _ROUNDING]


_ROUNDING = 1e-9
"""Seconds by which a difference of two decimal times may miss the clip's length."""
