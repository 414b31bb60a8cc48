"""What a pass leaves: the features' shards, and beside each a table of the videos that have none."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.base import Settings
from pipeline.config.errors import PipelineError
from pipeline.datasets.corpus import REJECTS
from pipeline.extraction.passes import Made
from pipeline.extraction.reading import Reason, Tail
from pipeline.extraction.sources import Source
from pipeline.extractors.base import Extractor
from pipeline.store.atomic import read_json, sha256, writing
from pipeline.store.features import Item, write_features
from pipeline.store.provenance import beside
from pipeline.store.stamp import stamp
from pipeline.store.tables import read_table, write_table

TABLE = "rejects.parquet"


class Output:
    """One feature on its way to disk, in a `with` block. Rows wait in a file without a name, not in memory.

    Args:
        manifest: to be written; the payloads stand beside it.
        extractor: whose feature it is.
        stage: that rejects videos.
    """

    def __init__(self, manifest: Path, extractor: Extractor, stage: str) -> None:
        self.manifest = manifest
        self.rows = 0
        self.rejects: list[dict[str, str]] = []
        self._extractor, self._stage = extractor, stage
        self._index: list[tuple[str, float, int | str]] = []
        try:
            manifest.parent.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=manifest.parent)  # noqa: SIM115, closed when we are left
        except OSError as error:
            raise PipelineError(f"{manifest}: cannot be written ({error.strerror})") from None

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what could not be written then cannot be now
            self._file.close()

    def add(self, source: Source, found: Made | Reason) -> None:
        """Take over what one video gave; numbers that are none are as good as a file that cannot be read."""
        video = source.video
        if isinstance(found, Made) and not np.isfinite(found.rows).all():
            found = Reason("not_finite", f"{source.path}: the network gives numbers that are not finite")
        if isinstance(found, Reason):
            row = {"video": video, "source": self._stage, "reason": found.code, "detail": found.detail}
            self.rejects.append(row)
            # Of a raw video that cannot be read nobody knows how long it is.
            self._index.append((video, source.row.duration if source.row else 0.0, found.code))
            return
        with writing(self.manifest):
            self._file.write(np.ascontiguousarray(found.rows, dtype=np.float32).tobytes())
            self._file.flush()
        self._index.append((video, found.duration, len(found.rows)))
        self.rows += len(found.rows)

    def write(self, tail: Tail) -> None:
        """Write the table of rejects and the shard, its manifest last."""
        write_table(self.manifest.parent / TABLE, self.rejects, REJECTS)
        beside(self.manifest).unlink(missing_ok=True)  # of what is replaced: a kill must not leave it beside the new
        facts, made = facts_of(self._extractor, tail), self._extractor
        write_features(self.manifest, self._items(), dim=made.dim, grid=made.grid, facts=facts)

    def _items(self) -> Iterator[Item]:
        self._file.seek(0)
        for video, duration, rows in self._index:
            if isinstance(rows, str):
                yield video, duration, rows
                continue
            waiting = self._file.read(rows * self._extractor.dim * 4)
            yield video, duration, np.frombuffer(waiting, dtype=np.float32).reshape(rows, self._extractor.dim)


def facts_of(extractor: Extractor, tail: Tail) -> dict[str, Any]:
    """What the manifest says of a feature."""
    return {"feature": extractor.name, **extractor.facts, "tail": tail}


def rejected(manifest: Path) -> list[dict[str, Any]]:
    """The rejects of a feature that is there already."""
    return read_table(manifest.parent / TABLE, REJECTS)


def is_made(manifest: Path, stage: str, section: Settings, inputs: list[Path]) -> bool:
    """Whether a feature is there already, made in the same way from the same files.

    Raises:
        PipelineError: it is there, but made in another way; says what differs.
    """
    if not manifest.is_file():
        return False
    record = beside(manifest)
    made: dict[str, Any] = read_json(record, "provenance") if record.is_file() else {}
    there = {_plain(manifest.parent / name): digest for name, digest in made.get("inputs", {}).items()}
    differs = {
        "by another stage": made.get("stage") != stage,
        "by another version of the code": made.get("code") != stamp(f"pipeline.{stage}"),
        "with other settings": made.get("config_digest") != section.digest(),
        "from other files": there != {_plain(path): sha256(path) for path in inputs},
    }
    if any(differs.values()):
        how = next(word for word, so in differs.items() if so) if made else "nobody knows how"
        raise PipelineError(f"{manifest}: is there already, made {how}; give another --output, or --overwrite")
    return True


def _plain(path: Path) -> str:
    """A path without detours, links left as they are: as records of inputs are written."""
    return os.path.normpath(path.absolute())
