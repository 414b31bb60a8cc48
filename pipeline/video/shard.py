"""Re-encoded videos of one or all shards, as later stages find them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import PipelineError
from pipeline.io.tables import read_table
from pipeline.provenance.manifest import read_manifest

REENCODED = pa.schema(
    [
        ("video", pa.string()),
        ("frames", pa.int64()),
        ("fps", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("audio", pa.bool_()),
        ("partial", pa.bool_()),
        ("source_s", pa.float64()),  # null where the source is whole
        ("reason", pa.string()),  # likewise
    ]
)


@dataclass(frozen=True)
class VideoRow:
    """One re-encoded video.

    Attributes:
        video: id.
        path: the MP4.
        frames: number of frames.
        fps: constant frame rate, frames per second.
        width: pixels.
        height: pixels.
        audio: whether it has an audio track.
        partial: whether the source is damaged, and this is what comes before the first error.
        source_s: how long the source of a partial one should be, seconds.
        reason: code of what is wrong with a partial one.
    """

    video: str
    path: Path
    frames: int
    fps: float
    width: int
    height: int
    audio: bool
    partial: bool = False
    source_s: float | None = None
    reason: str | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.fps


@dataclass(frozen=True)
class Videos:
    """Re-encoded videos, by id.

    Attributes:
        rows: the videos that were accepted.
        manifests: the shard manifests that they come from.
    """

    rows: dict[str, VideoRow]
    manifests: list[Path]

    @classmethod
    def open(cls, folder: Path, shards: int) -> "Videos":
        """All shards below `results/{dataset}/video/`."""
        return cls.read(shard_manifest(folder, shard) for shard in range(shards))

    @classmethod
    def read(cls, manifests: Iterable[Path], *, check: bool = False) -> "Videos":
        """The shards whose manifests are given.

        Args:
            manifests: of the shards.
            check: whether to compare the bytes of the videos with what the manifest says, not their sizes alone. Takes
                as long as reading them all.

        Raises:
            PipelineError: a shard is absent or damaged, or a video stands in two shards.
        """
        paths = list(manifests)
        rows: dict[str, VideoRow] = {}
        for path in paths:
            manifest = read_manifest(path)
            table: list[dict[str, Any]] = read_table(manifest.payload("videos.parquet"), REENCODED)
            for row in table:
                if row["video"] in rows:
                    raise PipelineError(f"{path}: video {row['video']} stands in another shard too")
                rows[row["video"]] = VideoRow(path=manifest.payload(f"{row['video']}.mp4", check=check), **row)
        return cls(rows, paths)


def shard_manifest(folder: Path, shard: int) -> Path:
    """Where the manifest of a shard stands below a folder of shards (videos or one feature)."""
    return folder / f"{shard:04d}" / "manifest.json"
