"""One shard of one feature on disk: a Zarr array [rows, dim], and an index of the rows of each video.

Readers detect damage. The size of each file is compared with the manifest when the shard is opened, because Zarr reads
a missing file as zeros. Every chunk has a CRC-32C, which is checked at every read.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from jaxtyping import Float
from zarr.codecs import Crc32cCodec, ZstdCodec

from pipeline.errors import PipelineError
from pipeline.features.time_grid import ClipGrid
from pipeline.io.atomic import remove_stale_temporaries, reporting_disk_errors, temporary_path
from pipeline.io.tables import read_rows, write_rows
from pipeline.provenance.manifest import Manifest, read_manifest, write_manifest

ARRAY = "features.zarr"
INDEX = "index.parquet"
ROWS_PER_CHUNK = 128
"""Rows that are read at once: about one video."""
ROWS_PER_FILE = 64 * ROWS_PER_CHUNK
COUNTS = ("videos", "absent", "clips")
"""Keys of the metadata that describe the shard. All others describe the feature and are equal in all its shards."""
SHARDS = "shards"
"""Key of the metadata with the number of shards of the feature."""
TIMES = (
    "row i lasts from i * stride / fps to (i * stride + frames) / fps seconds after the file's beginning, which is "
    "where its first stream begins, picture or sound; a first frame that comes later stands for the time before it"
)
"""Attribute `times` of the array. In a re-encoded video the first frame is at the beginning."""
SNIPPET_TIMES = "row i is from the middle of snippet i; each snippet lasts duration / snippets seconds (index.parquet)"
"""The same attribute of a feature of snippets."""


@dataclass(frozen=True)
class IndexRow:
    """One row of `index.parquet`.

    Attributes:
        video: id.
        first: first row of the video in the array.
        clips: number of rows; 0 for a video without features.
        duration: seconds.
        padded: whether the video is shorter than one clip, which was padded with its last frame.
        reason: why the video has no features; None if it has some.
    """

    video: str
    first: int
    clips: int
    duration: float
    padded: bool
    reason: str | None


VideoRows = Float[np.ndarray, "_ dim"]
"""Feature rows of one of several videos, which have different numbers of rows."""
Item = tuple[str, float, VideoRows | str]
"""Video id, duration (seconds), and the feature rows or the code of the reason why there are none (`no_audio`)."""
Dtype = Literal["float16", "float32"]


def write_shard(
    manifest: Path,
    items: Iterable[Item],
    *,
    dim: int,
    grid: ClipGrid,
    metadata: dict[str, Any],
    dtype: Dtype = "float32",
    padded: Collection[str] | None = None,
    num_shards: int | None = None,
) -> None:
    """Write one shard: features.zarr, index.parquet and, last, the manifest that lists them.

    Memory holds the rows of one file (`ROWS_PER_FILE`) and of one video.

    Args:
        manifest: the manifest to write, in the folder of the other files.
        items: the videos, each once, in the order of their rows.
        dim: channels.
        grid: times of the rows.
        metadata: description of the feature, equal in all shards (name, sha256 of the weights, frame geometry).
        dtype: type of the numbers on disk. float16 halves the size and keeps three digits.
        padded: videos that are shorter than one clip; None computes them from the durations.
        num_shards: number of shards of the feature, with which readers detect a lost one; None if unknown.

    Raises:
        PipelineError: a feature is not finite or too large for `dtype`; names the video.
    """
    description = _describe(dim, grid, metadata, dtype) | ({} if num_shards is None else {SHARDS: num_shards})
    final = manifest.parent / ARRAY
    temporary = temporary_path(final)
    index: list[IndexRow] = []
    remove_stale_temporaries(final)
    try:
        with reporting_disk_errors(final):
            _write_array(temporary, _index_items(items, grid, index, manifest, dtype, padded), description)
            manifest.unlink(missing_ok=True)  # if this process is killed now, no manifest must list the removed files
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    write_rows(manifest.parent / INDEX, index, IndexRow)
    files = [file for file in final.rglob("*") if file.is_file()]
    row_counts = [row.clips for row in index if row.clips]
    counts = dict(zip(COUNTS, (len(row_counts), len(index) - len(row_counts), sum(row_counts)), strict=True))
    write_manifest(manifest, [*files, manifest.parent / INDEX], {**counts, **description})


def check_existing(
    manifest: Path,
    *,
    dim: int,
    grid: ClipGrid,
    metadata: dict[str, Any],
    dtype: Dtype = "float32",
    overwrite: bool = False,
) -> None:
    """Check that `write_shard` would not replace another feature.

    Args:
        manifest: the manifest that would be written.
        dim: channels.
        grid: times of the rows.
        metadata: description of the feature.
        dtype: type of the numbers on disk.
        overwrite: allow the replacement of another feature.

    Raises:
        PipelineError: another feature exists; names the first key that differs.
    """
    if overwrite or not manifest.is_file():
        return
    existing = shared_metadata(read_manifest(manifest))
    description = _describe(dim, grid, metadata, dtype)
    for key in [*description, *(key for key in existing if key != SHARDS)]:
        if existing.get(key) != description.get(key):
            raise PipelineError(
                f"{manifest}: holds another feature: {key} is {existing.get(key)!r}, now {description.get(key)!r}; "
                "choose another output, or give --overwrite"
            )


def shared_metadata(manifest: Manifest) -> dict[str, Any]:
    """Return the part of a shard's metadata that describes the feature, without the counts of the shard."""
    return {key: value for key, value in manifest.metadata.items() if key not in COUNTS}


