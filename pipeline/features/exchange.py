"""Features from and for other people's files (TSP's h5, folders of .npy as of PDVC and video_features)."""

import logging
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib import format as npy

from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError
from pipeline.features.external_files import NUMBERS, Header, Source, open_source
from pipeline.features.shard import Dtype, Item, check_existing, write_features
from pipeline.features.store import MANIFEST, FeatureStore
from pipeline.features.time_grid import ClipGrid
from pipeline.features.video_selection import Wanted
from pipeline.io.atomic import replacing

NOT_IN_FILE = "not_in_file"
NO_ROWS = "no_rows"
TOLERANCE = 0.2
"""Share by which the rows of all videos together may differ from what their durations tell."""


def items(path: Path, videos: Mapping[str, float], suffix: str = "") -> Iterator[Item]:
    """Features of videos from a file: what `write_features` takes.

    Args:
        path: an HDF5 file, a folder of such, or a folder of .npy files.
        videos: the wanted ones: id -> duration in seconds.
        suffix: what stands between the id and `.npy`.

    Yields:
        every wanted video with its rows, or with a reason: `not_in_file`, `no_rows`.

    Raises:
        PipelineError: not such a file; an array that is not [clips, channels] of numbers, or has not as many channels
            as the others.
    """
    with open_source(path, suffix) as source:
        _survey(source, videos)
        for video, duration in videos.items():
            yield video, duration, _rows(source, video)


def channels(path: Path, suffix: str = "") -> int:
    """Channels of the features in a file; arguments and errors as of `items`."""
    with open_source(path, suffix) as source:
        return _model(source).shape[1]


def check_grid(path: Path, videos: Mapping[str, float], grid: ClipGrid, suffix: str = "") -> None:
    """See that features have about as many rows as a grid gives to videos of known durations.

    Args:
        path: of the features.
        videos: id -> duration in seconds.
        grid: where the features' rows are said to lie.
        suffix: what stands between the id and `.npy`.

    Raises:
        PipelineError: they have not, so that the grid is another one.
    """
    with open_source(path, suffix) as source:
        _check_grid(path, _survey(source, videos), videos, grid)


def _check_grid(path: Path, found: Mapping[str, Header], videos: Mapping[str, float], grid: ClipGrid) -> None:
    there = {video: found[video].shape[0] for video in videos if video in found and found[video].shape[0]}
    rows, told = sum(there.values()), sum(grid.clips(videos[video]) for video in there)
    if abs(rows - told) > max(TOLERANCE * told, len(there)):
        raise PipelineError(
            f"{path}: {rows} rows of {len(there)} videos, but at {grid.frames} frames every {grid.stride} frames of "
            f"{grid.fps:g} a second their durations make {told}; give the fps, frames and stride they were made with "
            "(or the arrays are transposed)"
        )


def import_features(
    path: Path,
    output: Path,
    grid: ClipGrid,
    *,
    wanted: Wanted | None = None,
    suffix: str = "",
    dtype: Dtype = "float32",
    overwrite: bool = False,
) -> None:
    """Take features from a file into the store.

    Args:
        path: an HDF5 file, a folder of such, or a folder of .npy files.
        output: `results/{dataset}/features/{feature}`.
        grid: where the rows lie in time.
        wanted: videos, and how they are divided; without it all in the file, in one shard, as long as their rows last.
        suffix: what stands between the id and `.npy`.
        dtype: of the numbers on disk.
        overwrite: whether another feature in `output` may be replaced.

    Raises:
        PipelineError: features that cannot be read or kept, see `items`; rows and durations that do not fit each other;
            another feature in `output`.
    """
    with open_source(path, suffix) as source:
        known = wanted or Wanted({"0000": dict.fromkeys(source.videos)})
        videos = known.all()
        found = _survey(source, videos)
        if not found:
            raise PipelineError(
                f"{path}: has none of the {len(videos)} videos that are wanted, like {next(iter(videos), '(none)')}; "
                f"it has such as {next(iter(source.videos))}"
            )
        _check_grid(path, found, {video: seconds for video, seconds in videos.items() if seconds is not None}, grid)
        feature = _Feature(_model(source).shape[1], grid, {"feature": output.name, "imported_from": path.name}, dtype)
        targets = {shard: output / shard / MANIFEST for shard in known.shards}
        _check_output(output, targets.values(), feature, overwrite=overwrite)
        for shard, manifest in targets.items():
            rows = (
                (video, grid.duration(_clips(found, video)) if seconds is None else seconds, _rows(source, video))
                for video, seconds in known.shards[shard].items()
            )
            write_features(manifest, rows, **vars(feature), shards=len(targets))
        there = sum(_clips(found, video) > 0 for video in videos)
        logging.info("%s: %d videos, %d without features", output, len(videos), len(videos) - there)
        if others := len(source.videos - videos.keys()):
            logging.info("%s: %d videos that nobody asked for are left out", path, others)


