"""One pass over videos for any number of extractors: windows in, features out; decoding goes on meanwhile."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.errors import PipelineError
from pipeline.extraction.ahead import ahead
from pipeline.extraction.reading import End, Reason, Tail, Window, read
from pipeline.extraction.sources import Source
from pipeline.extractors.base import Extractor

WAITING_BYTES = 192 * 2**20
"""Of windows that are cut and not yet looked at."""
BATCH_BYTES = 256 * 2**20
"""A batch of prepared windows that is as large is not made larger."""

Row = Float[np.ndarray, "dim"]
Rows = Float[np.ndarray, "_ dim"]


@dataclass(frozen=True)
class Made:
    """One feature of one video.

    Attributes:
        duration: of the video, or of its sound, seconds.
        rows: the feature, at least one row.
    """

    duration: float
    rows: Rows


Result = tuple[Source, list[Made | Reason]]
"""A video, and of each extractor, in their order, its feature or the reason why there is none."""


def extract(
    sources: Sequence[Source],
    extractors: Sequence[Extractor],
    *,
    batch_size: int,
    device: torch.device,
    tail: Tail = "drop",
    threads: int = 1,
) -> Iterator[Result]:
    """Features of every video, in the order of the videos.

    Each video is decoded once. A batch holds windows of several videos where one does not fill it; which ones they are
    follows from the videos' order alone, so that the same call gives the same numbers.

    Args:
        sources: the videos.
        extractors: who looks at them, on `device`.
        batch_size: windows per forward pass.
        device: where windows are prepared; they go there as they were decoded.
        tail: what becomes of the end that no whole window covers: left out, or one more window that is padded.
        threads: of the decoder.
    """
    batches = [_Batches(extractor, batch_size, device) for extractor in extractors]
    ends: dict[int, dict[int, End]] = {}
    given = 0

    def finished() -> Iterator[Result]:
        nonlocal given
        while given in ends and all(
            number in ends[given] and batch.has(ends[given][number]) for number, batch in enumerate(batches)
        ):
            of_video = ends.pop(given)
            yield sources[given], [batch.take(of_video[number]) for number, batch in enumerate(batches)]
            given += 1

    for part in ahead(read(sources, extractors, tail, threads), _size, WAITING_BYTES):
        if isinstance(part, Window):
            batches[part.feature].add(part)
        else:
            ends.setdefault(part.video, {})[part.feature] = part
            yield from finished()
    for batch in batches:
        batch.finish()
    yield from finished()


def _size(part: Window | End) -> int:
    return part.nbytes if isinstance(part, Window) else 0


class _Batches:
    """The windows of one extractor on their way through its network."""

    def __init__(self, extractor: Extractor, size: int, device: torch.device) -> None:
        self._extractor, self._limit, self._device = extractor, size, device
        self._waiting: list[tuple[int, Tensor]] = []
        self._bytes = 0
        self._coming: tuple[list[int], Tensor] | None = None
        self._rows: dict[int, list[Row]] = {}
        self._dropped: set[int] = set()

    def add(self, window: Window) -> None:
        """Prepare a window, and let the network look at the batch that it fills."""
        whole = torch.from_numpy(np.concatenate(window.pieces))
        prepared = self._extractor.prepare(whole.to(self._device))
        self._waiting.append((window.video, prepared))
        self._bytes += prepared.nbytes
        if len(self._waiting) >= self._limit or self._bytes >= BATCH_BYTES:
            self._flush()

    def finish(self) -> None:
        """Have everything that was added looked at."""
        if self._waiting:
            self._flush()
        self._collect()

    def has(self, end: End) -> bool:
        """Whether all rows of a video are there, or none will be wanted."""
        return end.reason is not None or len(self._rows.get(end.video, ())) == end.windows

    def take(self, end: End) -> Made | Reason:
        """Hand over the rows of a video; of one that is left out, drop what there is."""
        rows = self._rows.pop(end.video, [])
        if end.reason is not None:
            self._dropped.add(end.video)
            self._waiting = [(video, window) for video, window in self._waiting if video != end.video]
            self._bytes = sum(window.nbytes for _, window in self._waiting)
            return end.reason
        return Made(end.duration, np.stack(rows))

    def _flush(self) -> None:
        try:
            with torch.no_grad():
                features = self._extractor([window for _, window in self._waiting])
        except torch.OutOfMemoryError as error:
            raise PipelineError(
                f"{self._extractor.name}: {len(self._waiting)} windows do not fit into the GPU's memory ({error}); "
                "config: a smaller extract_features batch_size"
            ) from None
        videos = [video for video, _ in self._waiting]
        self._waiting, self._bytes = [], 0
        self._collect()
        self._coming = (videos, features)

    def _collect(self) -> None:
        """Take over the rows of the batch before: waiting for a GPU comes after giving it the next one."""
        if self._coming is None:
            return
        videos, features = self._coming
        for video, row in zip(videos, features.float().cpu().numpy(), strict=True):
            if video not in self._dropped:
                self._rows.setdefault(video, []).append(row)
        self._coming = None
