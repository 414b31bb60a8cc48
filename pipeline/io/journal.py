"""The journal of a shard: which videos are finished, so that an interrupted run continues instead of starting again.

One line of JSON per finished video, appended after its file has its final name. The journal is not an output of the
rule, because Snakemake deletes outputs before it runs a rule again.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io.atomic import flush, reporting_disk_errors, sha256


class Journal:
    """The finished videos of one shard. One process at a time can open it.

    Args:
        path: the journal file; created if absent.
        fingerprint: whatever decides the results (settings, ffmpeg version, code hash). Entries of a journal with
            another fingerprint are discarded.

    Raises:
        PipelineError: another process has it open, or it cannot be written.
    """

    def __init__(self, path: Path, fingerprint: dict[str, str]) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+")
        except OSError as error:
            raise PipelineError(f"{path}: cannot be written ({error.strerror})") from None
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise PipelineError(f"{path.parent}: another process is working in this folder; stop it or wait") from None
        self._finished = self._read(fingerprint)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # an error was already raised when the line was written
            self._file.close()

    @property
    def is_empty(self) -> bool:
        """Whether no video is finished."""
        return not self._finished

    def __contains__(self, video: str) -> bool:
        return video in self._finished

    def find(self, video: str, source: str) -> dict[str, Any] | None:
        """Return the outcome of a finished video, or None if it must be processed again.

        The source and the output file must be unchanged since then.

        Args:
            video: id.
            source: sha256 of the raw file.
        """
        entry = self._finished.get(video)
        if entry is None or entry["source"] != source:
            return None
        file = self.path.with_name(f"{video}.mp4")
        if entry["sha256"] is not None and not (file.is_file() and sha256(file) == entry["sha256"]):
            return None
        outcome: dict[str, Any] = entry["outcome"]
        return outcome

    def add(self, video: str, source: str, outcome: dict[str, Any], *, has_file: bool) -> None:
        """Record that a video is finished.

        Args:
            video: id.
            source: sha256 of the raw file.
            outcome: JSON data that `find` returns.
            has_file: whether `<video>.mp4` was written next to the journal.
        """
        file = self.path.with_name(f"{video}.mp4")
        entry = {
            "video": video,
            "source": source,
            "sha256": sha256(file) if has_file else None,
            "outcome": outcome,
        }
        if has_file:
            flush(file)
        self._append(entry)
        self._finished[video] = entry

    def _read(self, fingerprint: dict[str, str]) -> dict[str, dict[str, Any]]:
        """Return the entries by video id. An incomplete last line, of a killed run, is truncated."""
        self._file.seek(0)
        entries: list[dict[str, Any]] = []
        complete_bytes = 0
        for line in self._file:
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
            if not line.endswith(b"\n"):
                entries.pop()
                break
            complete_bytes += len(line)
        if entries[:1] != [{"fingerprint": fingerprint}]:
            entries, complete_bytes = [], 0
        self._file.truncate(complete_bytes)
        if not entries:
            self._append({"fingerprint": fingerprint})
        return {entry["video"]: entry for entry in entries[1:]}

    def _append(self, entry: dict[str, Any]) -> None:
        with reporting_disk_errors(self.path):
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
