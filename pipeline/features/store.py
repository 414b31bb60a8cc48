"""Reading a feature: the rows of a video and their times."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.errors import PipelineError
from pipeline.features.shard import SHARDS, Shard, of_feature
from pipeline.features.time_grid import ClipGrid
from pipeline.provenance.manifest import read_manifest

MANIFEST = "manifest.json"
SHOWN = 3
"""How many ids an error names."""


class Clips(NamedTuple):
    """The features of a video.

    Attributes:
        rows: float32.
        times: start and end of each row, seconds.
    """

    rows: Float[np.ndarray, "clips dim"]
    times: Float[np.ndarray, "clips 2"]


class FeatureStore:
    """One feature of many videos, by their ids: `FeatureStore(path)["v_x"]`. Iteration and `len` are over these ids.

    Args:
        path: `results/{dataset}/features/{feature}`, or the folder of one of its shards.
        shards: how many shards there must be; without it, as many as the manifests say, or, where they do not say (of
            older ones), those that are there.
        expected: what the feature's manifests must say (`weights_sha256`, say, or `**asdict(grid)`).

    Attributes:
        path: as given.
        manifests: of every shard.
        facts: what the manifests say of the feature.
        grid: where rows lie in time.
        dim: channels.
        durations: id -> seconds, of all videos.
        videos: the same of the videos that have features.
        absent: id -> why it has no features, of those that have none.

    Raises:
        PipelineError: a shard is absent or damaged, or there should be more or fewer; the shards are not of the same
            feature, or not of the one that is expected; a video stands in two shards.
    """

    def __init__(self, path: Path, *, shards: int | None = None, expected: Mapping[str, Any] | None = None) -> None:
        self.path = path
        opened = [Shard.open(manifest) for manifest in _manifests(path, shards)]
        self.manifests = [shard.manifest.path for shard in opened]
        self.facts = of_feature(opened[0].manifest)
        if shards is not None and self.facts.get(SHARDS, shards) != shards:
            raise PipelineError(
                f"{self.manifests[0]}: one of {self.facts[SHARDS]} shards, of which {shards} are asked for; remove "
                f"{path} and make the feature again"
            )
        for shard in opened[1:]:
            _compare(of_feature(shard.manifest), self.facts, shard.manifest.path, f"in {self.manifests[0]}")
        _compare(_asked(self.facts, expected or {}), expected or {}, self.manifests[0], "expected")
        self.grid = ClipGrid(self.facts["fps"], self.facts["frames"], self.facts["stride"])
        self.dim: int = self.facts["dim"]
        self._places: dict[str, Shard] = {}
        for shard in opened:
            for video in shard.rows:
                if video in self._places:
                    other = self._places[video].manifest.path
                    raise PipelineError(f"{shard.manifest.path}: video {video} stands in {other} too; remove one")
                self._places[video] = shard
        listed = {video: shard.rows[video] for video, shard in sorted(self._places.items())}
        self.durations: dict[str, float] = {video: row["duration"] for video, row in listed.items()}
        self.absent: dict[str, str] = {video: row["reason"] for video, row in listed.items() if not row["clips"]}
        self.videos = {video: duration for video, duration in self.durations.items() if video not in self.absent}

    def __getitem__(self, video: str) -> Clips:
        rows = self.read(video)
        return Clips(rows, self.grid.times(len(rows)))

    def __contains__(self, video: object) -> bool:
        return video in self.videos

    def __iter__(self) -> Iterator[str]:
        return iter(self.videos)

    def __len__(self) -> int:
        return len(self.videos)

    def clips(self, video: str) -> int:
        """Rows of a video that has features."""
        count: int = self._places[video].rows[video]["clips"]
        return count

    def read(self, video: str) -> Float[np.ndarray, "clips dim"]:
        """Features of a video, float32.

        Raises:
            PipelineError: it has none (says why, or which do), or they are damaged (names the shard).
        """
        if video in self.absent:
            raise PipelineError(f"{self.path}: video {video} has no features: {self.absent[video]}")
        if video not in self.videos:
            raise PipelineError(
                f"{self.path}: no features of video {video}; there are those of {_some(list(self.videos))}; "
                "was it rejected by reencode?"
            )
        return self._places[video].read(video)


def _some(videos: list[str]) -> str:
    """How many videos, and the first of them."""
    named = ", ".join(videos[:SHOWN])
    return f"{len(videos)} videos ({named}{' ...' if len(videos) > SHOWN else ''})" if videos else "no video"


def _manifests(path: Path, shards: int | None) -> list[Path]:
    """Manifests of the shards in a feature's folder, in order; or the one in a shard's folder."""
    if shards is None and (path / MANIFEST).is_file():
        return [path / MANIFEST]
    if shards is None:
        there = sorted(found.parent.name for found in path.glob(f"[0-9]*/{MANIFEST}"))
        if not there:
            raise PipelineError(f"{path}: no feature there: neither {MANIFEST} nor 0000/{MANIFEST}")
        shards = read_manifest(path / there[0] / MANIFEST).facts.get(SHARDS, int(there[-1]) + 1)
    return [path / f"{shard:04d}" / MANIFEST for shard in range(shards)]


def _asked(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted of some facts, at whatever depth, as far as it is there."""
    return {
        key: _asked(found[key], value) if isinstance(value, Mapping) and isinstance(found[key], Mapping) else found[key]
        for key, value in wanted.items()
        if key in found
    }


def _compare(found: Mapping[str, Any], wanted: Mapping[str, Any], manifest: Path, where: str) -> None:
    for key in [*wanted, *found]:
        if found.get(key) != wanted.get(key):
            raise PipelineError(
                f"{manifest}: {key} is {found.get(key)!r}, {where} {wanted.get(key)!r}: another feature, or made with "
                "other settings; extract it again, or give the one that is meant"
            )
