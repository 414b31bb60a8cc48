"""Clip features as their consumers read them: one or several of them, side by side on one time grid."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from pipeline.config.combination import Align, Missing
from pipeline.errors import PipelineError
from pipeline.features.alignment import METHODS, covered, positions
from pipeline.features.shard import SCHEMA, SHARDS, Item, write_features
from pipeline.features.store import SHOWN, FeatureStore
from pipeline.features.time_grid import ClipGrid

__all__ = ["SCHEMA", "ClipGrid", "FeatureStore", "Features", "Item", "write_features"]

NAMES = frozenset({"feature", "encoder", "weights", "imported_from", "dtype", SHARDS})
"""Facts of a feature that decide none of its values: names, how it is kept. Who learned from it must find all others
again (grid, geometry, sha256 of weights, options)."""


@dataclass(frozen=True)
class Features:
    """One or several features, concatenated along channels.

    The first one gives the rows: the others are brought to its times. Where there are several and a video may lack
    one (`missing: zeros`), a last channel for each of them, in their order, is 1 where it is there and 0 where zeros
    stand for it.

    Attributes:
        dim: channels of all together.
        grid: where rows lie in time: the first one's.
        manifests: of every shard of every feature.
        videos: id -> duration in seconds, of the videos that have at least one of the features: as the first one says,
            or, where it is missing, the longest of the others.
        align: how the others are brought to the first one's times.
        missing: what becomes of videos that lack a feature.
        lacking: feature -> videos that lack it (`no rows`, or not to the end), and why. Features that none lacks are
            not there.
    """

    dim: int
    grid: ClipGrid
    manifests: list[Path]
    videos: Mapping[str, float]
    align: Align
    missing: Missing
    lacking: Mapping[str, Mapping[str, str]]
    _stores: Mapping[str, FeatureStore]

    @classmethod
    def open(
        cls,
        folder: Path,
        names: Sequence[str],
        shards: int,
        *,
        align: Align = "nearest",
        missing: Missing = "fail",
        expected: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> "Features":
        """Open features.

        Args:
            folder: `results/{dataset}/features`.
            names: at least one, in the order of their channels.
            shards: how many shards there are.
            align: how those that lie on another grid than the first one are aligned with it.
            missing: what to do where a video lacks one of several.
            expected: by name, what the manifests must say (see `facts`).

        Raises:
            PipelineError: a shard is absent or damaged, or not what is expected; the features are not of the same
                videos; a video lacks one and that is not allowed.
        """
        wanted = expected or {}
        stores = {name: FeatureStore(folder / name, shards=shards, expected=wanted.get(name)) for name in names}
        _check_same_videos(list(stores.values()))
        first = next(iter(stores.values()))
        videos = {
            video: duration if video in first else max(known)
            for video, duration in first.durations.items()
            if (known := [store.durations[video] for store in stores.values() if video in store])
        }
        opened = cls(
            dim=sum(store.dim for store in stores.values()) + _marks(stores, missing),
            grid=first.grid,
            manifests=[manifest for store in stores.values() for manifest in store.manifests],
            videos=videos,
            align=align,
            missing=missing,
            lacking={},
            _stores=stores,
        )
        lacking = {name: found for name in stores if (found := opened._lacking(name))}
        for name, found in lacking.items():
            _tell(folder / name, found, len(videos), missing)
        return replace(opened, lacking=lacking)

    def facts(self) -> dict[str, Any]:
        """What who learns from the features is to remember of them: rules, counts, and what `expected` may be given."""
        return {
            "align": self.align,
            "missing": self.missing,
            "lacking": {name: len(videos) for name, videos in self.lacking.items()},
            "expected": {name: identity(store.facts) for name, store in self._stores.items()},
        }

    def clips(self, video: str) -> int:
        """Rows of a video: the first feature's; where that is missing, as many as it would have."""
        first = next(iter(self._stores.values()))
        return first.clips(video) if video in first else self.grid.clips(self.videos[video])

    def read(self, video: str) -> Float[np.ndarray, "clips dim"]:
        """Features of a video, float32.

        Raises:
            PipelineError: there are none, or they are damaged; names the video and the shard.
        """
        if video not in self.videos:
            return next(iter(self._stores.values())).read(video)  # says why there are none
        parts = [self._aligned(store, video) for store in self._stores.values()]
        if _marks(self._stores, self.missing):
            parts.append(np.stack([self._there(store, video) for store in self._stores.values()], axis=1))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def rows(self, video: str, start: float, end: float) -> tuple[int, int]:
        """Rows of an event: those whose clips have their centre in [start, end].

        Args:
            video: id.
            start: seconds.
            end: seconds.

        Returns:
            first row and the row after the last; where no centre lies inside, the one nearest to the middle.
        """
        centres = self.grid.centres(self.clips(video))
        inside = np.flatnonzero((centres >= start) & (centres <= end))
        if len(inside) == 0:
            inside = np.argsort(np.abs(centres - (start + end) / 2), kind="stable")[:1]
        return int(inside[0]), int(inside[-1]) + 1

    def _aligned(self, store: FeatureStore, video: str) -> Float[np.ndarray, "clips _"]:
        """One feature at the times of the first, zeros where it is not there."""
        if video not in store:
            return np.zeros((self.clips(video), store.dim), np.float32)
        found = store.read(video)
        if self._alike(store, video):
            return found
        aligned = METHODS[self.align](found, self._positions(store, video))
        aligned[~self._there(store, video)] = 0.0
        return aligned

    def _there(self, store: FeatureStore, video: str) -> Bool[np.ndarray, "clips"]:
        """Rows at which one feature is there."""
        if video not in store or self._alike(store, video):
            return np.full(self.clips(video), video in store)
        return covered(self._positions(store, video), store.clips(video), store.grid, self.grid)

    def _alike(self, store: FeatureStore, video: str) -> bool:
        """Whether a feature's rows are those of the first, as they stand."""
        return store.grid == self.grid and store.clips(video) == self.clips(video)

    def _positions(self, store: FeatureStore, video: str) -> Float[np.ndarray, "clips"]:
        return positions(self.grid.centres(self.clips(video)), store.grid)

    def _lacking(self, name: str) -> dict[str, str]:
        """Videos that lack a feature, wholly or for some rows, and why."""
        store = self._stores[name]
        found = {}
        for video in self.videos:
            if video in store.absent:
                found[video] = store.absent[video]
            elif not (there := self._there(store, video)).all():
                found[video] = f"none for {len(there) - int(there.sum())} of {len(there)} rows"
        return found


