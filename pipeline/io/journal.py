"""What an interrupted shard has finished, so that it need not be done again.

One line of JSON per finished video, added when its file has its final name. It stands beside the outputs of the rule,
not among them, because Snakemake deletes outputs before it runs a rule again.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256, writing


class Journal:
    """The finished videos of one shard, held by one process at a time.

    Args:
        path: the file; made when it is not there.
        identity: what all of them depend on (settings, ffmpeg, code). Those of another identity are forgotten.

    Raises:
        PipelineError: another process holds it, or it cannot be written.
    """

    def __init__(self, path: Path, identity: dict[str, str]) -> None:
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
            raise PipelineError(f"{path.parent}: another process is at work here; end it or wait for it") from None
        self._finished = self._read(identity)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # what could not be written then cannot be now
            self._file.close()

    @property
    def empty(self) -> bool:
        """Whether nothing is finished."""
        return not self._finished

    def __contains__(self, video: str) -> bool:
        return video in self._finished

    def find(self, video: str, source: str) -> dict[str, Any] | None:
        """What was written of a video, if its file is still as it was then.

        Args:
            video: id.
            source: sha256 of the raw file.
        """
        entry = self._finished.get(video)
        if entry is None or entry["source"] != source:
            return None
        made = self.path.with_name(f"{video}.mp4")
        if entry["sha256"] is not None and not (made.is_file() and sha256(made) == entry["sha256"]):
            return None
        found: dict[str, Any] = entry["outcome"]
        return found

    def add(self, video: str, source: str, outcome: dict[str, Any], *, made: bool) -> None:
        """Write that a video is finished.

        Args:
            video: id.
            source: sha256 of the raw file.
            outcome: plain data.
            made: whether `<video>.mp4` stands beside the journal.
        """
        payload = self.path.with_name(f"{video}.mp4")
        entry = {
            "video": video,
            "source": source,
            "sha256": sha256(payload) if made else None,
            "outcome": outcome,
        }
        if made:
            _flush(payload)
        self._append(entry)
        self._finished[video] = entry

    def _read(self, identity: dict[str, str]) -> dict[str, dict[str, Any]]:
        """All finished videos; what is not whole, at the end of the file, is cut off."""
        self._file.seek(0)
        entries: list[dict[str, Any]] = []
        whole = 0
        for line in self._file:
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
            if not line.endswith(b"\n"):
                entries.pop()
                break
            whole += len(line)
        if entries[:1] != [{"identity": identity}]:
            entries, whole = [], 0
        self._file.truncate(whole)
        if not entries:
            self._append({"identity": identity})
        return {entry["video"]: entry for entry in entries[1:]}

    def _append(self, entry: dict[str, Any]) -> None:
        with writing(self.path):
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())


def _flush(path: Path) -> None:
    """Have a file on the disk before it is spoken of."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
