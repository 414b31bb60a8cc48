"""Streams of features: what a captioner or a proposer reads beside each other, each on its own time grid.

A stream is one feature, or several that are concatenated along channels. It has a name; most networks read one stream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.config.feature_combination import Align, Missing
from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures


@dataclass(frozen=True)
class FeatureStreams:
    """The features of a captioner, opened.

    Attributes:
        features: the features of each stream.
    """

    features: Mapping[str, CombinedFeatures]

    @classmethod
    def open(
        cls,
        folder: Path,
        streams: Mapping[str, Sequence[str]],
        shards: int,
        *,
        align: Align = "nearest",
        missing: Missing = "fail",
        metadata: Mapping[str, Any] | None = None,
        dims: Mapping[str, int] | None = None,
    ) -> "FeatureStreams":
        """Open the features of a dataset.

        A video that lacks all features of a stream is left out, or has one row of zeros there if `missing` is `zeros`.

        Args:
            folder: folder of all features.
            streams: names of the features of each stream, in the order of their channels.
            shards: number of shards of each feature.
            align: how the features of a stream are aligned with its first.
            missing: what to do with videos that lack a feature.
            metadata: what `metadata` returned when the network was trained; the features must be the same, and it
                replaces `align` and `missing`.
            dims: channels of each stream that the network reads; None: any.

        Raises:
            PipelineError: features are absent, damaged, or not those of `metadata` and `dims`.
        """
        opened = {}
        for name, features in streams.items():
            rules: dict[str, Any] = {"align": align, "missing": missing}
            if metadata is not None:
                rules = {key: metadata[name][key] for key in ("align", "missing", "expected")}
            opened[name] = CombinedFeatures.open(folder, features, shards, **rules)
            if dims is not None and opened[name].dim != dims[name]:
                raise PipelineError(
                    f"features {'+'.join(features)}: {opened[name].dim} channels, but the network was trained on "
                    f"{dims[name]}; extract the features it was trained on, or train it again"
                )
        durations = {
            video: duration for features in reversed(opened.values()) for video, duration in features.videos.items()
        }
        return cls(
            {
                name: features.add_empty_videos(durations) if features.missing == "zeros" else features
                for name, features in opened.items()
            }
        )

    @property
    def durations(self) -> dict[str, float]:
        """Durations by video id [s], of the videos that every stream has; the first stream states them."""
        first, *others = self.features.values()
        return {
            video: duration
            for video, duration in first.videos.items()
            if all(video in features.videos for features in others)
        }

    @property
    def dims(self) -> dict[str, int]:
        """Number of channels of each stream."""
        return {name: features.dim for name, features in self.features.items()}

    @property
    def dim(self) -> int | dict[str, int]:
        """Number of channels: of the only stream, or of each of several."""
        return self._only_or_each(self.dims)

    @property
    def grid(self) -> Any:
        """Time grid as plain data: of the only stream, or of each of several."""
        return self._only_or_each({name: asdict(features.grid) for name, features in self.features.items()})

    @property
    def combination(self) -> dict[str, Any]:
        """What a network must remember of its features: of the only stream, or of each of several."""
        return self._only_or_each(self.metadata())

    def _only_or_each(self, values: dict[str, Any]) -> Any:
        return values if len(values) > 1 else next(iter(values.values()))

    @property
    def manifests(self) -> list[Path]:
        """Manifests of all shards of all features."""
        return [manifest for features in self.features.values() for manifest in features.manifests]

    def metadata(self) -> dict[str, Any]:
        """Return what a network must remember of each stream, to read the same features again."""
        return {name: features.metadata() for name, features in self.features.items()}
