"""The re-encoded videos of one shard or of all shards, as later stages read them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pyarrow as pa

from pipeline.errors import PipelineError
from pipeline.io.tables import read_rows
from pipeline.provenance.manifest import read_manifest

TABLE = "videos.parquet"


@dataclass(frozen=True)
class ReencodedRow:
    """One row of a shard's `videos.parquet`.

    Attributes:
        video: id.
        frames: number of frames.
        fps: constant frame rate (frames/s).
        width: pixels.
        height: pixels.
        audio: whether it has an audio track.
        partial: whether the source is damaged and only the part before the first error was kept.
        source_s: duration that the source of a partial video should have (seconds); None if it is whole.
        reason: code of the damage of a partial video; None if it is whole.
    """

    video: str
    frames: int
    fps: float
    width: Annotated[int, pa.int32()]
    height: Annotated[int, pa.int32()]
    audio: bool
    partial: bool = False
    source_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ReencodedVideo(ReencodedRow):
    """One re-encoded video.

    Attributes:
        path: the MP4.
    """

    path: Path = field(kw_only=True)

    @property
    def duration(self) -> float:
        """Duration (seconds)."""
        return self.frames / self.fps


@dataclass(frozen=True)
class ReencodedVideos:
    """Re-encoded videos.

    Attributes:
        by_id: the accepted videos, by id.
        manifests: the shard manifests that list them.
    """

    by_id: dict[str, ReencodedVideo]
    manifests: list[Path]

    @classmethod
    def open(cls, folder: Path, shards: int) -> "ReencodedVideos":
        """Open all shards below `results/{dataset}/video/`."""
        return cls.read(shard_manifest(folder, shard) for shard in range(shards))

    @classmethod
    def read(cls, manifests: Iterable[Path], *, check: bool = False) -> "ReencodedVideos":
        """Open the shards of the given manifests.

        Args:
            manifests: one per shard.
            check: compare the sha256 of each MP4 with the manifest, not only its size. Reads all files.

        Raises:
            PipelineError: a shard is absent or damaged, or a video is in two shards.
        """
        paths = list(manifests)
        videos: dict[str, ReencodedVideo] = {}
        for path in paths:
            manifest = read_manifest(path)
            for row in read_rows(manifest.file(TABLE), ReencodedRow):
                if row.video in videos:
                    raise PipelineError(f"{path}: video {row.video} is in another shard too")
                file = manifest.file(f"{row.video}.mp4", check=check)
                videos[row.video] = ReencodedVideo(**vars(row), path=file)
        return cls(videos, paths)


def shard_manifest(folder: Path, shard: int) -> Path:
    """Return the path of a shard's manifest below a folder of shards (videos or one feature)."""
    return folder / f"{shard:04d}" / "manifest.json"
