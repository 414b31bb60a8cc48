"""Import and export of features in formats of other projects: HDF5 (TSP) and folders of .npy (PDVC, video_features)."""

import logging
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.features.external_files import NUMBER_KINDS, ArrayHeader, ExternalSource, open_source
from pipeline.features.shard import Dtype, Item, check_existing, write_features
from pipeline.features.store import MANIFEST, FeatureStore
from pipeline.features.time_grid import ClipGrid
from pipeline.io.atomic import replace_atomically
from pipeline.io.tables import read_columns
from pipeline.provenance.manifest import read_manifest

NOT_IN_FILE = "not_in_file"
NO_ROWS = "no_rows"
TOLERANCE = 0.2
"""Largest relative difference between the rows of all videos and the number that follows from their durations."""


@dataclass(frozen=True)
class _AnnotatedVideo:
    video: str
    shard: Annotated[int, pa.int32()]
    duration: float | None


@dataclass(frozen=True)
class _MeasuredVideo:
    video: str
    frames: int
    fps: float

    @property
    def duration(self) -> float:
        return self.frames / self.fps


@dataclass(frozen=True)
class VideoSelection:
    """The videos that features are imported for.

    Attributes:
        shards: name of the shard (`0000`) -> id -> duration (seconds); None if it is unknown.
    """

    shards: Mapping[str, Mapping[str, float | None]]

    @classmethod
    def from_corpus(cls, manifest: Path) -> "VideoSelection":
        """Select all videos of a corpus, with their shards and annotated durations."""
        corpus = read_manifest(manifest)
        shards: dict[str, dict[str, float | None]] = {f"{shard:04d}": {} for shard in range(corpus.metadata["shards"])}
        for row in read_columns(corpus.file("videos.parquet"), _AnnotatedVideo):
            shards[f"{row.shard:04d}"][row.video] = row.duration
        return cls(shards)

    @classmethod
    def from_reencoded(cls, folder: Path) -> "VideoSelection":
        """Select the re-encoded videos below `results/{dataset}/video`, with their shards and measured durations.

        Raises:
            PipelineError: the folder has no shards.
        """
        manifests = sorted(folder.glob(f"[0-9]*/{MANIFEST}"))
        if not manifests:
            raise PipelineError(f"{folder}: contains no shards of videos (0000/{MANIFEST}, ...)")
        shards: dict[str, dict[str, float | None]] = {}
        for manifest in manifests:
            rows = read_columns(read_manifest(manifest).file("videos.parquet"), _MeasuredVideo)
            shards[manifest.parent.name] = {row.video: row.duration for row in rows}
        return cls(shards)

    def durations(self) -> dict[str, float | None]:
        """Return id -> duration (seconds) of the videos of all shards."""
        return {video: duration for videos in self.shards.values() for video, duration in videos.items()}


def iter_features(path: Path, videos: Mapping[str, float], suffix: str = "") -> Iterator[Item]:
    """Read the features of videos from a file, as items for `write_features`.

    Args:
        path: an HDF5 file, a folder of HDF5 files, or a folder of .npy files.
        videos: id -> duration (seconds) of the videos to read.
        suffix: part of the file name between the id and `.npy`.

    Yields:
        every video with its rows, or with a reason: `not_in_file`, `no_rows`.

    Raises:
        PipelineError: the file has another format, an array is not [rows, channels] of numbers, or arrays differ in
            their number of channels.
    """
    with open_source(path, suffix) as source:
        _read_headers(source, videos)
        for video, duration in videos.items():
            yield video, duration, _read_rows(source, video)


def num_channels(path: Path, suffix: str = "") -> int:
    """Return the number of channels of the features in a file; arguments and errors as for `iter_features`."""
    with open_source(path, suffix) as source:
        return _first_header(source).shape[1]


def check_grid(path: Path, videos: Mapping[str, float], grid: ClipGrid, suffix: str = "") -> None:
    """Check that the number of feature rows agrees with the durations of the videos on a grid.

    Args:
        path: the file with the features.
        videos: id -> duration (seconds).
        grid: the grid that the rows should have.
        suffix: part of the file name between the id and `.npy`.

    Raises:
        PipelineError: it does not, so the grid must be another one.
    """
    with open_source(path, suffix) as source:
        _check_grid(path, _read_headers(source, videos), videos, grid)


def _check_grid(path: Path, headers: Mapping[str, ArrayHeader], videos: Mapping[str, float], grid: ClipGrid) -> None:
    row_counts = {video: headers[video].shape[0] for video in videos if video in headers and headers[video].shape[0]}
    num_rows, expected = sum(row_counts.values()), sum(grid.num_clips(videos[video]) for video in row_counts)
    if abs(num_rows - expected) > max(TOLERANCE * expected, len(row_counts)):
        raise PipelineError(
            f"{path}: has {num_rows} rows for {len(row_counts)} videos, but {grid.frames} frames every {grid.stride} "
            f"frames at {grid.fps:g} fps give {expected} rows for their durations; give the fps, frames and stride of "
            "these features (or the arrays are transposed)"
        )


