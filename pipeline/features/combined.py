"""Feature rows as models read them: one or several features, concatenated on one time grid."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from pipeline.config.feature_combination import Align, Missing
from pipeline.errors import PipelineError
from pipeline.features.shard import SHARDS
from pipeline.features.store import MAX_NAMED, FeatureStore
from pipeline.features.time_grid import ALIGN_FUNCTIONS, ClipGrid, coverage_mask, row_positions

NAME_KEYS = frozenset({"feature", "encoder", "weights", "imported_from", "dtype", SHARDS})
"""Metadata of a feature that does not influence its values: names and storage. A model must find all other metadata
unchanged (grid, frame geometry, sha256 of the weights, options)."""


@dataclass(frozen=True)
class CombinedFeatures:
    """One or several features, concatenated along the channels.

    The rows are those of the first feature; the other features are aligned with its times. With several features and
    `missing: zeros`, a mask channel for each feature follows, in their order. It is 1 where the feature is available
    and 0 where it was filled with zeros.

    Attributes:
        dim: number of all channels.
        grid: times of the rows, those of the first feature.
        manifests: the manifests of all shards of all features.
        videos: id -> duration (seconds) of the videos that have at least one feature: that of the first feature, or if
            it is missing, the longest of the others.
        align: how the other features are aligned with the first one.
        missing: what happens to videos that miss a feature.
        missing_videos: feature -> id -> why the video misses it, wholly or for some rows. Features that no video misses
            are left out.
        empty_videos: ids of videos without any of the features, which have one row of zeros.
    """

    dim: int
    grid: ClipGrid
    manifests: list[Path]
    videos: Mapping[str, float]
    align: Align
    missing: Missing
    missing_videos: Mapping[str, Mapping[str, str]]
    _stores: Mapping[str, FeatureStore]
    empty_videos: frozenset[str] = frozenset()

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
    ) -> "CombinedFeatures":
        """Open features.

        Args:
            folder: `results/{dataset}/features`.
            names: at least one feature, in the order of the channels.
            shards: number of shards.
            align: how features on other grids are aligned with the first one.
            missing: what to do with a video that misses one of several features.
            expected: feature -> metadata that it must have, as `metadata` returns it.

        Raises:
            PipelineError: a shard is absent or damaged, the metadata differs from `expected`, the features are of
                different videos, or a video misses a feature and `missing` is `fail`.
        """
        expected = expected or {}
        stores = {name: FeatureStore(folder / name, shards=shards, expected=expected.get(name)) for name in names}
        _check_same_videos(list(stores.values()))
        first = next(iter(stores.values()))
        videos = {
            video: duration if video in first else max(durations)
            for video, duration in first.durations.items()
            if (durations := [store.durations[video] for store in stores.values() if video in store])
        }
        features = cls(
            dim=sum(store.dim for store in stores.values()) + _num_mask_channels(stores, missing),
            grid=first.grid,
            manifests=[manifest for store in stores.values() for manifest in store.manifests],
            videos=videos,
            align=align,
            missing=missing,
            missing_videos={},
            _stores=stores,
        )
        missing_videos = {name: reasons for name in stores if (reasons := features._find_missing(name))}
        for name, reasons in missing_videos.items():
            _report_missing(folder / name, reasons, len(videos), missing)
        return replace(features, missing_videos=missing_videos)

    def add_empty_videos(self, durations: Mapping[str, float]) -> "CombinedFeatures":
        """Add videos that have none of the features: each gets one row of zeros.

        Args:
            durations: id -> duration (seconds); videos that have features stay as they are.
        """
        added = {video: duration for video, duration in durations.items() if video not in self.videos}
        if not added:
            return self
        logging.info(
            "%s: %d of %d videos have none of these features (%s ...); one row of zeros stands for them",
            *("+".join(self._stores), len(added), len(durations), sorted(added)[0]),
        )
        missing = {
            name: {**self.missing_videos.get(name, {}), **{video: store.absent.get(video, "") for video in added}}
            for name, store in self._stores.items()
        }
        return replace(self, videos={**self.videos, **added}, missing_videos=missing, empty_videos=frozenset(added))

    def metadata(self) -> dict[str, Any]:
        """Return what a model must store to load the same features again; `expected` is an argument of `open`."""
        return {
            "align": self.align,
            "missing": self.missing,
            "missing_videos": {name: len(videos) for name, videos in self.missing_videos.items()},
            "expected": {name: value_metadata(store.metadata) for name, store in self._stores.items()},
        }

    def grid_of(self, video: str) -> ClipGrid:
        """Return the times of the rows of a video."""
        return self.grid.of_video(self.videos[video])

    def num_rows(self, video: str) -> int:
        """Return the number of rows of a video; if the first feature is missing, the number that it would have."""
        if video in self.empty_videos:
            return 1
        first = next(iter(self._stores.values()))
        return first.num_rows(video) if video in first else self.grid.num_clips(self.videos[video])

    def read(self, video: str) -> Float[np.ndarray, "rows dim"]:
        """Read the feature rows of a video, as float32.

        Raises:
            PipelineError: the video has none, or they are damaged; names the video and the shard.
        """
        if video not in self.videos:
            return next(iter(self._stores.values())).read(video)  # raises the error with the reason
        if video in self.empty_videos:
            return np.zeros((1, self.dim), np.float32)
        channels = [self._read_aligned(store, video) for store in self._stores.values()]
        if _num_mask_channels(self._stores, self.missing):
            masks = [self._availability_mask(store, video) for store in self._stores.values()]
            channels.append(np.stack(masks, axis=1))
        return np.concatenate(channels, axis=1, dtype=np.float32)

    def event_rows(self, video: str, start: float, end: float) -> tuple[int, int]:
        """Return the rows of an event: those whose centre is in [start, end].

        Args:
            video: id.
            start: seconds.
            end: seconds.

        Returns:
            first row, and the row after the last one. If no centre is inside, the row nearest to the middle.
        """
        centres = self.grid_of(video).centres(self.num_rows(video))
        inside = np.flatnonzero((centres >= start) & (centres <= end))
        if len(inside) == 0:
            inside = np.argsort(np.abs(centres - (start + end) / 2), kind="stable")[:1]
        return int(inside[0]), int(inside[-1]) + 1

    def _read_aligned(self, store: FeatureStore, video: str) -> Float[np.ndarray, "rows _"]:
        """Read one feature at the times of the first one, zeros where it is not available."""
        if video not in store:
            return np.zeros((self.num_rows(video), store.dim), np.float32)
        rows = store.read(video)
        if self._has_same_rows(store, video):
            return rows
        aligned = ALIGN_FUNCTIONS[self.align](rows, self._positions(store, video))
        aligned[~self._availability_mask(store, video)] = 0.0
        return aligned

    def _availability_mask(self, store: FeatureStore, video: str) -> Bool[np.ndarray, "rows"]:
        """Return the rows at which one feature is available."""
        if video not in store or self._has_same_rows(store, video):
            return np.full(self.num_rows(video), video in store)
        grids = store.grid_of(video), self.grid_of(video)
        return coverage_mask(self._positions(store, video), store.num_rows(video), *grids)

    def _has_same_rows(self, store: FeatureStore, video: str) -> bool:
        """Return whether a feature needs no alignment with the first one."""
        return store.grid.has_rows_of(self.grid) and store.num_rows(video) == self.num_rows(video)

    def _positions(self, store: FeatureStore, video: str) -> Float[np.ndarray, "rows"]:
        return row_positions(self.grid_of(video).centres(self.num_rows(video)), store.grid_of(video))

    def _find_missing(self, name: str) -> dict[str, str]:
        """Return the videos that miss a feature, wholly or for some rows, with the reasons."""
        store = self._stores[name]
        reasons = {}
        for video in self.videos:
            if video in store.absent:
                reasons[video] = store.absent[video]
            elif not (mask := self._availability_mask(store, video)).all():
                reasons[video] = f"none for {len(mask) - int(mask.sum())} of {len(mask)} rows"
        return reasons


def value_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a feature that decides its values, without names, in nested mappings too."""
    return {
        key: value_metadata(value) if isinstance(value, Mapping) else value
        for key, value in metadata.items()
        if key not in NAME_KEYS
    }


def _num_mask_channels(stores: Mapping[str, FeatureStore], missing: Missing) -> int:
    return len(stores) if missing == "zeros" and len(stores) > 1 else 0


def _check_same_videos(stores: list[FeatureStore]) -> None:
    """Check that every feature lists the same videos, each with rows or with a reason."""
    first = stores[0]
    for store in stores[1:]:
        for video in sorted(first.durations.keys() ^ store.durations.keys()):
            without, with_video = (store, first) if video in first.durations else (first, store)
            raise PipelineError(
                f"{without.path}: does not list video {video}, which {with_video.path} does; extract (or import, with "
                "--videos) all features from the same videos"
            )


def _report_missing(feature: Path, reasons: Mapping[str, str], num_videos: int, missing: Missing) -> None:
    examples = ", ".join(f"{video}: {reason}" for video, reason in list(reasons.items())[:MAX_NAMED])
    message = f"{feature}: {len(reasons)} of {num_videos} videos miss this feature ({examples})"
    if missing == "fail":
        raise PipelineError(f"{message}; leave the feature out, or allow it with `missing: zeros`")
    logging.info("%s; filled with zeros and flagged in the mask channel", message)
