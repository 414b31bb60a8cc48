"""Writing the results of a pass: one shard per feature, and a table of the rejected videos beside it."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.config.base import Settings
from pipeline.config.extractors import Tail
from pipeline.datasets.corpus import RejectedVideo
from pipeline.errors import PipelineError
from pipeline.features.extraction.extractor_pass import ExtractedVideoFeature
from pipeline.features.extraction.sources import FileHashes, VideoSource
from pipeline.features.extraction.windows import Rejection
from pipeline.features.networks.base import Extractor
from pipeline.features.shard import Item, write_shard
from pipeline.io.atomic import reporting_disk_errors
from pipeline.io.journal import Journal
from pipeline.io.tables import read_rows, write_rows
from pipeline.provenance.code_hash import code_hash
from pipeline.provenance.record import read_record, record_path

STAGE = "extract_features"
REJECTS = "rejects.parquet"
JOURNAL, BUFFER = "finished.jsonl", "finished.rows"
GROUP_SIZE = 8
"""Videos whose windows share batches. A run that was stopped has finished all videos of a group, or none."""
TRANSIENT_REASONS = ("timeout", "killed")
"""Reasons that depend on the machine: such videos are tried again in the next run."""


@dataclass(frozen=True)
class _Entry:
    """What the journal holds of one video.

    Attributes:
        duration: seconds.
        offset: position of the feature rows in the buffer file, bytes.
        num_rows: feature rows.
        padded: the video is shorter than one window.
        reason: why the video is rejected; None if it is not.
        detail: what exactly is wrong.
    """

    duration: float
    offset: int = 0
    num_rows: int = 0
    padded: bool = False
    reason: str | None = None
    detail: str = ""


class FeatureWriter:
    """Writer of one feature; a context manager.

    Feature rows wait in a buffer file beside the manifest, not in memory, and a journal lists the videos that they
    belong to: a run that was stopped continues where it was. Both files are removed when the shard is written.

    Args:
        manifest: manifest to write; the other files go beside it.
        extractor: extractor of the feature.
        fingerprint: what the feature depends on besides the videos; a journal of another fingerprint is discarded.

    Raises:
        PipelineError: the folder is not writable, or another process writes there.
    """

    def __init__(self, manifest: Path, extractor: Extractor, fingerprint: dict[str, str]) -> None:
        self.manifest = manifest
        self.num_rows = 0
        """Feature rows added by this run."""
        self._extractor = extractor
        self._entries: dict[str, _Entry] = {}
        self._journal = Journal(manifest.parent / JOURNAL, fingerprint)
        try:
            self._buffer = (manifest.parent / BUFFER).open("ab+")
            if self._journal.is_empty:
                self._buffer.truncate(0)
        except OSError as error:
            self._journal.__exit__(None, None, None)
            raise PipelineError(f"{manifest}: cannot be written ({error.strerror})") from None

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # an error was already raised when the rows were written
            self._buffer.close()
        self._journal.__exit__(None, None, None)

    @property
    def rejects(self) -> list[RejectedVideo]:
        """Videos that have no such feature, and why."""
        return [
            RejectedVideo(video=video, source=STAGE, reason=entry.reason, detail=entry.detail)
            for video, entry in self._entries.items()
            if entry.reason is not None
        ]

    def resume(self, group: Sequence[VideoSource], hashes: FileHashes) -> bool:
        """Take over a group of videos from the journal of an earlier run; return whether it holds all of them.

        Args:
            group: the videos.
            hashes: hashes of their files; a file is read only if the journal lists its video.
        """
        size = os.fstat(self._buffer.fileno()).st_size
        entries: dict[str, _Entry] = {}
        for source in group:
            digest = hashes.of_video(source) if source.video in self._journal else None
            outcome = None if digest is None else self._journal.find(source.video, digest)
            if outcome is None:
                return False
            entry = _Entry(**outcome)
            if entry.offset + self._nbytes(entry.num_rows) > size:
                return False
            entries[source.video] = entry
        self._entries |= entries
        return True

    def add(self, source: VideoSource, result: ExtractedVideoFeature | Rejection, digest: str | None) -> None:
        """Add the result of one video. NaN or infinite features reject the video.

        Args:
            source: the video.
            result: its features, or why it has none.
            digest: sha256 of its file; None if the file cannot be read.
        """
        if isinstance(result, ExtractedVideoFeature) and not np.isfinite(result.rows).all():
            result = Rejection("not_finite", f"{source.path}: the network returns NaN or infinite features")
        if isinstance(result, Rejection):
            # The duration of a raw video that cannot be read is not known.
            duration = source.reencoded.duration if source.reencoded else 0.0
            entry = _Entry(duration, reason=result.reason, detail=result.detail)
        else:
            offset = self._append(result.rows)
            entry = _Entry(result.duration, offset, len(result.rows), result.padded)
            self.num_rows += len(result.rows)
        self._entries[source.video] = entry
        if digest is not None and entry.reason not in TRANSIENT_REASONS:
            self._journal.add(source.video, digest, asdict(entry), has_file=False)

    def write(self, tail: Tail, shards: int | None) -> None:
        """Write the table of rejected videos and the shard, its manifest last.

        Args:
            tail: as for `feature_metadata`.
            shards: number of shards of the feature, if it is known.
        """
        self._entries = dict(sorted(self._entries.items()))
        write_rows(self.manifest.parent / REJECTS, self.rejects, RejectedVideo)
        record_path(self.manifest).unlink(missing_ok=True)  # a kill must not leave the old record beside the new shard
        write_shard(
            self.manifest,
            self._items(),
            dim=self._extractor.dim,
            grid=self._extractor.grid,
            metadata=feature_metadata(self._extractor, tail),
            padded={video for video, entry in self._entries.items() if entry.padded},
            num_shards=shards,
        )

    def _append(self, rows: Float[np.ndarray, "rows dim"]) -> int:
        """Append feature rows to the buffer file, and fsync before the journal lists them; return their offset."""
        with reporting_disk_errors(self.manifest):
            offset = self._buffer.seek(0, os.SEEK_END)
            self._buffer.write(np.ascontiguousarray(rows, dtype=np.float32).tobytes())
            self._buffer.flush()
            os.fsync(self._buffer.fileno())
        return offset

    def _nbytes(self, num_rows: int) -> int:
        return num_rows * self._extractor.dim * 4

    def _items(self) -> Iterator[Item]:
        for video, entry in self._entries.items():
            if entry.reason is not None:
                yield video, entry.duration, entry.reason
                continue
            self._buffer.seek(entry.offset)
            data = self._buffer.read(self._nbytes(entry.num_rows))
            yield video, entry.duration, np.frombuffer(data, dtype=np.float32).reshape(-1, self._extractor.dim)


def remove_resume_files(manifest: Path) -> None:
    """Remove the journal and the buffer file beside a manifest; a finished feature needs neither."""
    for name in (JOURNAL, BUFFER):
        (manifest.parent / name).unlink(missing_ok=True)


def feature_metadata(extractor: Extractor, tail: Tail) -> dict[str, Any]:
    """Return what the manifest states about a feature.

    Args:
        extractor: of the feature.
        tail: what was done with the ends of videos that fill no whole window.
    """
    return {"feature": extractor.name, **extractor.metadata, "tail": tail}


def feature_fingerprint(extractor: Extractor, tail: Tail, section: Settings) -> dict[str, str]:
    """Return what a feature depends on besides the videos: extractor, settings and code."""
    feature = json.dumps([asdict(extractor.grid), feature_metadata(extractor, tail)], sort_keys=True)
    return {"feature": feature, "settings": section.digest(), "code": code_hash(f"pipeline.{STAGE}")}


def pending_groups(
    writers: Sequence[FeatureWriter], sources: Sequence[VideoSource], hashes: FileHashes
) -> dict[tuple[int, ...], list[Sequence[VideoSource]]]:
    """Return the groups of videos that are not finished, by the indices of the writers that need them.

    Windows of one group share batches. A group is finished as a whole or not at all, so that every batch is the same as
    in a run that was not stopped, and the features are equal to the last bit.
    """
    groups: dict[tuple[int, ...], list[Sequence[VideoSource]]] = {}
    num_resumed = 0
    for first in range(0, len(sources), GROUP_SIZE):
        group = sources[first : first + GROUP_SIZE]
        indices = tuple(index for index, writer in enumerate(writers) if not writer.resume(group, hashes))
        if indices:
            groups.setdefault(indices, []).append(group)
        else:
            num_resumed += len(group)
    if num_resumed:
        logging.info("%d of %d videos were finished by an earlier run", num_resumed, len(sources))
    return groups


def read_rejects(manifest: Path) -> list[RejectedVideo]:
    """Read the rejected videos of a finished feature."""
    return read_rows(manifest.parent / REJECTS, RejectedVideo)


def check_up_to_date(manifest: Path, section: Settings, inputs: Mapping[Path, str]) -> None:
    """Check that an existing feature was made with the same settings and code from the same files.

    Args:
        manifest: manifest of the feature.
        section: the settings.
        inputs: the files, with their sha256.

    Raises:
        PipelineError: it was made in another way; names the difference.
    """
    record = read_record(manifest)
    advice = "give another --output, or --overwrite"
    if record is None:
        raise PipelineError(f"{manifest}: already exists without a provenance record; {advice}")
    differences = {
        "by another stage": record.stage != STAGE,
        "by another version of the code": record.code != code_hash(f"pipeline.{STAGE}"),
        "with other settings": record.config_digest != section.digest(),
        "from other files": _normalised(record.inputs) != _normalised(inputs),
    }
    difference = next((text for text, differs in differences.items() if differs), None)
    if difference:
        raise PipelineError(f"{manifest}: already exists, made {difference}; {advice}")


def _normalised(inputs: Mapping[Path, str]) -> dict[str, str]:
    """Make the paths of inputs absolute and remove `.` and `..`; links are not followed."""
    return {os.path.normpath(path.absolute()): digest for path, digest in inputs.items()}
