"""What a pass leaves: the features' shards, and beside each a table of the videos that have none."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.config.base import Settings
from pipeline.datasets.corpus import REJECTS
from pipeline.errors import PipelineError
from pipeline.features.combined import Item, write_features
from pipeline.features.extraction.digests import Digests
from pipeline.features.extraction.extractor_pass import Made
from pipeline.features.extraction.sources import Source
from pipeline.features.extraction.window_reader import Reason, Tail
from pipeline.features.networks.base import Extractor
from pipeline.io.atomic import read_json, writing
from pipeline.io.journal import Journal
from pipeline.io.tables import read_table, write_table
from pipeline.provenance.code_hash import stamp
from pipeline.provenance.record import beside

TABLE = "rejects.parquet"
FINISHED, WAITING = "finished.jsonl", "finished.rows"
TOGETHER = 8
"""Videos whose clips share batches, and which a run that was stopped has finished together or not at all."""
BY_CHANCE = ("timeout",)
"""Reasons that depend on the machine: such videos are tried again."""


class Output:
    """One feature on its way to disk, in a `with` block.

    Rows wait in a file beside the manifest, not in memory, and `finished.jsonl` says whose they are: a run that was
    stopped goes on where it was. Both are gone when the shard is written.

    Args:
        manifest: to be written; the payloads stand beside it.
        extractor: whose feature it is.
        stage: that rejects videos.
        identity: what the feature depends on besides the videos; rows of another one are forgotten.

    Raises:
        PipelineError: nothing can be written there, or another process does.
    """

    def __init__(self, manifest: Path, extractor: Extractor, stage: str, identity: dict[str, str]) -> None:
        self.manifest = manifest
        self.rows = 0
        self._extractor, self._stage = extractor, stage
        self._index: dict[str, dict[str, Any]] = {}
        self._journal = Journal(manifest.parent / FINISHED, identity)
        try:
            self._file = (manifest.parent / WAITING).open("ab+")
            if self._journal.empty:
                self._file.truncate(0)
        except OSError as error:
            self._journal.__exit__(None, None, None)
            raise PipelineError(f"{manifest}: cannot be written ({error.strerror})") from None

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what could not be written then cannot be now
            self._file.close()
        self._journal.__exit__(None, None, None)

    @property
    def rejects(self) -> list[dict[str, str]]:
        """Videos that have no such feature, and why."""
        return [
            {"video": video, "source": self._stage, "reason": row["reason"], "detail": row["detail"]}
            for video, row in self._index.items()
            if row["reason"] is not None
        ]

    def resume(self, group: Sequence[Source], digests: Digests) -> bool:
        """Take over what an earlier run made of a group of videos; gives whether it made something of each.

        Args:
            group: the videos.
            digests: of their files, which are read only where something was made of them.
        """
        size = os.fstat(self._file.fileno()).st_size
        known: dict[str, dict[str, Any]] = {}
        for source in group:
            digest = digests.of(source) if source.video in self._journal else None
            found = None if digest is None else self._journal.find(source.video, digest)
            if found is None or found["at"] + self._bytes(found["rows"]) > size:
                return False
            known[source.video] = found
        self._index |= known
        return True

    def add(self, source: Source, found: Made | Reason, digest: str | None) -> None:
        """Take over what one video gave; numbers that are none are as good as a file that cannot be read.

        Args:
            source: the video.
            found: its feature, or why it has none.
            digest: sha256 of its file; None of one that cannot be read.
        """
        if isinstance(found, Made) and not np.isfinite(found.rows).all():
            found = Reason("not_finite", f"{source.path}: the network gives numbers that are not finite")
        row: dict[str, Any] = {"at": 0, "rows": 0, "padded": False, "reason": None, "detail": ""}
        if isinstance(found, Reason):
            # Of a raw video that cannot be read nobody knows how long it is.
            seconds = source.row.duration if source.row else 0.0
            row |= {"duration": seconds, "reason": found.code, "detail": found.detail}
        else:
            row |= {"at": self._append(found.rows), "rows": len(found.rows)}
            row |= {"duration": found.duration, "padded": found.padded}
            self.rows += len(found.rows)
        self._index[source.video] = row
        if digest is not None and row["reason"] not in BY_CHANCE:
            self._journal.add(source.video, digest, row, made=False)

    def write(self, tail: Tail, shards: int | None) -> None:
        """Write the table of rejects and the shard, its manifest last.

        Args:
            tail: as for `facts_of`.
            shards: how many of them are one feature, if that is known.
        """
        folder, made = self.manifest.parent, self._extractor
        self._index = dict(sorted(self._index.items()))
        write_table(folder / TABLE, self.rejects, REJECTS)
        beside(self.manifest).unlink(missing_ok=True)  # of what is replaced: a kill must not leave it beside the new
        padded = {video for video, row in self._index.items() if row["padded"]}
        write_features(
            self.manifest,
            self._items(),
            dim=made.dim,
            grid=made.grid,
            facts=facts_of(made, tail),
            padded=padded,
            shards=shards,
        )

    def clear(self) -> None:
        """Everything is written: nothing needs to be gone on with."""
        sweep(self.manifest)

    def _append(self, rows: Float[np.ndarray, "clips dim"]) -> int:
        """Have rows on the disk before they are spoken of; gives where they begin."""
        with writing(self.manifest):
            at = self._file.seek(0, os.SEEK_END)
            self._file.write(np.ascontiguousarray(rows, dtype=np.float32).tobytes())
            self._file.flush()
            os.fsync(self._file.fileno())
        return at

    def _bytes(self, rows: int) -> int:
        return rows * self._extractor.dim * 4

    def _items(self) -> Iterator[Item]:
        for video, row in self._index.items():
            if row["reason"] is not None:
                yield video, row["duration"], row["reason"]
                continue
            self._file.seek(row["at"])
            waiting = self._file.read(self._bytes(row["rows"]))
            found = np.frombuffer(waiting, dtype=np.float32).reshape(row["rows"], self._extractor.dim)
            yield video, row["duration"], found


def sweep(manifest: Path) -> None:
    """Remove what a run leaves beside a manifest to be gone on with."""
    for name in (FINISHED, WAITING):
        (manifest.parent / name).unlink(missing_ok=True)


def facts_of(extractor: Extractor, tail: Tail) -> dict[str, Any]:
    """What the manifest says of a feature."""
    return {"feature": extractor.name, **extractor.facts, "tail": tail}


def identity_of(extractor: Extractor, tail: Tail, stage: str, section: Settings) -> dict[str, str]:
    """What a feature depends on, besides the videos."""
    facts = json.dumps([asdict(extractor.grid), facts_of(extractor, tail)], sort_keys=True)
    return {"feature": facts, "settings": section.digest(), "code": stamp(f"pipeline.{stage}")}


def lacking_of(
    outputs: Sequence[Output], sources: Sequence[Source], digests: Digests
) -> dict[tuple[int, ...], list[Sequence[Source]]]:
    """Which groups of videos are still to be read, by the numbers of the outputs that lack some of them.

    Clips of one group share batches. It is finished as a whole or not at all, so that every batch is the one that it
    would have been in a run that was not stopped, and its numbers are the same to the last bit.
    """
    found: dict[tuple[int, ...], list[Sequence[Source]]] = {}
    resumed = 0
    for first in range(0, len(sources), TOGETHER):
        group = sources[first : first + TOGETHER]
        numbers = tuple(number for number, output in enumerate(outputs) if not output.resume(group, digests))
        if numbers:
            found.setdefault(numbers, []).append(group)
        else:
            resumed += len(group)
    if resumed:
        logging.info("%d of %d videos were finished by an earlier run", resumed, len(sources))
    return found


def rejected(manifest: Path) -> list[dict[str, Any]]:
    """The rejects of a feature that is there already."""
    return read_table(manifest.parent / TABLE, REJECTS)


def check_made(manifest: Path, stage: str, section: Settings, inputs: Mapping[Path, str]) -> None:
    """See that a feature that is there was made in the same way from the same files.

    Args:
        manifest: the feature's.
        stage: that makes it.
        section: how.
        inputs: from what, with sha256.

    Raises:
        PipelineError: made in another way; says what differs.
    """
    record = beside(manifest)
    made: dict[str, Any] = read_json(record, "provenance") if record.is_file() else {}
    there = {_plain(manifest.parent / name): digest for name, digest in made.get("inputs", {}).items()}
    differs = {
        "by another stage": made.get("stage") != stage,
        "by another version of the code": made.get("code") != stamp(f"pipeline.{stage}"),
        "with other settings": made.get("config_digest") != section.digest(),
        "from other files": there != {_plain(path): digest for path, digest in inputs.items()},
    }
    if any(differs.values()):
        how = next(word for word, so in differs.items() if so) if made else "nobody knows how"
        raise PipelineError(f"{manifest}: is there already, made {how}; give another --output, or --overwrite")


def _plain(path: Path) -> str:
    """A path without detours, links left as they are: as records of inputs are written."""
    return os.path.normpath(path.absolute())
