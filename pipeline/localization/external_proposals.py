"""Proposals from elsewhere: read from a file, and fitted to the videos of the corpus.

The file is ActivityNet's JSON, a table (.csv), or a list in the text format of SSN (.txt).

Each proposal or video that does not fit is a row in the table of rejects, with the file as `source` and a `reason`:

    unknown_video     the video is not in the corpus; its proposals are dropped (one row per video)
    not_a_number      a time or the score is NaN or infinite; dropped
    reversed          it ends before it starts; dropped
    outside           it lies wholly before or after the video; dropped
    zero_length       it ends where it starts, in the file or after clipping; dropped
    clipped           it reaches beyond the video; clipped to the video and kept
    duplicate         the same segment again, after clipping; the one with the highest score is kept
    unknown_duration  the video has no annotated duration, so its proposals cannot be clipped; kept
    no_proposals      no proposal is left for a video of the corpus
"""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.datasets.corpus import RejectedVideo
from pipeline.errors import PipelineError
from pipeline.localization.proposal_lists import read_proposal_list
from pipeline.localization.proposals import Proposal, read_unchecked_results

COLUMNS = {
    "video": ("video", "video_id", "video-name"),
    "start": ("start", "t-start", "xmin"),
    "end": ("end", "t-end", "xmax"),
}
"""Accepted names of the columns of a table."""

FileProposal = tuple[str, Proposal]
"""A video id and a proposal as the file states them; not checked."""


class UnparsedProposal(NamedTuple):
    """One proposal of a file, before its numbers are parsed.

    Attributes:
        place: where it is in the file, for errors.
        video: id as in the file.
        start: seconds.
        end: seconds.
        score: None if the entry has none.
    """

    place: str
    video: str
    start: Any
    end: Any
    score: Any


def read_proposal_file(
    path: Path, score: str, durations: Mapping[str, float | None] | None = None
) -> Iterator[FileProposal]:
    """Read a file of proposals: a table if its name ends in .csv, a list of SSN if it ends in .txt, otherwise JSON.

    Args:
        path: the file.
        score: key or column of the score; if no proposal of the file has it, all scores are 1.
        durations: seconds, of all videos of the corpus; only lists need them, because they state no seconds.

    Raises:
        PipelineError: the file is absent or malformed, or only some of its proposals have a score; names the place.
    """
    if path.suffix == ".txt":
        if durations is None:
            raise PipelineError(f"{path}: a list has no times in seconds; convert it to JSON or to a table")
        yield from _read_list(path, durations)
        return
    entries = list((_read_table if path.suffix == ".csv" else _read_json)(path, score))
    num_scored = sum(entry.score is not None for entry in entries)
    for entry in entries:
        if entry.score is None and num_scored:
            raise PipelineError(f"{path}: {entry.place} has no {score!r}, but {num_scored} other proposals have it")
        try:
            value = 1.0 if entry.score is None else float(entry.score)
            yield entry.video, Proposal(float(entry.start), float(entry.end), value)
        except (TypeError, ValueError):
            raise PipelineError(f"{path}: {entry.place}: start, end or {score!r} is not a number") from None


def restrict_to_videos(
    file_proposals: Iterable[FileProposal], durations: Mapping[str, float | None], source: str
) -> tuple[dict[str, list[Proposal]], list[RejectedVideo]]:
    """Fit proposals to the videos of the corpus.

    Args:
        file_proposals: as in the file; ids with or without `v_`.
        durations: seconds, of all videos of the corpus.
        source: name of the file, for the rejects.

    Returns:
        Proposals by video, in time order, at least one per video; and a row for each one that was dropped or changed.
    """
    issues: list[tuple[str, str, str]] = []
    unknown_videos: Counter[str] = Counter()
    by_video: dict[str, dict[tuple[float, float], Proposal]] = {}
    for name, proposal in file_proposals:
        video = _id_in_corpus(name, durations)
        if video not in durations:
            unknown_videos[name] += 1
            continue
        clipped, reason = _clip(proposal, durations[video])
        if reason:
            issues.append((video, reason, _describe(proposal)))
        if clipped is None:
            continue
        segments = by_video.setdefault(video, {})
        earlier = segments.setdefault((clipped.start, clipped.end), clipped)
        if earlier is not clipped:
            issues.append((video, "duplicate", _describe(min(clipped, earlier))))
            segments[clipped.start, clipped.end] = max(clipped, earlier)
    issues += [(name, "unknown_video", f"{count} proposals") for name, count in unknown_videos.items()]
    issues += [(video, "no_proposals", "") for video in durations if video not in by_video]
    issues += [
        (video, "unknown_duration", f"{len(segments)} proposals")
        for video, segments in by_video.items()
        if durations[video] is None
    ]
    rejects = [RejectedVideo(video, source, reason, detail) for video, reason, detail in issues]
    return {video: sorted(segments.values()) for video, segments in sorted(by_video.items())}, rejects


def _clip(proposal: Proposal, duration: float | None) -> tuple[Proposal | None, str]:
    """Clip a proposal to its video; return it, or None if it must be dropped, with the reason (empty: it fits)."""
    if not all(map(math.isfinite, (proposal.start, proposal.end, proposal.score))):
        return None, "not_a_number"
    if proposal.end < proposal.start:
        return None, "reversed"
    video_end = math.inf if duration is None else duration
    if proposal.start > video_end or proposal.end < 0:
        return None, "outside"
    clipped = Proposal(max(proposal.start, 0.0), min(proposal.end, video_end), proposal.score)
    if clipped.start == clipped.end:
        return None, "zero_length"
    return clipped, "clipped" if clipped != proposal else ""


def _id_in_corpus(name: str, durations: Mapping[str, float | None]) -> str:
    return name if name in durations else f"v_{name}"


def _describe(proposal: Proposal) -> str:
    return f"{proposal.start:g} to {proposal.end:g} s, score {proposal.score:g}"


def _read_list(path: Path, durations: Mapping[str, float | None]) -> Iterator[FileProposal]:
    for name, segments in read_proposal_list(path):
        duration = durations.get(_id_in_corpus(name, durations), 1.0)
        if duration is None:
            raise PipelineError(
                f"{path}: video {name}: the list has times in frames, and no annotation has its duration"
            )
        for start, end in segments:
            yield name, Proposal(start * duration, end * duration, 1.0)


def _read_json(path: Path, score: str) -> Iterator[UnparsedProposal]:
    for video, entries in read_unchecked_results(path).items():
        for number, entry in enumerate(entries, 1):
            place = f"video {video}: proposal {number}"
            try:
                start, end = entry["segment"]
            except (KeyError, TypeError, ValueError):
                raise PipelineError(
                    f'{path}: {place}: expected {{"segment": [start, end], ...}}, not {entry!r}'
                ) from None
            yield UnparsedProposal(place, video, start, end, entry.get(score))


def _read_table(path: Path, score: str) -> Iterator[UnparsedProposal]:
    if not path.is_file():
        raise PipelineError(f"{path}: no such proposals")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or ()
        columns = []
        for column, names in COLUMNS.items():
            present = [name for name in names if name in header]
            if not present:
                raise PipelineError(f"{path}: has no column {column} ({' or '.join(names)}), only {', '.join(header)}")
            columns.append(present[0])
        for row in reader:
            video, start, end = (row[name] for name in columns)
            if not video:
                raise PipelineError(f"{path}: line {reader.line_num} names no video")
            yield UnparsedProposal(f"line {reader.line_num}", video, start, end, row.get(score) or None)
