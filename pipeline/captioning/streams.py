"""Streams of features, and the batches that captioners read.

A stream is one feature, or several that are concatenated along channels. Every stream has a name and its own time grid;
most captioners read one stream.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipeline.config.feature_combination import Align, Missing
from pipeline.features.cache import FeatureCache
from pipeline.features.combined import CombinedFeatures

MIN_EVENT_S = 0.1
"""Events count as at least this long [s]."""


@dataclass(frozen=True)
class EventSequence:
    """Events of one video that are captioned together, in time order: those of one annotator, or proposals.

    Attributes:
        video: id of the video whose features are read.
        times: start and end of each event [s].
        sentences: the annotator's sentence of each event; empty for proposals.
    """

    video: str
    times: tuple[tuple[float, float], ...]
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatchStream:
    """One stream of features of a batch.

    Attributes:
        values: features of each sequence's video, zeros after its last row.
        lengths: number of feature rows of each sequence's video.
        event_rows: first feature row of each event, and the row after its last. An event has at least one.
    """

    values: Float[Tensor, "sequences rows dim"]
    lengths: Int64[Tensor, " sequences"]
    event_rows: Int64[Tensor, "events 2"]

    def to(self, device: torch.device) -> "BatchStream":
        """Copy the stream to a device."""
        return BatchStream(self.values.to(device), self.lengths.to(device), self.event_rows.to(device))

    def repeat(self, times: int) -> "BatchStream":
        """Repeat all sequences, and with them their events."""
        return BatchStream(
            self.values.repeat(times, 1, 1), self.lengths.repeat(times), self.event_rows.repeat(times, 1)
        )


@dataclass(frozen=True)
class EventBatch:
    """The events of several sequences, one after another.

    Attributes:
        streams: features by the name of their stream.
        sequence_index: which sequence each event belongs to.
        relative_times: start, end and length of each event, divided by the duration of its video. Lengths are at least
            that of `MIN_EVENT_S`, so that they can be divided by and have a logarithm.
    """

    streams: Mapping[str, BatchStream]
    sequence_index: Int64[Tensor, " events"]
    relative_times: Float[Tensor, "events 3"]

    @property
    def num_events(self) -> int:
        """Number of events."""
        return len(self.sequence_index)

    @property
    def num_sequences(self) -> int:
        """Number of sequences."""
        return len(next(iter(self.streams.values())).lengths)

    def to(self, device: torch.device) -> "EventBatch":
        """Copy the batch to a device."""
        streams = {name: stream.to(device) for name, stream in self.streams.items()}
        return EventBatch(streams, self.sequence_index.to(device), self.relative_times.to(device))

    def repeat(self, times: int) -> "EventBatch":
        """Repeat all sequences, copy after copy; the copies are independent of each other."""
        if times == 1:
            return self
        offsets = torch.arange(times, device=self.sequence_index.device)[:, None] * self.num_sequences
        return EventBatch(
            {name: stream.repeat(times) for name, stream in self.streams.items()},
            (self.sequence_index + offsets).flatten(),
            self.relative_times.repeat(times, 1),
        )


def gather_event_rows(
    features: Float[Tensor, "sequences total width"],
    sequence_index: Int64[Tensor, " events"],
    event_rows: Int64[Tensor, "events 2"],
) -> tuple[Float[Tensor, "events length width"], Bool[Tensor, "events length"]]:
    """Return the feature rows of each event, padded with zeros to the longest event; and the mask of its rows."""
    lengths = event_rows[:, 1] - event_rows[:, 0]
    offsets = torch.arange(int(lengths.max()), device=event_rows.device)
    rows = (event_rows[:, :1] + offsets).clamp_max(features.shape[1] - 1)
    mask = offsets < lengths[:, None]
    return features[sequence_index[:, None], rows].masked_fill(~mask[..., None], 0.0), mask


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
    ) -> "FeatureStreams":
        """Open the features of a dataset.

        Args:
            folder: folder of all features.
            streams: names of the features of each stream, in the order of their channels.
            shards: number of shards of each feature.
            align: how the features of a stream are aligned with its first.
            missing: what to do with videos that lack one feature of a stream.
            metadata: what `metadata` returned when the captioner was trained; the features must be the same, and it
                replaces `align` and `missing`.

        Raises:
            PipelineError: features are absent, damaged, or not those of `metadata`.
        """
        opened = {}
        for name, features in streams.items():
            rules: dict[str, Any] = {"align": align, "missing": missing}
            if metadata is not None:
                rules = {key: metadata[name][key] for key in ("align", "missing", "expected")}
            opened[name] = CombinedFeatures.open(folder, features, shards, **rules)
        return cls(opened)

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
    def manifests(self) -> list[Path]:
        """Manifests of all shards of all features."""
        return [manifest for features in self.features.values() for manifest in features.manifests]

    def metadata(self) -> dict[str, Any]:
        """Return what a captioner must remember of each stream, to read the same features again."""
        return {name: features.metadata() for name, features in self.features.items()}


class StreamCache:
    """Cached features of all streams.

    Args:
        streams: the features.
        limit_gb: memory for cached features [GB].

    Attributes:
        durations: id -> duration of each video [s].
    """

    def __init__(self, streams: FeatureStreams, limit_gb: float) -> None:
        self.durations = streams.durations
        self._caches = {
            name: FeatureCache(features, limit_gb / len(streams.features))
            for name, features in streams.features.items()
        }

    def read_streams(self, videos: Sequence[str]) -> dict[str, Iterator[Float[Tensor, "_ _"]]]:
        """Return, for each stream, an iterator over the features of some videos."""
        return {name: map(cache.read, videos) for name, cache in self._caches.items()}

    def collate(self, sequences: Sequence[EventSequence]) -> EventBatch:
        """Read the features of some sequences, each with at least one event, into a batch on the CPU.

        Raises:
            PipelineError: features are absent or damaged.
        """
        sequence_index, relative_times = [], []
        for index, sequence in enumerate(sequences):
            duration = self.durations[sequence.video]
            for start, end in sequence.times:
                first, last = (min(max(time / duration, 0.0), 1.0) for time in (start, end))
                sequence_index.append(index)
                relative_times.append((first, last, max(last - first, MIN_EVENT_S / duration)))
        streams = {name: _collate_stream(sequences, cache) for name, cache in self._caches.items()}
        return EventBatch(streams, torch.tensor(sequence_index), torch.tensor(relative_times))


def _collate_stream(sequences: Sequence[EventSequence], cache: FeatureCache) -> BatchStream:
    values = [cache.read(sequence.video) for sequence in sequences]
    event_rows = [
        cache.features.event_rows(sequence.video, start, end) for sequence in sequences for start, end in sequence.times
    ]
    lengths = torch.tensor([len(rows) for rows in values])
    return BatchStream(pad_sequence(values, batch_first=True), lengths, torch.tensor(event_rows))