@dataclass(frozen=True)
class _Feature:
    """What `write_features` and `check_existing` are told of a feature."""

    dim: int
    grid: ClipGrid
    facts: dict[str, Any]
    dtype: Dtype


def _check_output(output: Path, targets: Collection[Path], feature: _Feature, *, overwrite: bool) -> None:
    for manifest in output.glob(f"[0-9]*/{MANIFEST}"):
        if manifest not in targets:
            raise PipelineError(f"{manifest}: a shard that would not belong to what is imported; remove {output} first")
    for manifest in targets:
        check_existing(manifest, **vars(feature), overwrite=overwrite)


def _clips(found: Mapping[str, Header], video: str) -> int:
    return found[video].shape[0] if video in found else 0


def export_h5(store: FeatureStore, output: Path) -> None:
    """Write features as TSP does: an HDF5 file, a dataset [clips, channels] for each video at its root; float32.

    Raises:
        PipelineError: there is something already.
    """
    _check_free(output)
    with replacing(output) as temporary, h5py.File(temporary, "w") as file:
        for video in store:
            file.create_dataset(check_id(video, store.path), data=store.read(video), compression="gzip")


def export_npy(store: FeatureStore, output: Path, suffix: str = "") -> None:
    """Write features into a new folder, a file `<id><suffix>.npy` [clips, channels] for each video; float32.

    Raises:
        PipelineError: there is something already.
    """
    _check_free(output)
    with replacing(output) as temporary:
        temporary.mkdir()
        try:
            for video in store:
                with (temporary / f"{check_id(f'{video}{suffix}', store.path)}.npy").open("wb") as file:
                    npy.write_array(file, store.read(video), allow_pickle=False)
        except BaseException:
            shutil.rmtree(temporary)
            raise


def _check_free(output: Path) -> None:
    if output.exists():
        raise PipelineError(f"{output}: is there already; remove it, or give another output")


def _rows(source: Source, video: str) -> np.ndarray | str:
    if video not in source.videos:
        return NOT_IN_FILE
    rows = source.read(video)
    return rows if len(rows) else NO_ROWS


def _survey(source: Source, videos: Iterable[str]) -> dict[str, Header]:
    """Headers of the wanted videos that are there, all of them [clips, channels] with as many channels.

    Raises:
        PipelineError: one is not.
    """
    model = _model(source)
    found = {video: _matrix(source, video) for video in videos if video in source.videos}
    for video, header in found.items():
        if header.shape[1] != model.shape[1]:
            first = next(iter(source.videos))
            raise PipelineError(
                f"{source.path}: {video} is {list(header.shape)}, {first} is {list(model.shape)}: expected "
                f"[clips, channels] with as many channels in all{_transposed(header.shape, model.shape)}"
            )
    return found


def _model(source: Source) -> Header:
    """Header of the first array, that the others are compared with."""
    return _matrix(source, next(iter(source.videos)))


def _matrix(source: Source, video: str) -> Header:
    header = source.header(video)
    if header.dtype.kind not in NUMBERS:
        raise PipelineError(f"{source.path}: {video} holds {header.dtype}, expected numbers")
    if len(header.shape) != 2:
        raise PipelineError(
            f"{source.path}: {video} is {list(header.shape)}, expected [clips, channels]; are there several arrays for "
            "each video, so that a suffix must choose?"
        )
    return header


def _transposed(shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    if shape[0] == other[1] or shape[1] == other[0]:
        return "; one of the two seems to be transposed"
    return "; they seem to be transposed" if shape[0] == other[0] else ""
