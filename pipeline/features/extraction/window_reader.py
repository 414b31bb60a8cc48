"""From videos to windows: each video is decoded once, in order, whoever looks at it."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import PipelineError
from pipeline.features.extraction.frame_sampling import exact, instants, nearest, needed
from pipeline.features.extraction.sources import Source
from pipeline.features.extraction.windows import Cutter, Piece, Pieces
from pipeline.features.networks.base import Extractor
from pipeline.video.decode import DecodeError
from pipeline.video.shard import VideoRow
from pipeline.video.stream import DamagedError, Pixels, SilentError, Timed, sound, timed

Tail = Literal["drop", "pad"]
NO_SOUND = "no_sound"
"""The reason that is no fault of a video."""


@dataclass(frozen=True)
class Window:
    """What one row of a feature is made of.

    Attributes:
        video: number of the video.
        feature: number of the extractor.
        pieces: to be put together: uint8 [size height width 3], or float32 [size] of sound.
    """

    video: int
    feature: int
    pieces: Pieces

    @property
    def nbytes(self) -> int:
        """Of all pieces."""
        return sum(piece.nbytes for piece in self.pieces)


@dataclass(frozen=True)
class Reason:
    """Why a video has no feature: a code to count by, and what was seen."""

    code: str
    detail: str


@dataclass(frozen=True)
class End:
    """There are no more windows of a video for an extractor.

    Attributes:
        video: number of the video.
        feature: number of the extractor.
        windows: how many there were.
        duration: of what was decoded, seconds; 0 where that failed.
        padded: whether what there is does not fill one window.
        reason: why the video is left out; None if it is not.
    """

    video: int
    feature: int
    windows: int
    duration: float
    padded: bool = False
    reason: Reason | None = None


def read(
    sources: Sequence[Source],
    extractors: Sequence[Extractor],
    tail: Tail,
    threads: int,
    begin: Callable[[int], None],
    first: int = 0,
) -> Iterator[Window | End]:
    """All windows of all videos, video by video, those of each extractor in order; then how each video ended.

    Args:
        sources: the videos.
        extractors: who looks at them.
        tail: what becomes of the end that no window covers.
        threads: of the decoder.
        begin: is told the number of each video before anything of it is read.
        first: number of the video to begin with.
    """
    for video, source in enumerate(sources[first:], first):
        begin(video)
        for modality, windows in (("frames", _of_frames), ("sound", _of_sound)):
            streams = {
                number: _Stream(video, number, item, tail)
                for number, item in enumerate(extractors)
                if item.modality == modality
            }
            if streams:
                yield from _whole(video, windows(source, list(streams.values()), threads), streams)


Windows = Generator[Window, None, float]
"""Gives windows, and at the end the video's duration in seconds."""


class _Stream:
    """What one extractor sees of one video."""

    def __init__(self, video: int, feature: int, extractor: Extractor, tail: Tail) -> None:
        grid = extractor.grid
        self._video, self._feature = video, feature
        self.rate, stride = exact(grid.fps), grid.stride
        if grid.frames == 1:  # the frames between single ones are not even picked
            self.rate, stride = self.rate / stride, 1
        self.cutter = Cutter(grid.frames, stride, tail, silence=extractor.modality == "sound")

    def push(self, piece: Piece) -> Iterator[Window]:
        return (Window(self._video, self._feature, window) for window in self.cutter.push(piece))

    def end(self) -> Iterator[Window]:
        return (Window(self._video, self._feature, window) for window in self.cutter.end())


def _whole(video: int, windows: Windows, streams: dict[int, _Stream]) -> Iterator[Window | End]:
    """The windows of one video and how it ended; what is wrong with it is its own matter and stops nothing."""
    duration, reason = 0.0, None
    try:
        duration = yield from windows
    except (PipelineError, OSError) as error:
        reason = Reason(_code(error), str(error))
    for feature, stream in streams.items():
        empty = None if stream.cutter.windows else Reason("unreadable", "nothing could be decoded")
        yield End(video, feature, stream.cutter.windows, duration, stream.cutter.padded, reason or empty)


def _code(error: Exception) -> str:
    if isinstance(error, SilentError):
        return NO_SOUND
    return "decode_error" if isinstance(error, DamagedError) or not isinstance(error, DecodeError) else "unreadable"


def _of_frames(source: Source, streams: Sequence[_Stream], threads: int) -> Windows:
    row, pixels = source.row, Pixels()
    rates = sorted({stream.rate for stream in streams})
    last: Timed | None = None

    def decoded() -> Iterator[Timed]:
        nonlocal last
        wanted = needed(exact(row.fps), row.frames, rates) if row else None
        for frame in timed(source.path, threads=threads, wanted=wanted):
            last = frame
            yield frame

    for frame, counts in nearest(decoded(), rates):
        piece: Piece | None = None
        for stream in streams:
            for _ in range(counts[rates.index(stream.rate)]):
                if not stream.cutter.passes(1):
                    piece = pixels(frame.picture)[None] if piece is None else piece
                    yield from stream.push(piece)
    if last is None:
        raise DecodeError(f"{source.path}: has no video frames")
    if row is not None:
        _check_length(row, streams)
    for stream in streams:
        yield from stream.end()
    return float(last.time + last.duration) if row is None else row.duration


def _check_length(row: VideoRow, streams: Sequence[_Stream]) -> None:
    """A re-encoded file that ends too early would otherwise just give fewer windows."""
    fps = exact(row.fps)
    for stream in streams:
        found, expected = stream.cutter.total, instants(row.frames / fps, 1 / fps, stream.rate)
        if found != expected:
            raise DamagedError(
                f"{row.path}: {found} frames could be decoded where {expected} were expected; re-encode it"
            )


def _of_sound(source: Source, streams: Sequence[_Stream], _: int) -> Windows:
    for rate, chunk in sound(source.path, sorted({round(stream.rate) for stream in streams})):
        for stream in streams:
            if round(stream.rate) == rate:
                yield from stream.push(chunk)
    for stream in streams:
        yield from stream.end()
    return float(streams[0].cutter.total / streams[0].rate)
