"""One pass over videos for any number of extractors: windows in, features out.

Decoding, resizing and the network overlap: each has a thread.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.features.extraction.prefetch import StalledError, ahead
from pipeline.features.extraction.sources import Source
from pipeline.features.extraction.window_reader import End, Reason, Tail, Window, read
from pipeline.features.networks.base import Extractor

WAITING_BYTES = 192 * 2**20
"""Of windows that are cut and not yet looked at."""
PREPARED_BYTES = 64 * 2**20
"""Of windows that are prepared and wait for their batch."""
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
        padded: whether the video is shorter than one window.
    """

    duration: float
    rows: Rows
    padded: bool = False


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
    timeout_s: float = math.inf,
    begin: Callable[[Source], None] = lambda _: None,
    last: Collection[str] = (),
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
        timeout_s: a video of which the decoder gives nothing for so long is left out.
        begin: is told each video before anything of it is read.
        last: videos, by id, after which a batch is not filled up with windows of the next.
    """
    batches = [_Batches(extractor, batch_size) for extractor in extractors]
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

    def reading(first: int, tell: Callable[[int], None]) -> Iterator[Window | End]:
        return ahead(read(sources, extractors, tail, threads, tell, first), _size, WAITING_BYTES, timeout_s)

    parts = _going_on(reading, sources, len(extractors), timeout_s, begin)
    for part in ahead(_prepared(parts, extractors, device), _size, PREPARED_BYTES):
        if isinstance(part, Prepared):
            batches[part.feature].add(part)
        else:
            ends.setdefault(part.video, {})[part.feature] = part
            if sources[part.video].video in last:
                batches[part.feature].finish()
            yield from finished()
    for batch in batches:
        batch.finish()
    yield from finished()


def _going_on(
    reading: Callable[[int, Callable[[int], None]], Iterator[Window | End]],
    sources: Sequence[Source],
    features: int,
    timeout_s: float,
    begin: Callable[[Source], None],
) -> Iterator[Window | End]:
    """All that is read; where the decoder hangs, the video ends for that reason, and it goes on behind it.

    Args:
        reading: from the number of a video on; is to tell the number of each video before it reads it.
        sources: the videos.
        features: how many extractors there are.
        timeout_s: how long the decoder may give nothing.
        begin: is told each video before it is read.
    """
    first = 0
    ended: set[tuple[int, int]] = set()
    while first < len(sources):
        video = first

        def tell(number: int) -> None:
            nonlocal video
            video = number
            begin(sources[number])

        try:
            for part in reading(first, tell):
                if isinstance(part, End):
                    ended.add((part.video, part.feature))
                yield part
            return
        except StalledError:
            path = sources[video].path
            reason = Reason("timeout", f"{path}: the decoder gives nothing for {timeout_s:g} s")
            for feature in range(features):
                if (video, feature) not in ended:
                    yield End(video, feature, 0, 0.0, reason=reason)
            first = video + 1


@dataclass(frozen=True)
class Prepared:
    """A window as a network is to see it.

    Attributes:
        video: number of the video.
        feature: number of the extractor.
        window: on the device that is to do the work.
    """

    video: int
    feature: int
    window: Tensor

    @property
    def nbytes(self) -> int:
        """Of the window."""
        return self.window.nbytes


def _prepared(
    parts: Iterator[Window | End], extractors: Sequence[Extractor], device: torch.device
) -> Iterator[Prepared | End]:
    """Windows put together, on the device, resized: a network looks at others meanwhile."""
    for part in parts:
        if isinstance(part, End):
            yield part
            continue
        whole = torch.from_numpy(np.concatenate(part.pieces))
        part.pieces.clear()  # large frames are not held twice
        yield Prepared(part.video, part.feature, extractors[part.feature].prepare(whole.to(device)))


def _size(part: Window | Prepared | End) -> int:
    return 0 if isinstance(part, End) else part.nbytes


class _Batches:
    """The windows of one extractor on their way through its network."""

    def __init__(self, extractor: Extractor, size: int) -> None:
        self._extractor, self._limit = extractor, size
        self._waiting: list[tuple[int, Tensor]] = []
        self._bytes = 0
        self._coming: tuple[list[int], Tensor] | None = None
        self._rows: dict[int, list[Row]] = {}
        self._dropped: set[int] = set()

    def add(self, prepared: Prepared) -> None:
        """Take a window, and let the network look at the batch that it fills."""
        self._waiting.append((prepared.video, prepared.window))
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
        return Made(end.duration, np.stack(rows), end.padded)

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