def identity(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of a feature's facts those that decide its values, at whatever depth."""
    return {
        key: identity(value) if isinstance(value, Mapping) else value
        for key, value in facts.items()
        if key not in NAMES
    }


def _marks(stores: Mapping[str, FeatureStore], missing: Missing) -> int:
    """Channels that say which features are there."""
    return len(stores) if missing == "zeros" and len(stores) > 1 else 0


def _check_same_videos(stores: list[FeatureStore]) -> None:
    """Every video is listed in each feature, with rows or a reason: else they were made of different videos."""
    first = stores[0]
    for store in stores[1:]:
        for video in sorted(first.durations.keys() ^ store.durations.keys()):
            here, there = (store, first) if video in first.durations else (first, store)
            raise PipelineError(
                f"{here.path}: knows nothing of video {video}, which {there.path} does; extract (or import, with "
                "--videos) all of them from the same videos"
            )


def _tell(feature: Path, lacking: Mapping[str, str], videos: int, missing: Missing) -> None:
    named = ", ".join(f"{video}: {why}" for video, why in list(lacking.items())[:SHOWN])
    said = f"{feature}: {len(lacking)} of {videos} videos lack this feature ({named})"
    if missing == "fail":
        raise PipelineError(f"{said}; leave the feature out, or allow it with `missing: zeros`")
    logging.info("%s; zeros stand for it, marked", said)