def import_features(
    path: Path,
    output: Path,
    grid: ClipGrid,
    *,
    selection: VideoSelection | None = None,
    suffix: str = "",
    dtype: Dtype = "float32",
    overwrite: bool = False,
) -> None:
    """Import features from a file into the feature store.

    Args:
        path: an HDF5 file, a folder of HDF5 files, or a folder of .npy files.
        output: `results/{dataset}/features/{feature}`.
        grid: times of the rows.
        selection: the videos, their shards and durations. None imports all videos of the file into one shard, with the
            durations of their rows.
        suffix: part of the file name between the id and `.npy`.
        dtype: type of the numbers on disk.
        overwrite: allow the replacement of another feature in `output`.

    Raises:
        PipelineError: the features cannot be read (see `iter_features`) or stored, the rows disagree with the
            durations, or `output` holds another feature.
    """
    with open_source(path, suffix) as source:
        selection = selection or VideoSelection({"0000": dict.fromkeys(source.videos)})
        videos = selection.durations()
        headers = _read_headers(source, videos)
        if not headers:
            raise PipelineError(
                f"{path}: has none of the {len(videos)} selected videos, such as {next(iter(videos), '(none)')}; it "
                f"has videos such as {next(iter(source.videos))}"
            )
        _check_grid(path, headers, {video: seconds for video, seconds in videos.items() if seconds is not None}, grid)
        names = {"feature": output.name, "imported_from": path.name}
        feature = _Feature(_first_header(source).shape[1], grid, names, dtype)
        manifests = {shard: output / shard / MANIFEST for shard in selection.shards}
        _check_output(output, manifests.values(), feature, overwrite=overwrite)
        for shard, manifest in manifests.items():
            durations = {
                video: grid.duration(_num_rows(headers, video)) if seconds is None else seconds
                for video, seconds in selection.shards[shard].items()
            }
            items = ((video, duration, _read_rows(source, video)) for video, duration in durations.items())
            write_features(manifest, items, **vars(feature), shards=len(manifests))
        num_missing = sum(_num_rows(headers, video) == 0 for video in videos)
        logging.info("%s: %d videos, %d without features", output, len(videos), num_missing)
        if unused := len(source.videos - videos.keys()):
            logging.info("%s: ignored %d videos that are not selected", path, unused)


@dataclass(frozen=True)
class _Feature:
    """Arguments that `write_features` and `check_existing` share."""

    dim: int
    grid: ClipGrid
    metadata: dict[str, Any]
    dtype: Dtype


def _check_output(output: Path, manifests: Collection[Path], feature: _Feature, *, overwrite: bool) -> None:
    for manifest in output.glob(f"[0-9]*/{MANIFEST}"):
        if manifest not in manifests:
            raise PipelineError(f"{manifest}: this shard is not part of the imported feature; remove {output} first")
    for manifest in manifests:
        check_existing(manifest, **vars(feature), overwrite=overwrite)


def _num_rows(headers: Mapping[str, ArrayHeader], video: str) -> int:
    return headers[video].shape[0] if video in headers else 0


def export_h5(store: FeatureStore, output: Path) -> None:
    """Write features as TSP does: an HDF5 file with a float32 dataset [rows, channels] per video at its root.

    Raises:
        PipelineError: the output exists.
    """
    _check_absent(output)
    with replace_atomically(output) as temporary, h5py.File(temporary, "w") as file:
        for video in store:
            file.create_dataset(check_id(video, store.path), data=store.read(video), compression="gzip")


def export_npy(store: FeatureStore, output: Path, suffix: str = "") -> None:
    """Write features into a new folder, with a float32 file `<id><suffix>.npy` [rows, channels] per video.

    Raises:
        PipelineError: the output exists.
    """
    _check_absent(output)
    with replace_atomically(output) as temporary:
        temporary.mkdir()
        try:
            for video in store:
                with (temporary / f"{check_id(f'{video}{suffix}', store.path)}.npy").open("wb") as file:
                    npy.write_array(file, store.read(video), allow_pickle=False)
        except BaseException:
            shutil.rmtree(temporary)
            raise


def _check_absent(output: Path) -> None:
    if output.exists():
        raise PipelineError(f"{output}: already exists; remove it, or choose another output")


def _read_rows(source: ExternalSource, video: str) -> np.ndarray | str:
    if video not in source.videos:
        return NOT_IN_FILE
    rows = source.read(video)
    return rows if len(rows) else NO_ROWS


def _read_headers(source: ExternalSource, videos: Iterable[str]) -> dict[str, ArrayHeader]:
    """Read the headers of those videos that the source has.

    Raises:
        PipelineError: an array is not [rows, channels] of numbers, or has another number of channels.
    """
    first_header = _first_header(source)
    headers = {video: _read_header(source, video) for video in videos if video in source.videos}
    for video, header in headers.items():
        if header.shape[1] != first_header.shape[1]:
            first = next(iter(source.videos))
            raise PipelineError(
                f"{source.path}: {video} is {list(header.shape)}, {first} is {list(first_header.shape)}: expected "
                "[rows, channels] with the same number of channels"
                f"{_hint_transposed(header.shape, first_header.shape)}"
            )
    return headers


def _first_header(source: ExternalSource) -> ArrayHeader:
    """Read the header of the first array, with which the others are compared."""
    return _read_header(source, next(iter(source.videos)))


def _read_header(source: ExternalSource, video: str) -> ArrayHeader:
    header = source.header(video)
    if header.dtype.kind not in NUMBER_KINDS:
        raise PipelineError(f"{source.path}: {video} holds {header.dtype}, expected numbers")
    if len(header.shape) != 2:
        raise PipelineError(
            f"{source.path}: {video} is {list(header.shape)}, expected [rows, channels]; if each video has several "
            "arrays, choose one by its suffix"
        )
    return header


def _hint_transposed(shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    if shape[0] == other[1] or shape[1] == other[0]:
        return "; one of the two seems to be transposed"
    return "; they seem to be transposed" if shape[0] == other[0] else ""
