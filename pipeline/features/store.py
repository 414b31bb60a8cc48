"""Reading one feature of many videos: feature rows and their times."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.errors import PipelineError
from pipeline.features.shard import SHARDS, Shard, shared_metadata
from pipeline.features.time_grid import ClipGrid, read_grid
from pipeline.provenance.manifest import read_manifest

MANIFEST = "manifest.json"
MAX_NAMED = 3
"""Number of video ids that an error message names."""


class TimedRows(NamedTuple):
    """The feature rows of a video and their times.

    Attributes:
        rows: feature rows, float32.
        spans: start and end of each row (seconds).
    """

    rows: Float[np.ndarray, "rows dim"]
    spans: Float[np.ndarray, "rows 2"]


class FeatureStore:
    """One feature of many videos, as a mapping from ids: `FeatureStore(path)["v_x"]` is rows and times.

    Iteration and `len` are over the videos that have features.

    Args:
        path: `results/{dataset}/features/{feature}`, or the folder of one of its shards.
        shards: the number of shards; by default the number that the manifests state, or else all shards in the folder.
        expected: metadata that the feature must have (for example `weights_sha256`, or `**asdict(grid)`).

    Attributes:
        path: the given path.
        manifests: the manifest of every shard.
        metadata: the description of the feature from its manifests.
        grid: times of the rows.
        dim: channels.
        durations: id -> duration (seconds) of all videos.
        videos: id -> duration (seconds) of the videos that have features.
        absent: id -> reason, of the videos that have no features.

    Raises:
        PipelineError: a shard is absent or damaged, the number of shards differs, shards belong to different features
            or not to the expected one, or a video is in two shards.
    """

    def __init__(self, path: Path, *, shards: int | None = None, expected: Mapping[str, Any] | None = None) -> None:
        self.path = path
        opened = [Shard.open(manifest) for manifest in _shard_manifests(path, shards)]
        self.manifests = [shard.manifest.path for shard in opened]
        self.metadata = shared_metadata(opened[0].manifest)
        if shards is not None and self.metadata.get(SHARDS, shards) != shards:
            raise PipelineError(
                f"{self.manifests[0]}: one of {self.metadata[SHARDS]} shards, but {shards} are expected; remove {path} "
                "and extract or import the feature again"
            )
        for shard in opened[1:]:
            _compare(shared_metadata(shard.manifest), self.metadata, shard.manifest.path, f"in {self.manifests[0]}")
        _compare(_restrict(self.metadata, expected or {}), expected or {}, self.manifests[0], "expected")
        self.grid = read_grid(self.metadata)
        self.dim: int = self.metadata["dim"]
        self._shards: dict[str, Shard] = {}
        for shard in opened:
            for video in shard.index:
                if video in self._shards:
                    other = self._shards[video].manifest.path
                    raise PipelineError(f"{shard.manifest.path}: video {video} is in {other} too; remove one")
                self._shards[video] = shard
        index = {video: shard.index[video] for video, shard in sorted(self._shards.items())}
        self.durations = {video: row.duration for video, row in index.items()}
        self.absent = {video: row.reason or "" for video, row in index.items() if not row.clips}
        self.videos = {video: duration for video, duration in self.durations.items() if video not in self.absent}

    def __getitem__(self, video: str) -> TimedRows:
        rows = self.read(video)
        return TimedRows(rows, self.grid_of(video).spans(len(rows)))

    def __contains__(self, video: object) -> bool:
        return video in self.videos

    def __iter__(self) -> Iterator[str]:
        return iter(self.videos)

    def __len__(self) -> int:
        return len(self.videos)

    def grid_of(self, video: str) -> ClipGrid:
        """Return the times of the rows of a video."""
        return self.grid.of_video(self.durations[video])

    def num_rows(self, video: str) -> int:
        """Return the number of rows of a video that has features."""
        return self._shards[video].index[video].clips

    def read(self, video: str) -> Float[np.ndarray, "rows dim"]:
        """Read the feature rows of a video, as float32.

        Raises:
            PipelineError: the video has no features (names the reason), is unknown, or its rows are damaged.
        """
        if video in self.absent:
            raise PipelineError(f"{self.path}: video {video} has no features: {self.absent[video]}")
        if video not in self.videos:
            raise PipelineError(
                f"{self.path}: no features of video {video}; it has those of {_summarize(list(self.videos))}; was the "
                "video rejected by reencode?"
            )
        return self._shards[video].read(video)


def _summarize(videos: list[str]) -> str:
    """Return the number of videos and the first ids."""
    names = ", ".join(videos[:MAX_NAMED])
    return f"{len(videos)} videos ({names}{' ...' if len(videos) > MAX_NAMED else ''})" if videos else "no video"


def _shard_manifests(path: Path, shards: int | None) -> list[Path]:
    """Return the manifests of the shards in a feature's folder, in order, or the one in a shard's folder."""
    if shards is None and (path / MANIFEST).is_file():
        return [path / MANIFEST]
    if shards is None:
        names = sorted(manifest.parent.name for manifest in path.glob(f"[0-9]*/{MANIFEST}"))
        if not names:
            raise PipelineError(f"{path}: contains no feature: neither {MANIFEST} nor 0000/{MANIFEST}")
        shards = read_manifest(path / names[0] / MANIFEST).metadata.get(SHARDS, int(names[-1]) + 1)
    return [path / f"{shard:04d}" / MANIFEST for shard in range(shards)]


def _restrict(metadata: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of `metadata` whose keys `expected` has, in nested mappings too."""
    return {
        key: _restrict(metadata[key], value)
        if isinstance(value, Mapping) and isinstance(metadata[key], Mapping)
        else metadata[key]
        for key, value in expected.items()
        if key in metadata
    }


def _compare(metadata: Mapping[str, Any], expected: Mapping[str, Any], manifest: Path, origin: str) -> None:
    for key in [*expected, *metadata]:
        if metadata.get(key) != expected.get(key):
            raise PipelineError(
                f"{manifest}: {key} is {metadata.get(key)!r}, {origin} {expected.get(key)!r}: this is another feature, "
                "or was extracted with other settings; extract it again, or choose the right one"
            )
