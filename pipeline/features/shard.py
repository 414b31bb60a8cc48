"""One shard of one feature on disk: a Zarr array [clips, dim] and an index of which rows are which video's.

A reader finds damage: each file's size is compared with the manifest when the shard is opened (Zarr itself
takes a missing file for zeros), and every chunk carries a CRC-32C that is checked when it is read.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import zarr
from jaxtyping import Float
from zarr.codecs import Crc32cCodec, ZstdCodec

from pipeline.errors import PipelineError
from pipeline.features.time_grid import ClipGrid
from pipeline.io.atomic import sweep, temporary_of, writing
from pipeline.io.tables import read_table, write_table
from pipeline.provenance.manifest import Manifest, read_manifest, write_manifest

ARRAY = "features.zarr"
INDEX = "index.parquet"
ROWS_PER_CHUNK = 128
"""About one video: what is read at a time."""
ROWS_PER_FILE = 64 * ROWS_PER_CHUNK
COUNTS = ("videos", "absent", "clips")
"""Facts of a manifest that tell of the shard; all others tell of the feature, and are the same in all its shards."""
SHARDS = "shards"
"""Fact that tells how many shards are one feature."""
TIMES = (
    "row i lasts from i * stride / fps to (i * stride + frames) / fps seconds after the file's beginning, which is "
    "where its first stream begins, picture or sound; a first frame that comes later stands for the time before it"
)
"""Of a re-encoded video the first frame is at the beginning."""

SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("first", pa.int64()),  # row of its first clip
        ("clips", pa.int64()),  # 0 where it has no features
        ("duration", pa.float64()),  # seconds
        ("padded", pa.bool_()),  # shorter than one clip: its last frame stands for what is missing
        ("reason", pa.string()),  # why it has no features; null where it has
    ]
)

Rows = Float[np.ndarray, "_ dim"]
"""Features of one video among several: numbers of clips differ."""
Item = tuple[str, float, Rows | str]
"""A video, its duration in seconds, its features or the reason why it has none (a short code: `no_audio`)."""
Dtype = Literal["float16", "float32"]


def write_features(
    manifest: Path,
    items: Iterable[Item],
    *,
    dim: int,
    grid: ClipGrid,
    facts: dict[str, Any],
    dtype: Dtype = "float32",
    padded: Collection[str] | None = None,
    shards: int | None = None,
) -> None:
    """Write one shard: features.zarr, index.parquet and, last, the manifest that vouches for them.

    Memory holds one file's rows (`ROWS_PER_FILE`) and one video's, however many there are.

    Args:
        manifest: where; the payloads stand beside it.
        items: the videos, in the order of their rows; each once.
        dim: channels.
        grid: where rows lie in time.
        facts: what else the manifest and the array are to say of the feature, the same in every shard (its name, the
            weights' sha256, the geometry).
        dtype: of the numbers on disk. Half precision takes half the room and keeps three digits.
        padded: videos that are shorter than one clip; None tells them by their durations.
        shards: how many of them are one feature, so that a reader misses one; None where nobody knows.

    Raises:
        PipelineError: a feature is not finite, or too large for `dtype`; names the video.
    """
    described = _described(dim, grid, facts, dtype) | ({} if shards is None else {SHARDS: shards})
    final = manifest.parent / ARRAY
    temporary = temporary_of(final)
    rows: list[dict[str, Any]] = []
    sweep(final)
    try:
        with writing(final):
            _write_array(temporary, _indexed(items, grid, rows, manifest, dtype, padded), described)
            manifest.unlink(missing_ok=True)  # it would vouch for what is no longer there if we were stopped here
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    write_table(manifest.parent / INDEX, rows, SCHEMA)
    files = [file for file in final.rglob("*") if file.is_file()]
    there = [row["clips"] for row in rows if row["clips"]]
    counts = dict(zip(COUNTS, (len(there), len(rows) - len(there), sum(there)), strict=True))
    write_manifest(manifest, [*files, manifest.parent / INDEX], {**counts, **described})


def check_existing(
    manifest: Path,
    *,
    dim: int,
    grid: ClipGrid,
    facts: dict[str, Any],
    dtype: Dtype = "float32",
    overwrite: bool = False,
) -> None:
    """See that what `write_features` would replace, if anything, is the same feature.

    Args:
        manifest: as `write_features` is to be given it, and so are `dim`, `grid`, `facts` and `dtype`.
        dim: channels.
        grid: where rows lie in time.
        facts: what else tells of the feature.
        dtype: of the numbers on disk.
        overwrite: whether to let another feature be replaced.

    Raises:
        PipelineError: there is another one; names the first fact that differs.
    """
    if overwrite or not manifest.is_file():
        return
    found = of_feature(read_manifest(manifest))
    wanted = _described(dim, grid, facts, dtype)
    for key in [*wanted, *(key for key in found if key != SHARDS)]:
        if found.get(key) != wanted.get(key):
            raise PipelineError(
                f"{manifest}: holds another feature: {key} is {found.get(key)!r}, now {wanted.get(key)!r}; "
                "give another output, or --overwrite"
            )


def of_feature(manifest: Manifest) -> dict[str, Any]:
    """What a shard's manifest says of the feature, without what it says of the shard."""
    return {key: value for key, value in manifest.facts.items() if key not in COUNTS}


def _described(dim: int, grid: ClipGrid, facts: dict[str, Any], dtype: Dtype) -> dict[str, Any]:
    return {"dim": dim, **asdict(grid), "dtype": dtype, **facts}


def _indexed(
    items: Iterable[Item],
    grid: ClipGrid,
    rows: list[dict[str, Any]],
    manifest: Path,
    dtype: Dtype,
    padded: Collection[str] | None,
) -> Iterator[Rows]:
    """Pass the features on as they are to be stored, and note in `rows` which video they are of."""
    first = 0
    seen: set[str] = set()
    for video, duration, found in items:
        if video in seen:
            raise ValueError(f"video {video}: is there twice")
        seen.add(video)
        row = {"video": video, "first": first, "clips": 0, "duration": duration, "padded": False, "reason": None}
        if isinstance(found, str):
            rows.append(row | {"reason": found})
            continue
        clips = len(found)
        if clips == 0:
            raise ValueError(f"video {video}: a video has at least one clip, or a reason why not")
        with np.errstate(over="ignore"):  # becomes infinite, which is looked for
            features = found.astype(dtype, copy=False)
        _check_finite(features, found, video, manifest)
        short = grid.padded(duration) if padded is None else video in padded
        rows.append(row | {"clips": clips, "padded": short})
        first += clips
        yield features


def _check_finite(stored: Rows, given: Rows, video: str, manifest: Path) -> None:
    bad = np.argwhere(~np.isfinite(stored))
    if len(bad):
        row, channel = bad[0].tolist()
        why = f" too large for {stored.dtype}" if np.isfinite(given[row, channel]) else ""
        raise PipelineError(
            f"{manifest}: features of video {video} cannot be kept: {given[row, channel]}{why} in row {row}, "
            f"channel {channel}"
        )


def _write_array(folder: Path, videos: Iterable[Rows], attributes: dict[str, Any]) -> None:
    dim = attributes["dim"]
    array = zarr.create_array(
        folder,
        shape=(0, dim),
        chunks=(ROWS_PER_CHUNK, dim),
        shards=(ROWS_PER_FILE, dim),
        dtype=attributes["dtype"],
        compressors=[ZstdCodec(), Crc32cCodec()],
        attributes={**attributes, "times": TIMES},
        config={"write_empty_chunks": True},  # else a chunk of zeros would be a file that is not there
    )
    waiting: list[Rows] = []
    written, held = 0, 0

    def flush(rows: int) -> None:
        nonlocal written, held
        joined = np.concatenate(waiting)
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
class Shard:
    """One opened shard of one feature.

    Attributes:
        manifest: that vouches for it.
        rows: video -> its row of the index.
    """

    manifest: Manifest
    rows: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Open what `path` (a manifest) vouches for.

        Raises:
            PipelineError: absent, or a file is not as the manifest says.
        """
        manifest = read_manifest(path)
        index = manifest.payload(INDEX)
        manifest.payload(f"{ARRAY}/zarr.json")
        for name in manifest.payloads:
            manifest.payload(name, check=False)
        return cls(manifest, {row["video"]: row for row in read_table(index, SCHEMA)})

    def read(self, video: str) -> Float[np.ndarray, "clips dim"]:
        """Features of a video that has some, float32.

        Raises:
            PipelineError: they are damaged; names the video and the shard.
        """
        row, folder = self.rows[video], self.manifest.path.parent / ARRAY
        try:
            found = np.asarray(self._array[row["first"] : row["first"] + row["clips"]])
        except (ValueError, RuntimeError, OSError) as error:
            # A wrong checksum, an undecodable chunk, an unreadable file.
            raise PipelineError(
                f"{folder}: features of {video} are damaged ({error}); delete the manifest and run again"
            ) from error
        return found.astype(np.float32, copy=False)

    @cached_property
    def _array(self) -> zarr.Array:
        """Opened once: that takes as long as reading a video."""
        return zarr.open_array(self.manifest.path.parent / ARRAY, mode="r")
