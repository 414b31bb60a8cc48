"""Captioning many videos: what an earlier run has finished is not done again, and each video's files come at once."""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bundle.events import EventCaption, EventLimits
from pipeline.bundle.features import VideoFeatures
from pipeline.bundle.model import CaptionRow, Model
from pipeline.bundle.outputs import CaptionFiles
from pipeline.bundle.proposal_file import ProposalFile
from pipeline.config.extractors import PassSettings
from pipeline.evaluation.predictions import read_predictions
from pipeline.features.extraction.sources import FileHashes, VideoSource
from pipeline.features.extraction.windows import Rejection
from pipeline.features.extraction.writer import TRANSIENT_REASONS
from pipeline.io.atomic import sha256, write_json
from pipeline.io.journal import Journal
from pipeline.io.progress import Progress
from pipeline.provenance.code_hash import code_hash
from pipeline.report.page import CAPTIONS, Page, PageEvent, PageVideo, write_page
from pipeline.video.decode import DecodeError
from pipeline.video.media_streams import read_declared_duration

STATE = ".captions"
"""Folder of the journals, in the output folder."""

PROBE_TIMEOUT_S = 30.0
"""Longest time to wait for the declared duration of a file, which only the progress needs."""

Outcome = list[CaptionRow] | Rejection
"""The captions of a video, maybe none, or why it has none."""


@dataclass(frozen=True)
class CaptionTask:
    """What to caption, and how.

    Attributes:
        sources: the videos.
        files: the files to write.
        limits: how many events are captioned, and of which score.
        proposals: times of the events; None: the model's proposer finds them.
        options: settings of the pass over the videos.
    """

    sources: Sequence[VideoSource]
    files: CaptionFiles
    limits: EventLimits
    proposals: ProposalFile | None
    options: PassSettings

    def fingerprint(self, model: Model) -> dict[str, str]:
        """Return everything but the videos that decides the captions."""
        events = "" if self.proposals is None else sha256(self.proposals.path)
        limits = json.dumps([self.limits.top, self.limits.min_score])
        return {"model": model.digest, "events": events, "limits": limits, "code": code_hash("pipeline.bundle.run")}


def caption_videos(model: Model, task: CaptionTask, *, overwrite: bool) -> dict[str, Outcome]:
    """Caption videos and write all files; log the speed.

    Args:
        model: the model.
        task: what to caption.
        overwrite: replace files that another run wrote, or somebody else.

    Returns:
        the outcome of each video.

    Raises:
        PipelineError: a file to write exists already; another process writes there; the disk is full.
    """
    fingerprint = task.fingerprint(model)
    name = hashlib.sha256(json.dumps(fingerprint).encode()).hexdigest()[:16]
    path = task.files.folder / STATE / f"{name}.jsonl"
    if not overwrite and not path.is_file():
        task.files.check_new([source.video for source in task.sources])
    hashes = FileHashes()
    with Journal(path, fingerprint) as journal:
        others = _read_other_videos(task) if not journal.is_empty else {}
        outcomes = _read_finished(journal, task.sources, hashes)
        new = [source for source in task.sources if source.video not in outcomes]
        if overwrite:
            _forget_other_runs(path)
        else:
            # A video that the journal lists, and that is new, has changed since: its files are ours.
            task.files.check_new([source.video for source in new if source.video not in journal], shared=False)
        if outcomes:
            logging.info("%d of %d videos were captioned by an earlier run", len(outcomes), len(task.sources))
        for video, outcome in outcomes.items():
            _write_files(model, task.files, video, outcome)
        for source, outcome in _caption_new(model, task, new):
            digest = hashes.of_video(source)
            if digest is None and not isinstance(outcome, Rejection):
                outcome = Rejection("unreadable", hashes.read_error(source))
            if source.video in journal:
                task.files.remove_video(source.video)
            # The journal comes first: the files of a video that it lists are ours, and can be written again.
            if digest is not None and not _is_transient(outcome):
                journal.add(source.video, digest, _to_json(outcome), has_file=False)
            outcomes[source.video] = outcome
            _write_files(model, task.files, source.video, outcome)
        results = {video: outcome for video, outcome in outcomes.items() if not isinstance(outcome, Rejection)}
        write_json(task.files.captions, model.submission(dict(sorted((others | results).items()))))
        task.files.write_rejects(list_rejects(outcomes))
        if task.files.has_page:
            videos = [_page_video(source, outcomes[source.video]) for source in task.sources]
            write_page(Page("Captions", [CAPTIONS], videos), task.files.page)
    return outcomes


def _read_other_videos(task: CaptionTask) -> dict[str, list[CaptionRow]]:
    """Return the captions that an earlier run with the same settings wrote for other videos."""
    if not task.files.captions.is_file():
        return {}
    videos = {source.video for source in task.sources}
    results = read_predictions(task.files.captions).results
    return {video: rows for video, rows in results.items() if video not in videos}


def _forget_other_runs(path: Path) -> None:
    """Remove the journals of runs with other settings, whose files are replaced now."""
    for journal in path.parent.glob("*.jsonl"):
        if journal != path:
            journal.unlink()


