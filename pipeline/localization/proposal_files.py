"""Proposals that somebody else made: read from ActivityNet JSON or a table, mended by stated rules, and counted.

What becomes of what does not fit (`reason` of a row in the table of rejects, whose `source` is the file):

    unknown_video     not in the corpus; its proposals are left out, one row for all of them
    not_a_number      a time or the score is NaN or infinite; left out
    reversed          ends before it starts; left out
    outside           lies wholly before the video or behind its end; left out
    zero_length       ends where it starts, as given or once it is clipped; left out
    clipped           reaches beyond the video; moved to its bounds and kept
    duplicate         the same segment again, once all are clipped; the one of the highest score is kept
    unknown_duration  nobody says how long the video is, so that its proposals cannot be clipped; kept
    no_proposals      a video of the corpus for which nothing is left
"""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.localization.proposals import Proposal, read_results

SYNONYMS = {
    "video": ("video", "video_id", "video-name"),
    "start": ("start", "t-start", "xmin"),
    "end": ("end", "t-end", "xmax"),
}
"""What a table may call its columns."""

Given = tuple[str, Proposal]
"""Id as the file has it, and what it says; not checked."""


def read_given(path: Path, score: str) -> Iterator[Given]:
    """Read a file of proposals (JSON, or a table if its name ends in .csv) as it stands.

    Args:
        path: the file.
        score: the key or column of the score; where no proposal of the file has it, all scores are 1.

    Raises:
        PipelineError: absent or malformed, or some proposals have a score and others none; names the place.
    """
    rows = list((_from_table if path.suffix == ".csv" else _from_json)(path, score))
    scored = sum(given is not None for *_, given in rows)
    for place, video, start, end, given in rows:
        if given is None and scored:
            raise PipelineError(f"{path}: {place} has no {score!r}, which {scored} other proposals have")
        try:
            yield video, Proposal(float(start), float(end), 1.0 if given is None else float(given))
        except (TypeError, ValueError):
            raise PipelineError(f"{path}: {place}: start, end or {score!r} is not a number") from None


def admit(
    given: Iterable[Given], durations: Mapping[str, float | None], source: str
) -> tuple[dict[str, list[Proposal]], list[dict[str, Any]]]:
    """Proposals that fit the videos, by video and in time order, and a row for whatever did not, or had to be mended.

    Args:
        given: as the file says; ids with or without `v_`.
        durations: seconds, of all videos of the corpus.
        source: what the rows are to name as the file.

    Returns:
        Videos with at least one proposal, and rows of `pipeline.datasets.corpus.REJECTS`.
    """
    told: list[tuple[str, str, str]] = []
    strangers: Counter[str] = Counter()
    best: dict[str, dict[tuple[float, float], Proposal]] = {}
    for name, one in given:
        video = name if name in durations else f"v_{name}"
        if video not in durations:
            strangers[name] += 1
            continue
        kept, reason = _mended(one, durations[video])
        if reason:
            told.append((video, reason, _said(one)))
        if kept is None:
            continue
        segments = best.setdefault(video, {})
        other = segments.setdefault((kept.start, kept.end), kept)
        if other is not kept:
            told.append((video, "duplicate", _said(min(kept, other))))
            segments[kept.start, kept.end] = max(kept, other)
    told += [(name, "unknown_video", f"{count} proposals") for name, count in strangers.items()]
    told += [(video, "no_proposals", "") for video in durations if video not in best]
    told += [
        (video, "unknown_duration", f"{len(found)} proposals")
        for video, found in best.items()
        if durations[video] is None
    ]
    rows = [{"video": video, "source": source, "reason": reason, "detail": detail} for video, reason, detail in told]
    return {video: sorted(segments.values()) for video, segments in sorted(best.items())}, rows


def _mended(one: Proposal, duration: float | None) -> tuple[Proposal | None, str]:
    """A proposal within its video, None if it cannot be; and what was wrong with it, if anything was."""
    if not all(map(math.isfinite, (one.start, one.end, one.score))):
        return None, "not_a_number"
    if one.end < one.start:
        return None, "reversed"
    last = math.inf if duration is None else duration
    if one.start > last or one.end < 0:
        return None, "outside"
    kept = Proposal(max(one.start, 0.0), min(one.end, last), one.score)
    if kept.start == kept.end:
        return None, "zero_length"
    return kept, "clipped" if kept != one else ""


def _said(one: Proposal) -> str:
    return f"{one.start:g} to {one.end:g} s, score {one.score:g}"


Row = tuple[str, str, Any, Any, Any]
"""Place in the file, video, start, end, and the score or None."""


def _from_json(path: Path, score: str) -> Iterator[Row]:
    for video, found in read_results(path).items():
        for number, entry in enumerate(found, 1):
            place = f"video {video}: proposal {number}"
            try:
                start, end = entry["segment"]
            except (KeyError, TypeError, ValueError):
                raise PipelineError(
                    f'{path}: {place}: expected {{"segment": [start, end], ...}}, not {entry!r}'
                ) from None
            yield place, video, start, end, entry.get(score)


def _from_table(path: Path, score: str) -> Iterator[Row]:
    if not path.is_file():
        raise PipelineError(f"{path}: no such proposals")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        there = reader.fieldnames or ()
        columns = []
        for wanted, names in SYNONYMS.items():
            known = [name for name in names if name in there]
            if not known:
                raise PipelineError(f"{path}: has no column {wanted} ({' or '.join(names)}), only {', '.join(there)}")
            columns.append(known[0])
        for row in reader:
            video, start, end = (row[name] for name in columns)
            if not video:
                raise PipelineError(f"{path}: line {reader.line_num} names no video")
            yield f"line {reader.line_num}", video, start, end, row.get(score) or None
