"""From videos to windows: each video is decoded once, in order, for all extractors."""

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pipeline.config.extractors import Tail
from pipeline.errors import PipelineError
from pipeline.features.extraction.frame_sampling import (
    frame_filter,
    nearest_frames,
    num_sample_times,
    rate_as_fraction,
)
from pipeline.features.extraction.snippets import read_frame_snippets, read_sound_snippets
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.networks.base import Extractor
from pipeline.features.time_grid import ClipGrid, SnippetGrid
from pipeline.video.constant_rate import REENCODED_FPS, hold_frames
from pipeline.video.decode import DecodeError
from pipeline.video.decoder_process import DecoderProcess
from pipeline.video.ffmpeg_pipe import DamagedError
from pipeline.video.reasons import StillImageError, find_reason
from pipeline.video.shard import ReencodedVideo
from pipeline.video.stream import TimedFrame, iter_audio, iter_frames

Chunk = Shaped[np.ndarray, "_ ..."]
"""Consecutive frames or samples along the first axis."""


@dataclass(frozen=True)
class Window:
    """The input of one feature row.

    Attributes:
        video_index: index of the video.
        extractor_index: index of the extractor.
        chunks: to concatenate: uint8 [size height width 3], or float32 [size] for sound. Overlapping windows share
            their chunks.
    """

    video_index: int
    extractor_index: int
    chunks: list[Chunk]

    @property
    def nbytes(self) -> int:
        """Size of all chunks, bytes."""
        return sum(chunk.nbytes for chunk in self.chunks)