def list_rejects(outcomes: dict[str, Outcome]) -> list[tuple[str, Rejection]]:
    """Return the videos without captions, sorted by id."""
    return [(video, outcome) for video, outcome in sorted(outcomes.items()) if isinstance(outcome, Rejection)]


def _write_files(model: Model, files: CaptionFiles, video: str, outcome: Outcome) -> None:
    if not isinstance(outcome, Rejection):
        files.write_video(video, [EventCaption.from_row(row, model.description.captioners) for row in outcome])


def _page_video(source: VideoSource, outcome: Outcome) -> PageVideo:
    if isinstance(outcome, Rejection):
        return PageVideo(source.video, source.path, {}, note=f"no captions: {outcome.reason}")
    events = [
        PageEvent(row["timestamp"][0], row["timestamp"][1], row["sentence"], row["proposal_score"]) for row in outcome
    ]
    return PageVideo(source.video, source.path, {CAPTIONS.key: events})


def _caption_new(
    model: Model, task: CaptionTask, sources: Sequence[VideoSource]
) -> Iterator[tuple[VideoSource, Outcome]]:
    """Yield the outcome of each video."""
    file = task.proposals
    pending = [source for source in sources if file is None or source.video in file]
    for source in sources:
        if file is not None and source.video not in file:
            yield source, Rejection("no_proposals", f"{source.path}: {file.path} names no event of it")
    if not pending:
        return
    progress = _VideoProgress(pending)
    start_s, captioning_s, video_s = time.monotonic(), 0.0, 0.0
    extracted = model.extract(pending, task.options, needs_events=file is None, count_rows=progress.count)
    for source, result in extracted:
        extracted_s = time.monotonic()
        outcome: Outcome = result if isinstance(result, Rejection) else _caption(model, task, result)
        captioning_s += time.monotonic() - extracted_s
        video_s += 0.0 if isinstance(result, Rejection) else result.duration
        yield source, outcome
        progress.finish(source)
    elapsed = time.monotonic() - start_s
    logging.info(
        "%d videos of %.0f s in %.1f s: %.1fx real time; proposals and captions took %.0f %% of it",
        *(len(pending), video_s, elapsed, video_s / elapsed, 100 * captioning_s / elapsed),
    )


def _caption(model: Model, task: CaptionTask, features: VideoFeatures) -> list[CaptionRow]:
    video = features.source.video
    proposals = None if task.proposals is None else task.proposals.of_video(video, features.duration)
    rows = model.caption_video(features, task.options, proposals, task.limits)
    if not rows:
        limit = "" if task.limits.min_score is None else f" with a score of at least {task.limits.min_score:g}"
        logging.info("%s: no event%s; its files are empty", video, limit)
    return rows


def _is_transient(outcome: Outcome) -> bool:
    return isinstance(outcome, Rejection) and outcome.reason in TRANSIENT_REASONS


def _to_json(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Rejection):
        return {"reason": outcome.reason, "detail": outcome.detail}
    return {"captions": outcome}


def _read_finished(journal: Journal, sources: Sequence[VideoSource], hashes: FileHashes) -> dict[str, Outcome]:
    """Return the outcomes of the videos that an earlier run has finished, and that have not changed since."""
    outcomes: dict[str, Outcome] = {}
    for source in sources:
        digest = hashes.of_video(source) if source.video in journal else None
        entry = None if digest is None else journal.find(source.video, digest)
        if entry is not None:
            is_captioned = "captions" in entry
            outcomes[source.video] = entry["captions"] if is_captioned else Rejection(entry["reason"], entry["detail"])
    return outcomes


class _VideoProgress:
    """Progress through videos of any length: a part of a video counts as its share of the size of all files."""

    def __init__(self, sources: Sequence[VideoSource]) -> None:
        self._sizes = {source.video: max(1, _size_of(source.path) // 1_000_000) for source in sources}
        self._progress = Progress("MB of video", sum(self._sizes.values()))
        self._durations: dict[str, float] = {}
        self._seconds = 0.0
        self._counted = 0

    def count(self, source: VideoSource, seconds: float) -> None:
        """Count some seconds of a video."""
        if source.video not in self._durations:
            self._durations[source.video], self._seconds = _declared_duration(source.path), 0.0
        self._seconds += seconds
        duration = self._durations[source.video]
        if duration > 0:
            share = min(1.0, self._seconds / duration)
            self._advance(int(share * self._sizes[source.video]))

    def finish(self, source: VideoSource) -> None:
        """Count the rest of a video."""
        self._advance(self._sizes[source.video])
        self._counted = 0

    def _advance(self, size: int) -> None:
        if size > self._counted:
            self._progress.step(size - self._counted)
            self._counted = size


def _size_of(path: Path) -> int:
    with contextlib.suppress(OSError):  # the video is rejected when it is read
        return path.stat().st_size
    return 0


def _declared_duration(path: Path) -> float:
    """Return the duration that a file declares [s]; 0 if it declares none."""
    with contextlib.suppress(DecodeError, OSError):  # as above
        return read_declared_duration(path, PROBE_TIMEOUT_S)
    return 0.0
