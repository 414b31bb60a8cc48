"""The batches that captioners read: events, and the streams of features of their videos."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureCache
from pipeline.features.streams import FeatureStreams
from pipeline.features.time_grid import snippet_centres

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
    limit: int | None = None,
) -> tuple[Float[Tensor, "events length width"], Bool[Tensor, "events length"]]:
    """Return the feature rows of each event, padded with zeros to the longest event; and the mask of its rows.

    Args:
        features: feature rows of each sequence.
        sequence_index: which sequence each event belongs to.
        event_rows: first row of each event, and the row after its last.
        limit: of an event with more rows, take those in the middles of so many equal parts (28 of 60 in CLIP-DAP).
    """
    if limit is not None and int((event_rows[:, 1] - event_rows[:, 0]).max()) > limit:
        return _gather_middles(features, sequence_index, event_rows, limit)
    lengths = event_rows[:, 1] - event_rows[:, 0]
    offsets = torch.arange(int(lengths.max()), device=event_rows.device)
    rows = (event_rows[:, :1] + offsets).clamp_max(features.shape[1] - 1)
    mask = offsets < lengths[:, None]
    return features[sequence_index[:, None], rows].masked_fill(~mask[..., None], 0.0), mask


def _gather_middles(
    features: Float[Tensor, "sequences total width"],
    sequence_index: Int64[Tensor, " events"],
    event_rows: Int64[Tensor, "events 2"],
    limit: int,
) -> tuple[Float[Tensor, "events length width"], Bool[Tensor, "events length"]]:
    lengths = [end - first for first, end in event_rows.tolist()]
    rows_of_events = [snippet_centres(length, limit) if length > limit else range(length) for length in lengths]
    offsets = pad_sequence([torch.tensor(rows) for rows in rows_of_events], batch_first=True).to(event_rows.device)
    mask = torch.arange(offsets.shape[1]) < torch.tensor([len(rows) for rows in rows_of_events])[:, None]
    mask = mask.to(event_rows.device)
    rows = (event_rows[:, :1] + offsets).clamp_max(features.shape[1] - 1)
    return features[sequence_index[:, None], rows].masked_fill(~mask[..., None], 0.0), mask


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
        """Return, for each stream, an iterator over the features of some videos; it skips videos that lack them.

        Raises:
            PipelineError: no video has the features of a stream.
        """
        iterators: dict[str, Iterator[Float[Tensor, "_ _"]]] = {}
        for name, cache in self._caches.items():
            present = [video for video in videos if video not in cache.features.empty_videos]
            if not present:
                raise PipelineError(f"none of {len(videos)} videos has features of the stream {name}; leave it out")
            iterators[name] = map(cache.read, present)
        return iterators

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
