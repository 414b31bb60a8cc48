"""The features of one video: extracted in one pass, and handed to the model through a feature store of one video.

Captioners and proposers read features from a store on disk, wherever they run. A new video gets a store of its own in a
temporary folder, so that the same code reads, aligns and checks its features as in the pipeline.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pipeline.captioning.bundle import CaptionerBundle
from pipeline.config.extractors import PassSettings
from pipeline.features.extraction.extractor_pass import ExtractedVideoFeature, extract_features
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.extraction.windows import Rejection
from pipeline.features.extraction.writer import feature_metadata
from pipeline.features.networks.base import Extractor
from pipeline.features.shard import Item, write_shard
from pipeline.localization.proposer_bundle import ProposerBundle
from pipeline.provenance.manifest import MANIFEST
from pipeline.training.device import resolve_device
from pipeline.video.reasons import NO_SOUND

RowCounter = Callable[[VideoSource, float], None]
"""Called with a video and the seconds of it that were just computed."""


@dataclass(frozen=True)
class FeatureNeed:
    """Features that a part of the model reads together.

    Attributes:
        features: their names.
        allows_missing: whether a video may miss some of them.
        allows_none: whether a video may miss all of them, because there are other streams.
    """

    features: tuple[str, ...]
    allows_missing: bool
    allows_none: bool = False


def proposer_needs(bundle: ProposerBundle) -> list[FeatureNeed]:
    """Return the features of each stream of a proposer."""
    return _stream_needs(bundle.streams)


def captioner_needs(bundle: CaptionerBundle) -> list[FeatureNeed]:
    """Return the features of each stream of a captioner."""
    return _stream_needs(bundle.combination)


def _stream_needs(streams: Mapping[str, Any]) -> list[FeatureNeed]:
    """Return the features of each stream.

    Args:
        streams: how the features of each stream are combined.
    """
    return [
        FeatureNeed(
            tuple(stream["expected"]), is_filled := stream["missing"] == "zeros", is_filled and len(streams) > 1
        )
        for stream in streams.values()
    ]


@dataclass(frozen=True)
class VideoFeatures:
    """The features of one video.

    Attributes:
        source: the video.
        results: by the name of the feature; a rejection only for a video without sound.
    """

    source: VideoSource
    results: Mapping[str, ExtractedVideoFeature | Rejection]

    @property
    def duration(self) -> float:
        """Duration of the video, seconds."""
        return max(result.duration for result in self.results.values() if isinstance(result, ExtractedVideoFeature))

    def write(self, folder: Path, extractors: Mapping[str, Extractor], options: PassSettings) -> None:
        """Write a store of this video.

        Args:
            folder: folder of all features.
            extractors: by the name of the feature.
            options: settings of the pass.
        """
        video = self.source.video
        for name, result in self.results.items():
            extractor = extractors[name]
            padded: set[str] = set()
            if isinstance(result, Rejection):
                item: Item = (video, 0.0, result.reason)
            else:
                item = (video, result.duration, result.rows)
                padded = {video} if result.padded else set()
            write_shard(
                folder / name / "0000" / MANIFEST,
                [item],
                dim=extractor.dim,
                grid=extractor.grid,
                metadata=feature_metadata(extractor, options.tail),
                padded=padded,
                num_shards=1,
            )


def extract_videos(
    sources: Sequence[VideoSource],
    extractors: Mapping[str, Extractor],
    needs: Sequence[FeatureNeed],
    options: PassSettings,
    count_rows: RowCounter,
) -> Iterator[tuple[VideoSource, VideoFeatures | Rejection]]:
    """Yield the features of each video, or why it cannot be captioned. Each video is decoded once.

    No batch holds windows of two videos, so the features of a video do not depend on the other videos.

    Args:
        sources: the videos.
        extractors: by the name of the feature.
        needs: what the model reads.
        options: settings of the pass.
        count_rows: gets the progress within a video.
    """
    names = list(extractors)
    current = _CurrentVideo(sources, count_rows)
    first, *others = extractors.values()
    counting: list[Extractor] = [_CountingExtractor(first, current.count), *others]
    results = extract_features(
        sources,
        counting,
        batch_size=options.batch_size,
        device=resolve_device(options.device),
        tail=options.tail,
        threads=options.workers,
        timeout_s=options.timeout_s,
        flush_after={source.video for source in sources},
    )
    for source, of_video in results:
        current.advance()
        by_name = {name: _check_finite(source, result) for name, result in zip(names, of_video, strict=True)}
        rejection = find_rejection(source, by_name, needs)
        yield source, rejection or VideoFeatures(source, by_name)


def find_rejection(
    source: VideoSource, results: Mapping[str, ExtractedVideoFeature | Rejection], needs: Sequence[FeatureNeed]
) -> Rejection | None:
    """Return why a video cannot be captioned; None if it can.

    Missing sound is no fault if all parts of the model allow it. Any other missing feature is one, because it means
    that the file cannot be decoded.
    """
    missing = {name: result for name, result in results.items() if isinstance(result, Rejection)}
    for rejection in missing.values():
        if rejection.reason != NO_SOUND:
            return rejection
    for need in needs:
        absent = [name for name in need.features if name in missing]
        is_enough = need.allows_none or (need.allows_missing and len(absent) < len(need.features))
        if absent and not is_enough:
            return Rejection(NO_SOUND, f"{source.path}: no sound, and the model needs the feature {absent[0]}")
    return None


def _check_finite(source: VideoSource, result: ExtractedVideoFeature | Rejection) -> ExtractedVideoFeature | Rejection:
    if isinstance(result, ExtractedVideoFeature) and not np.isfinite(result.rows).all():
        return Rejection("not_finite", f"{source.path}: the network returns NaN or infinite features")
    return result


class _CurrentVideo:
    """The video whose windows are computed: videos are finished in their order, and no batch holds two of them."""

    def __init__(self, sources: Sequence[VideoSource], count_rows: RowCounter) -> None:
        self._sources, self._count_rows, self._index = sources, count_rows, 0

    def advance(self) -> None:
        """Note that a video is finished."""
        self._index += 1

    def count(self, seconds: float) -> None:
        """Count the seconds of the video that were computed."""
        if self._index < len(self._sources):
            self._count_rows(self._sources[self._index], seconds)


class _CountingExtractor:
    """An extractor that tells how many seconds of video it has computed."""

    def __init__(self, extractor: Extractor, count: Callable[[float], None]) -> None:
        self._extractor, self._count = extractor, count
        self.name, self.modality, self.dim = extractor.name, extractor.modality, extractor.dim
        self.grid, self.metadata = extractor.grid, extractor.metadata

    def prepare(self, window: Tensor) -> Tensor:
        """Transform one window into the network's input."""
        return self._extractor.prepare(window)

    def __call__(self, windows: Sequence[Tensor]) -> Float[Tensor, "batch dim"]:
        """Compute the features of prepared windows."""
        rows = self._extractor(windows)
        self._count(len(windows) * self.grid.stride / self.grid.fps)
        return rows