def _describe(dim: int, grid: ClipGrid, metadata: dict[str, Any], dtype: Dtype) -> dict[str, Any]:
    return {"dim": dim, **asdict(grid), "dtype": dtype, **metadata}


def _index_items(
    items: Iterable[Item],
    grid: ClipGrid,
    index: list[IndexRow],
    manifest: Path,
    dtype: Dtype,
    padded: Collection[str] | None,
) -> Iterator[VideoRows]:
    """Yield the feature rows as they are stored, and append each video to `index`."""
    first = 0
    seen: set[str] = set()
    for video, duration, rows in items:
        if video in seen:
            raise ValueError(f"video {video} occurs twice")
        seen.add(video)
        if isinstance(rows, str):
            index.append(IndexRow(video, first, 0, duration, padded=False, reason=rows))
            continue
        if len(rows) == 0:
            raise ValueError(f"video {video} has neither feature rows nor a reason")
        with np.errstate(over="ignore"):  # too large numbers become infinite, which is checked below
            stored = rows.astype(dtype, copy=False)
        check_finite(stored, rows, video, manifest)
        is_padded = grid.is_padded(duration) if padded is None else video in padded
        index.append(IndexRow(video, first, len(rows), duration, is_padded, reason=None))
        first += len(rows)
        yield stored


def check_finite(stored: VideoRows, rows: VideoRows, video: str, path: Path) -> None:
    """Check that the rows of a video can be stored.

    Args:
        stored: the rows in the type of the numbers on disk.
        rows: the rows.
        video: its id, for the error.
        path: the file that the error names.

    Raises:
        PipelineError: a number is not finite, or too large for the type.
    """
    not_finite = np.argwhere(~np.isfinite(stored))
    if len(not_finite):
        row, channel = not_finite[0].tolist()
        reason = f" too large for {stored.dtype}" if np.isfinite(rows[row, channel]) else ""
        raise PipelineError(
            f"{path}: features of video {video} cannot be stored: {rows[row, channel]}{reason} in row {row}, "
            f"channel {channel}"
        )


def _write_array(folder: Path, videos: Iterable[VideoRows], attributes: dict[str, Any]) -> None:
    dim = attributes["dim"]
    array = zarr.create_array(
        folder,
        shape=(0, dim),
        chunks=(ROWS_PER_CHUNK, dim),
        shards=(ROWS_PER_FILE, dim),
        dtype=attributes["dtype"],
        compressors=[ZstdCodec(), Crc32cCodec()],
        attributes={**attributes, "times": SNIPPET_TIMES if "snippets" in attributes else TIMES},
        config={"write_empty_chunks": True},  # otherwise a chunk of zeros would have no file
    )
    buffer: list[VideoRows] = []
    num_written, num_buffered = 0, 0

    def flush(num_rows: int) -> None:
        nonlocal num_written, num_buffered
        joined = np.concatenate(buffer)
        array.resize((num_written + num_rows, dim))
        array[num_written:] = joined[:num_rows]
        num_written, num_buffered = num_written + num_rows, num_buffered - num_rows
        buffer[:] = [joined[num_rows:]]

    for rows in videos:
        buffer.append(rows)
        num_buffered += len(rows)
        while num_buffered >= ROWS_PER_FILE:  # each file is written once, as a whole
            flush(ROWS_PER_FILE)
    if num_buffered:
        flush(num_buffered)


@dataclass(frozen=True)
class Shard:
    """One open shard of one feature.

    Attributes:
        manifest: its manifest.
        index: id of a video -> its row of the index.
    """

    manifest: Manifest
    index: dict[str, IndexRow]

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Open the shard whose manifest is `path`.

        Raises:
            PipelineError: the manifest is absent, or a file differs from what it lists.
        """
        manifest = read_manifest(path)
        index = manifest.file(INDEX)
        manifest.file(f"{ARRAY}/zarr.json")
        for name in manifest.files:
            manifest.file(name, check=False)
        return cls(manifest, {row.video: row for row in read_rows(index, IndexRow)})

    def read(self, video: str) -> Float[np.ndarray, "rows dim"]:
        """Read the feature rows of a video that has some, as float32.

        Raises:
            PipelineError: the rows are damaged; names the video and the shard.
        """
        row, folder = self.index[video], self.manifest.path.parent / ARRAY
        try:
            rows = np.asarray(self._array[row.first : row.first + row.clips])
        except (ValueError, RuntimeError, OSError) as error:
            # A wrong checksum, an undecodable chunk or an unreadable file.
            raise PipelineError(
                f"{folder}: features of {video} are damaged ({error}); delete the manifest and run again"
            ) from error
        return rows.astype(np.float32, copy=False)

    @cached_property
    def _array(self) -> zarr.Array:
        """The array, opened once, because opening takes as long as reading a video."""
        return zarr.open_array(self.manifest.path.parent / ARRAY, mode="r")
