"""One pass over videos for any number of extractors: windows in, features out.

Decoding, the preparation of windows, and the networks overlap: each has a thread.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.extractors import Tail
from pipeline.errors import PipelineError
from pipeline.features.extraction.prefetch import prefetch
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.extraction.windows import EndOfVideo, Rejection, Window, read_windows
from pipeline.features.networks.base import Extractor

MAX_WINDOW_BYTES = 192 * 2**20
"""Total size of the windows that wait for preparation."""
MAX_PREPARED_BYTES = 64 * 2**20
"""Total size of the prepared windows that wait for their batch."""
MAX_BATCH_BYTES = 256 * 2**20
"""A batch of prepared windows of at least this size is complete."""

FeatureRow = Float[np.ndarray, "dim"]
FeatureRows = Float[np.ndarray, "_ dim"]


@dataclass(frozen=True)
class ExtractedVideoFeature:
    """One feature of one video.

    Attributes:
        duration: of the video, or of its sound, seconds.
        rows: feature rows, at least one.
        padded: the video is shorter than one window.
    """

    duration: float
    rows: FeatureRows
    padded: bool = False


Result = tuple[VideoSource, list[ExtractedVideoFeature | Rejection]]
"""A video and, for each extractor in order, its features or why it has none."""


def extract_features(
    sources: Sequence[VideoSource],
    extractors: Sequence[Extractor],
    *,
    batch_size: int,
    device: torch.device,
    tail: Tail = "drop",
    threads: int = 1,
    timeout_s: float = math.inf,
    flush_after: Collection[str] = (),
) -> Iterator[Result]:
    """Yield the features of every video, in the order of the videos.

    Each video is decoded once. A batch may hold windows of several videos. Its composition depends only on the order of
    the videos, so that the same call gives the same numbers.

    Args:
        sources: the videos.
        extractors: on `device`.
        batch_size: windows per forward pass.
        device: device on which windows are prepared.
        tail: `drop` the end of a video that fills no whole window, or `pad` it to one more window.
        threads: threads of the decoder.
        timeout_s: a video is left out if its decoder returns nothing for this time, seconds.
        flush_after: ids of videos after which a batch is not filled up with windows of the next video.
    """
    queues = [_BatchQueue(extractor, batch_size) for extractor in extractors]
    ends: dict[int, dict[int, EndOfVideo]] = {}
    num_yielded = 0

    def finished_videos() -> Iterator[Result]:
        nonlocal num_yielded
        while num_yielded in ends and all(
            index in ends[num_yielded] and queue.is_complete(ends[num_yielded][index])
            for index, queue in enumerate(queues)
        ):
            video_ends = ends.pop(num_yielded)
            yield sources[num_yielded], [queue.pop(video_ends[index]) for index, queue in enumerate(queues)]
            num_yielded += 1

    windows = prefetch(read_windows(sources, extractors, tail, threads, timeout_s), _nbytes, MAX_WINDOW_BYTES)
    for item in prefetch(_prepare_windows(windows, extractors, device), _nbytes, MAX_PREPARED_BYTES):
        if isinstance(item, PreparedWindow):
            queues[item.extractor_index].add(item)
        else:
            ends.setdefault(item.video_index, {})[item.extractor_index] = item
            if sources[item.video_index].video in flush_after:
                queues[item.extractor_index].flush()
            yield from finished_videos()
    for queue in queues:
        queue.flush()
    yield from finished_videos()


@dataclass(frozen=True)
class PreparedWindow:
    """A window as input of a network.

    Attributes:
        video_index: index of the video.
        extractor_index: index of the extractor.
        window: on the device of the network.
    """

    video_index: int
    extractor_index: int
    window: Tensor

    @property
    def nbytes(self) -> int:
        """Size of the window, bytes."""
        return self.window.nbytes


def _prepare_windows(
    items: Iterator[Window | EndOfVideo], extractors: Sequence[Extractor], device: torch.device
) -> Iterator[PreparedWindow | EndOfVideo]:
    """Concatenate, move and prepare windows, while a network computes others."""
    for item in items:
        if isinstance(item, EndOfVideo):
            yield item
            continue
        window = torch.from_numpy(np.concatenate(item.chunks))
        item.chunks.clear()  # do not hold large frames twice
        prepared = extractors[item.extractor_index].prepare(window.to(device))
        yield PreparedWindow(item.video_index, item.extractor_index, prepared)


def _nbytes(item: Window | PreparedWindow | EndOfVideo) -> int:
    return 0 if isinstance(item, EndOfVideo) else item.nbytes


class _BatchQueue:
    """Batches the prepared windows of one extractor, and sorts the feature rows by video."""

    def __init__(self, extractor: Extractor, batch_size: int) -> None:
        self._extractor, self._batch_size = extractor, batch_size
        self._waiting: list[tuple[int, Tensor]] = []
        self._waiting_bytes = 0
        self._running: tuple[list[int], Tensor] | None = None
        self._rows: dict[int, list[FeatureRow]] = {}
        self._dropped: set[int] = set()

    def add(self, item: PreparedWindow) -> None:
        """Add a window; run the network if the batch is complete."""
        self._waiting.append((item.video_index, item.window))
        self._waiting_bytes += item.nbytes
        if len(self._waiting) >= self._batch_size or self._waiting_bytes >= MAX_BATCH_BYTES:
            self._run_batch()

    def flush(self) -> None:
        """Run the network on all windows that wait, and collect their rows."""
        if self._waiting:
            self._run_batch()
        self._collect()

    def is_complete(self, end: EndOfVideo) -> bool:
        """Return whether all rows of a video are computed, or the video is rejected."""
        return end.rejection is not None or len(self._rows.get(end.video_index, ())) == end.num_windows

    def pop(self, end: EndOfVideo) -> ExtractedVideoFeature | Rejection:
        """Return the rows of a video and forget them; forget the windows of a rejected video."""
        rows = self._rows.pop(end.video_index, [])
        if end.rejection is not None:
            self._dropped.add(end.video_index)
            self._waiting = [(index, window) for index, window in self._waiting if index != end.video_index]
            self._waiting_bytes = sum(window.nbytes for _, window in self._waiting)
            return end.rejection
        return ExtractedVideoFeature(end.duration, np.stack(rows), end.padded)

    def _run_batch(self) -> None:
        try:
            with torch.no_grad():
                features = self._extractor([window for _, window in self._waiting])
        except torch.OutOfMemoryError as error:
            raise PipelineError(
                f"{self._extractor.name}: a batch of {len(self._waiting)} windows does not fit in GPU memory "
                f"({error}); reduce extract_features batch_size"
            ) from None
        video_indices = [index for index, _ in self._waiting]
        self._waiting, self._waiting_bytes = [], 0
        self._collect()
        self._running = (video_indices, features)

    def _collect(self) -> None:
        """Collect the rows of the previous batch. The GPU already works on the next one while we wait for them."""
        if self._running is None:
            return
        video_indices, features = self._running
        for index, row in zip(video_indices, features.float().cpu().numpy(), strict=True):
            if index not in self._dropped:
                self._rows.setdefault(index, []).append(row)
        self._running = None
