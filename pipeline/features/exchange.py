"""Import and export of features in formats of other projects: HDF5 (TSP, C3D), folders of .npy (PDVC) and of .pt."""

import contextlib
import logging
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import h5py
import pyarrow as pa
from numpy.lib import format as npy

from pipeline.datasets.corpus import RejectedVideo
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.features.external_array import ArraySelector
from pipeline.features.external_files import ExternalSource, find_array_suffixes, open_source
from pipeline.features.external_h5 import H5Source
from pipeline.features.external_reader import FeatureReader
from pipeline.features.shard import Dtype, check_existing, write_shard
from pipeline.features.store import MANIFEST, FeatureStore
from pipeline.features.time_grid import ClipGrid
from pipeline.io.atomic import replace_atomically
from pipeline.io.tables import read_columns
from pipeline.provenance.manifest import read_manifest


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


@contextlib.contextmanager
def open_features(
    path: Path, videos: Collection[str], selector: ArraySelector | None = None
) -> Iterator[FeatureReader]:
    """Open the features of selected videos.

    Args:
        path: as for `open_source`.
        videos: ids of the videos.
        selector: which array to read where a video has several.

    Raises:
        PipelineError: the file has another format, or its arrays do not fit each other (see `FeatureReader`).
    """
    with open_source(path, selector) as source:
        yield FeatureReader(source, videos)


def import_features(
    path: Path,
    output: Path,
    grid: ClipGrid,
    *,
    selection: VideoSelection | None = None,
    selector: ArraySelector | None = None,
    dtype: Dtype = "float32",
    overwrite: bool = False,
) -> list[RejectedVideo]:
    """Import features from a file into the feature store.

    Args:
        path: as for `open_source`.
        output: `results/{dataset}/features/{feature}`.
        grid: times of the rows.
        selection: the videos, their shards and durations. None imports all videos of the file into one shard, with the
            durations of their rows.
        selector: which array to read where a video has several.
        dtype: type of the numbers on disk.
        overwrite: allow the replacement of another feature in `output`.

    Returns:
        the videos whose arrays are faulty. They have no features, as videos whose arrays are absent or empty.

    Raises:
        PipelineError: no array can be used or stored, the rows disagree with the durations, or `output` holds another
            feature.
    """
    selector = selector or ArraySelector()
    with open_source(path, selector) as source:
        if selection is None:
            _check_single_arrays(source, selector)
        selection = selection or VideoSelection({"0000": dict.fromkeys(source.videos)})
        videos = selection.durations()
        reader = FeatureReader(source, videos)
        reader.log_choices()
        reader.check_any_usable()
        reader.check_grid({video: seconds for video, seconds in videos.items() if seconds is not None}, grid)
        feature = _Feature(reader.dim, grid, {"feature": output.name, "imported_from": path.name}, dtype)
        manifests = {shard: output / shard / MANIFEST for shard in selection.shards}
        _check_output(output, manifests.values(), feature, overwrite=overwrite)
        for shard, manifest in manifests.items():
            durations = {
                video: grid.duration(reader.num_rows(video)) if seconds is None else seconds
                for video, seconds in selection.shards[shard].items()
            }
            write_shard(manifest, reader.items(durations, dtype), **vars(feature), num_shards=len(manifests))
            reader.write_rejects(manifest, durations)
        logging.info("%s: %d videos, %d without features", output, len(videos), len(reader.rejects))
        reader.log_rejects()
        if reader.unused:
            logging.info("%s: ignored %d videos that are not selected", path, len(reader.unused))
        return reader.faults


def _check_single_arrays(source: ExternalSource, selector: ArraySelector) -> None:
    """Check that the names of files, which become ids, do not look like those of several arrays per video."""
    if isinstance(source, H5Source) or selector.suffix is not None:
        return
    if suffixes := find_array_suffixes(source.videos):
        raise PipelineError(
            f"{source.path}: seems to have several arrays of each video, {', '.join(suffixes)}; choose one by its "
            "suffix (--suffix), or give --suffix '' if these names are whole ids"
        )


@dataclass(frozen=True)
class _Feature:
    """Arguments that `write_shard` and `check_existing` share."""

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