@dataclass(frozen=True)
class Rejection:
    """Why a video has no feature.

    Attributes:
        reason: code, to count by.
        detail: what exactly is wrong.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class EndOfVideo:
    """A video has no more windows for an extractor.

    Attributes:
        video_index: index of the video.
        extractor_index: index of the extractor.
        num_windows: number of windows before.
        duration: decoded length, seconds; 0 if decoding failed.
        padded: the video is shorter than one window.
        rejection: why the video is left out; None if it is not.
    """

    video_index: int
    extractor_index: int
    num_windows: int
    duration: float
    padded: bool = False
    rejection: Rejection | None = None


class WindowCutter:
    """Cut a stream of frames or samples into windows, and hold at most one window in memory.

    The first window starts at the start of the stream, each further one `stride` frames or samples later.

    Args:
        size: frames or samples in a window.
        stride: frames or samples from one window's start to the next; more than `size` leaves some out.
        tail: `drop` the end that fills no whole window, or `pad` it to one more window.
        silence: pad with zeros instead of the last frame.
    """

    def __init__(self, size: int, stride: int, tail: Tail, *, silence: bool) -> None:
        self._size, self._stride, self._tail, self._silence = size, stride, tail, silence
        self._chunks: list[Chunk] = []
        self._num_buffered = 0
        self._num_to_skip = 0
        self._covered = 0
        self.length = 0
        """Frames or samples so far."""
        self.num_windows = 0
        """Windows so far."""

    @property
    def padded(self) -> bool:
        """Whether the stream so far is shorter than one window."""
        return self.length < self._size

    def skip(self, count: int) -> bool:
        """Skip the next `count` frames or samples if they all lie between two windows; return whether they did."""
        if count > self._num_to_skip:
            return False
        self._num_to_skip -= count
        self.length += count
        return True

    def push(self, chunk: Chunk) -> Iterator[list[Chunk]]:
        """Add a chunk; yield the windows that it completes.

        Raises:
            DamagedError: the shape of the frames changes within the stream.
        """
        if self.skip(len(chunk)):
            return
        self.length += len(chunk)
        num_skipped, self._num_to_skip = self._num_to_skip, 0
        if self._chunks and self._chunks[0].shape[1:] != chunk.shape[1:]:
            raise DamagedError("the frame size changes within the file; re-encode it")
        self._chunks.append(chunk[num_skipped:])
        self._num_buffered += len(chunk) - num_skipped
        while self._num_buffered >= self._size:
            window, _ = _split(self._chunks, self._size)
            yield self._count(window)
            _, self._chunks = _split(self._chunks, self._stride)
            self._num_to_skip = max(0, self._stride - self._num_buffered)
            self._num_buffered = max(0, self._num_buffered - self._stride)

    def finish(self) -> Iterator[list[Chunk]]:
        """Yield the padded last window, if the stream is shorter than one window or `tail` is `pad`."""
        uncovered = self._num_buffered > 0 and self.length > self._covered
        if uncovered and (self.num_windows == 0 or self._tail == "pad"):
            last = self._chunks[-1][-1:]
            padding = np.zeros_like(last) if self._silence else last
            yield self._count([*self._chunks, np.repeat(padding, self._size - self._num_buffered, axis=0)])

    def _count(self, window: list[Chunk]) -> list[Chunk]:
        self._covered = self.num_windows * self._stride + self._size
        self.num_windows += 1
        return window


def _split(chunks: list[Chunk], count: int) -> tuple[list[Chunk], list[Chunk]]:
    """Split chunks after the first `count` frames or samples."""
    head: list[Chunk] = []
    for index, chunk in enumerate(chunks):
        if count <= len(chunk):
            rest = [chunk[count:]] if count < len(chunk) else []
            return [*head, chunk[:count]], [*rest, *chunks[index + 1 :]]
        head.append(chunk)
        count -= len(chunk)
    return head, []


def read_windows(
    sources: Sequence[VideoSource],
    extractors: Sequence[Extractor],
    tail: Tail,
    threads: int,
    timeout_s: float,
) -> Iterator[Window | EndOfVideo]:
    """Yield all windows of all videos, video by video, each extractor's in order, and an `EndOfVideo` per extractor.

    Args:
        sources: the videos.
        extractors: receivers of the windows.
        tail: `drop` the end that fills no window, or `pad` it.
        threads: threads of the decoder.
        timeout_s: longest time to wait for a frame, seconds.
    """
    with DecoderProcess() as decoder:
        options = _DecoderOptions(decoder, threads, timeout_s)
        for video_index, source in enumerate(sources):
            for modality, read in (("frames", _frame_windows), ("sound", _sound_windows)):
                streams = {
                    index: _WindowStream(video_index, index, extractor, tail)
                    for index, extractor in enumerate(extractors)
                    if extractor.modality == modality and not isinstance(extractor.grid, SnippetGrid)
                }
                if streams:
                    windows = read(source, list(streams.values()), options)
                    yield from _windows_of_video(video_index, windows, streams)
                snippets = {
                    index: _SnippetStream(video_index, index, modality, extractor.grid)
                    for index, extractor in enumerate(extractors)
                    if extractor.modality == modality and isinstance(extractor.grid, SnippetGrid)
                }
                if snippets:
                    windows = _snippet_windows(source, list(snippets.values()), options)
                    yield from _windows_of_video(video_index, windows, snippets)


@dataclass(frozen=True)
class _DecoderOptions:
    """How videos are decoded.

    Attributes:
        process: decodes re-encoded videos.
        threads: threads of the decoder.
        timeout_s: longest time to wait for a frame, seconds.
    """

    process: DecoderProcess
    threads: int
    timeout_s: float


WindowGenerator = Generator[Window, None, float]
"""Yields windows, and returns the duration of the video in seconds."""


class _WindowStream:
    """The windows of one video for one extractor."""

    def __init__(self, video_index: int, extractor_index: int, extractor: Extractor, tail: Tail) -> None:
        grid = extractor.grid
        self._video_index, self._extractor_index = video_index, extractor_index
        self.rate, stride = rate_as_fraction(grid.fps), grid.stride
        if grid.frames == 1:  # do not even sample the frames between single-frame windows
            self.rate, stride = self.rate / stride, 1
        self.cutter = WindowCutter(grid.frames, stride, tail, silence=extractor.modality == "sound")

    @property
    def num_windows(self) -> int:
        return self.cutter.num_windows

    @property
    def padded(self) -> bool:
        return self.cutter.padded

    def push(self, chunk: Chunk) -> Iterator[Window]:
        return (Window(self._video_index, self._extractor_index, chunks) for chunks in self.cutter.push(chunk))

    def finish(self) -> Iterator[Window]:
        return (Window(self._video_index, self._extractor_index, chunks) for chunks in self.cutter.finish())


class _SnippetStream:
    """The windows of the snippets of one video for one extractor.

    Attributes:
        modality: of the extractor.
        grid: of the extractor.
        num_windows: windows so far.
        padded: the video is shorter than one window.
    """

    def __init__(self, video_index: int, extractor_index: int, modality: str, grid: SnippetGrid) -> None:
        self.modality, self.grid = modality, grid
        self.num_windows = 0
        self.padded = False
        self._video_index, self._extractor_index = video_index, extractor_index

    def window(self, chunks: list[Chunk]) -> Window:
        self.num_windows += 1
        return Window(self._video_index, self._extractor_index, chunks)


def _windows_of_video(
    video_index: int, windows: WindowGenerator, streams: Mapping[int, _WindowStream | _SnippetStream]
) -> Iterator[Window | EndOfVideo]:
    """Yield the windows of one video, then how it ended. Whatever its decoder raises rejects this video only.

    Raises:
        PipelineError: no video can be read, because ffmpeg is too old.
    """
    duration, rejection = 0.0, None
    try:
        duration = yield from windows
    except (DecodeError, OSError) as error:
        rejection = Rejection(find_reason(error), str(error))
    except PipelineError:
        raise
    except Exception as error:
        logging.debug("unexpected error of a decoder", exc_info=True)
        rejection = Rejection("decode_error", f"the decoder failed ({type(error).__name__}: {error})")
    for index, stream in streams.items():
        empty = None if stream.num_windows else Rejection("unreadable", "no frame or sample could be decoded")
        yield EndOfVideo(video_index, index, stream.num_windows, duration, stream.padded, rejection or empty)


def _decode(source: VideoSource, rates: Sequence[Fraction], options: _DecoderOptions) -> Iterator[TimedFrame]:
    video = source.reencoded
    if video is None:
        return _decode_raw(source.path, options)
    fps = rate_as_fraction(video.fps)
    is_needed = frame_filter(fps, video.frames, rates)
    indices = [index for index in range(video.frames) if is_needed(index / fps)]
    return options.process.iter_frames(source.path, indices, fps, threads=options.threads, timeout_s=options.timeout_s)


def _decode_raw(path: Path, options: _DecoderOptions) -> Iterator[TimedFrame]:
    """Yield the frames of a raw video at the rate of re-encoded ones.

    Raises:
        StillImageError: there is only one.
    """
    count = 0
    frames = iter_frames(path, threads=options.threads, timeout_s=options.timeout_s)
    for frame in hold_frames(frames, REENCODED_FPS):
        count += 1
        yield frame
    if count == 1:
        raise StillImageError(f"{path}: holds a single frame")


def _frame_windows(source: VideoSource, streams: Sequence[_WindowStream], options: _DecoderOptions) -> WindowGenerator:
    rates = sorted({stream.rate for stream in streams})
    end = Fraction(0)

    def frames() -> Iterator[TimedFrame]:
        nonlocal end
        for frame in _decode(source, rates, options):
            end = frame.time + frame.duration
            yield frame

    for frame, counts in nearest_frames(frames(), rates):
        chunk: Chunk | None = None
        for stream in streams:
            for _ in range(counts[rates.index(stream.rate)]):
                if not stream.cutter.skip(1):
                    chunk = frame.to_rgb()[None] if chunk is None else chunk
                    yield from stream.push(chunk)
    if not end:
        raise DecodeError(f"{source.path}: has no video frames")
    if source.reencoded is not None:
        _check_length(source.reencoded, streams)
    for stream in streams:
        yield from stream.finish()
    return float(end) if source.reencoded is None else source.reencoded.duration


def _check_length(video: ReencodedVideo, streams: Sequence[_WindowStream]) -> None:
    """Reject a re-encoded file that ends too early; otherwise it would only give fewer windows."""
    fps = rate_as_fraction(video.fps)
    for stream in streams:
        length, expected = stream.cutter.length, num_sample_times(video.frames / fps, 1 / fps, stream.rate)
        if length != expected:
            raise DamagedError(f"{video.path}: {length} frames decoded, expected {expected}; re-encode the video")


def _sound_windows(source: VideoSource, streams: Sequence[_WindowStream], options: _DecoderOptions) -> WindowGenerator:
    for rate in sorted({round(stream.rate) for stream in streams}):
        if source.reencoded is None:
            parts = iter_audio(source.path, rate, timeout_s=options.timeout_s)
        else:
            parts = options.process.iter_audio(source.path, rate, timeout_s=options.timeout_s)
        for samples in parts:
            for stream in streams:
                if round(stream.rate) == rate:
                    yield from stream.push(samples)
    for stream in streams:
        yield from stream.finish()
    return float(streams[0].cutter.length / streams[0].rate)


def _snippet_windows(
    source: VideoSource, streams: Sequence[_SnippetStream], options: _DecoderOptions
) -> WindowGenerator:
    """Yield the windows of snippets of one modality."""
    num_frames, fps = _count_frames(source, options)
    video, threads, timeout_s = source.reencoded, options.threads, options.timeout_s

    def read_frames(indices: Sequence[int]) -> Iterator[TimedFrame]:
        if video is not None:
            return options.process.iter_frames(source.path, indices, fps, threads=threads, timeout_s=timeout_s)
        needed = frozenset(indices)
        return (frame for index, frame in enumerate(_decode_raw(source.path, options)) if index in needed)

    def read_samples(rate: int) -> Iterator[Chunk]:
        read = iter_audio if video is None else options.process.iter_audio
        return read(source.path, rate, timeout_s=timeout_s)

    grids = [stream.grid for stream in streams]
    if streams[0].modality == "sound":
        windows = read_sound_snippets(read_samples, num_frames, fps, grids)
    else:
        windows = read_frame_snippets(read_frames, num_frames, fps, grids)
    for index, chunks in windows:
        yield streams[index].window(chunks)
    duration = float(num_frames / fps)
    for stream in streams:
        stream.padded = ClipGrid.is_padded(stream.grid, duration)
    return duration


def _count_frames(source: VideoSource, options: _DecoderOptions) -> tuple[int, Fraction]:
    """Return number of frames and frame rate of a video; a raw one is decoded for that, at the rate of re-encoding.

    Raises:
        DecodeError: it has no frames.
    """
    if source.reencoded is not None:
        return source.reencoded.frames, rate_as_fraction(source.reencoded.fps)
    count = sum(1 for _ in _decode_raw(source.path, options))
    if not count:
        raise DecodeError(f"{source.path}: has no video frames")
    return count, REENCODED_FPS
