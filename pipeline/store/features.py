"""Clip features on disk: per shard one Zarr array [clips, dim] and an index of which rows are which video's.

A reader finds damage: each file's size is compared with the manifest when the shard is opened (Zarr itself
takes a missing file for zeros), and every chunk carries a CRC-32C that is checked when it is read.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from jaxtyping import Float
from zarr.codecs import Crc32cCodec, ZstdCodec

from pipeline.config.errors import PipelineError
from pipeline.store.manifest import Manifest, read_manifest, write_manifest
from pipeline.store.tables import read_table, write_table

ARRAY = "features.zarr"
INDEX = "index.parquet"
ROWS_PER_CHUNK = 128
"""About one video: what is read at a time."""
ROWS_PER_FILE = 64 * ROWS_PER_CHUNK

SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("first", pa.int64()),  # row of its first clip
        ("clips", pa.int64()),
        ("duration", pa.float64()),  # seconds
        ("padded", pa.bool_()),  # shorter than one clip: its last frame stands for what is missing
    ]
)

Rows = Float[np.ndarray, "_ dim"]
"""Features of one video among several: numbers of clips differ."""
Item = tuple[str, float, Rows]
"""A video, its duration in seconds, its features."""


@dataclass(frozen=True)
class ClipGrid:
    """Where the rows of a video lie in time: row i begins at i * stride / fps and lasts frames / fps seconds.

    Attributes:
        fps: frames per second within a clip.
        frames: of a clip.
        stride: frames from one clip to the next.
    """

    fps: float
    frames: int
    stride: int

    def centres(self, clips: int) -> Float[np.ndarray, "clips"]:
        """The middle of each of the first `clips` rows, seconds."""
        return (np.arange(clips) * self.stride + self.frames / 2) / self.fps

    def padded(self, duration: float) -> bool:
        """Whether a video of this many seconds ends before the last frame of its first clip."""
        return duration * self.fps <= self.frames - 1 + 1e-6


def write_features(manifest: Path, items: Iterable[Item], *, dim: int, grid: ClipGrid, facts: dict[str, Any]) -> None:
    """Write one shard: features.zarr, index.parquet and, last, the manifest that vouches for them.

    Memory holds one file's rows (`ROWS_PER_FILE`) and one video's, however many there are.

    Args:
        manifest: where; the payloads stand beside it.
        items: the videos, in the order of their rows; each once.
        dim: channels.
        grid: where rows lie in time.
        facts: what else the manifest is to say (the encoder, its weights).
    """
    described = {"dim": dim, "fps": grid.fps, "frames": grid.frames, "stride": grid.stride, **facts}
    final = manifest.parent / ARRAY
    temporary = manifest.parent / f".{ARRAY}.{os.getpid()}.tmp"
    rows: list[dict[str, Any]] = []
    try:
        _write_array(temporary, _indexed(items, grid, rows), dim, described)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    write_table(manifest.parent / INDEX, rows, SCHEMA)
    files = [file for file in final.rglob("*") if file.is_file()]
    clips = sum(row["clips"] for row in rows)
    write_manifest(manifest, [*files, manifest.parent / INDEX], {"videos": len(rows), "clips": clips, **described})


def _indexed(items: Iterable[Item], grid: ClipGrid, rows: list[dict[str, Any]]) -> Iterator[Rows]:
    """Pass the features on, and note in `rows` which video they are of."""
    first = 0
    for video, duration, features in items:
        clips = len(features)
        if clips == 0:
            raise ValueError(f"video {video}: a video has at least one clip")
        padded = grid.padded(duration)
        rows.append({"video": video, "first": first, "clips": clips, "duration": duration, "padded": padded})
        first += clips
        yield features


def _write_array(folder: Path, videos: Iterable[Rows], dim: int, attributes: dict[str, Any]) -> None:
    array = zarr.create_array(
        folder,
        shape=(0, dim),
        chunks=(ROWS_PER_CHUNK, dim),
        shards=(ROWS_PER_FILE, dim),
        dtype="float32",
        compressors=[ZstdCodec(), Crc32cCodec()],
        attributes=attributes,
        config={"write_empty_chunks": True},  # else a chunk of zeros would be a file that is not there
    )
    waiting: list[Rows] = []
    written, held = 0, 0

    def flush(rows: int) -> None:
        nonlocal written, held
        joined = np.concatenate(waiting).astype(np.float32, copy=False)
        array.resize((written + rows, dim))
        array[written:] = joined[:rows]
        written, held = written + rows, held - rows
        waiting[:] = [joined[rows:]]

    for features in videos:
        waiting.append(features)
        held += len(features)
        while held >= ROWS_PER_FILE:  # files are written whole, never opened again
            flush(ROWS_PER_FILE)
    if held:
        flush(held)


@dataclass(frozen=True)
class _Shard:
    """One opened shard of one feature."""

    manifest: Manifest
    rows: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, path: Path) -> "_Shard":
        manifest = read_manifest(path)
        index = manifest.payload(INDEX)
        manifest.payload(f"{ARRAY}/zarr.json")
        for name in manifest.payloads:
            manifest.payload(name, check=False)
        return cls(manifest, {row["video"]: row for row in read_table(index, SCHEMA)})

    @property
    def grid(self) -> ClipGrid:
        facts = self.manifest.facts
        return ClipGrid(facts["fps"], facts["frames"], facts["stride"])

    def read(self, video: str) -> Float[np.ndarray, "clips dim"]:
        row, folder = self.rows[video], self.manifest.path.parent / ARRAY
        try:
            array = zarr.open_array(folder, mode="r")
            found: Float[np.ndarray, "clips dim"] = np.asarray(array[row["first"] : row["first"] + row["clips"]])
        except (ValueError, RuntimeError, OSError) as error:
            # A wrong checksum, an undecodable chunk, an unreadable file.
            raise PipelineError(
                f"{folder}: features of {video} are damaged ({error}); delete the manifest and run again"
            ) from error
        return found


@dataclass(frozen=True)
class Features:
    """One or several features, concatenated along channels.

    Attributes:
        dim: channels of all together.
        grid: where rows lie in time, the same for all.
        manifests: of every shard of every feature.
        videos: id -> duration in seconds.
    """

    dim: int
    grid: ClipGrid
    manifests: list[Path]
    videos: Mapping[str, float]
    _places: dict[str, list[_Shard]]
    _folder: Path

    @classmethod
    def open(cls, folder: Path, names: Sequence[str], shards: int) -> "Features":
        """Open features.

        Args:
            folder: `results/{dataset}/features`.
            names: at least one, in the order of their channels.
            shards: how many shards there are.

        Raises:
            PipelineError: a shard is absent or damaged; the features lie on different grids, or are not of
                the same videos.
        """
        opened = {
            name: [_Shard.open(folder / name / f"{shard:04d}" / "manifest.json") for shard in range(shards)]
            for name in names
        }
        everything = [shard for of_name in opened.values() for shard in of_name]
        _same_grid(everything)
        places: dict[str, list[_Shard]] = {}
        for name, of_name in opened.items():
            for shard in of_name:
                for video in shard.rows:
                    places.setdefault(video, []).append(shard)
            _same_videos(folder / name, of_name, places, len(names[: names.index(name) + 1]))
        return cls(
            dim=sum(of_name[0].manifest.facts["dim"] for of_name in opened.values()),
            grid=everything[0].grid,
            manifests=[shard.manifest.path for shard in everything],
            videos={video: shard[0].rows[video]["duration"] for video, shard in sorted(places.items())},
            _places=places,
            _folder=folder,
        )

    def read(self, video: str) -> Float[np.ndarray, "clips dim"]:
        """Features of a video, float32.

        Raises:
            PipelineError: there are none, or they are damaged; names the video and the shard.
        """
        if video not in self._places:
            raise PipelineError(f"{self._folder}: no features of video {video}; was it rejected by reencode?")
        return np.concatenate([shard.read(video) for shard in self._places[video]], axis=1)

    def rows(self, video: str, start: float, end: float) -> tuple[int, int]:
        """Rows of an event: those whose clips have their centre in [start, end].

        Args:
            video: id.
            start: seconds.
            end: seconds.

        Returns:
            first row and the row after the last; where no centre lies inside, the one nearest to the middle.
        """
        centres = self.grid.centres(self._places[video][0].rows[video]["clips"])
        inside = np.flatnonzero((centres >= start) & (centres <= end))
        if len(inside) == 0:
            inside = np.argsort(np.abs(centres - (start + end) / 2), kind="stable")[:1]
        return int(inside[0]), int(inside[-1]) + 1


def _same_grid(shards: list[_Shard]) -> None:
    first = shards[0]
    for shard in shards:
        if shard.grid != first.grid:
            raise PipelineError(
                f"{shard.manifest.path}: clips lie at {shard.grid}, those of {first.manifest.path} at "
                f"{first.grid}; features that are combined must share frame rate, clip length and stride"
            )


def _same_videos(feature: Path, shards: list[_Shard], places: dict[str, list[_Shard]], features: int) -> None:
    """Every video so far has one place in each feature so far, and as many clips in all."""
    here = {video for shard in shards for video in shard.rows}
    for video, found in places.items():
        if len(found) != features or video not in here or len({shard.rows[video]["clips"] for shard in found}) != 1:
            raise PipelineError(
                f"{feature}: video {video} is not there once, with as many clips as in the features before; "
                "extract all of them again from the same videos"
            )
