"""Streaming a video of any format from start to end: frames with their times, and audio samples.

ffmpeg decodes, turns and converts the frames, and resamples the audio: what it shows of a file is what we see.
`pipeline.video.decode` reads re-encoded files by frame index. One frame at a time is held in memory.
"""

import itertools
import math
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float

from pipeline.video.decode import Frame
from pipeline.video.ffmpeg_pipe import DamagedError, FfmpegPipe
from pipeline.video.media_streams import (
    MediaStream,
    check_not_truncated,
    choose_audio,
    choose_companion,
    choose_video,
    discard_arguments,
    input_arguments,
)
from pipeline.video.pixel_format import PixelFormat, Pixels, choose_pixel_format

Samples = Float[np.ndarray, "samples"]
ChannelSamples = Float[np.ndarray, "samples channels"]
T = TypeVar("T")

MAX_FORWARD_S = Fraction(24 * 3600)
"""Longest time for which a frame is shown, or for which there is no sound (seconds): people record still screens for
hours."""
MAX_OFFSET_S = Fraction(1, 50)
"""Largest difference of the time and the place of a sample (seconds). Beyond it, silence is inserted, or samples are
dropped. Times in milliseconds cause smaller differences."""
MAX_CHANNELS = 64
"""Number of channels that are averaged; ffmpeg knows no more."""
MAX_SILENCE = 2**16
"""Number of samples of silence in one part."""
MAX_PIXELS = 2**27
"""Largest frame: 8K has a quarter of it. A hostile file would fill the memory with one frame."""
STRICT = ["-err_detect:v", "explode", "-err_detect:a", "explode", "-max_error_rate", "0"]
"""Options of ffmpeg's input with which decoders refuse packets with errors, where they would conceal them."""

_TIME_BASE = re.compile(r" config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r" pts: *(-?\d+) .* s:(\d+)x(\d+) ")
_DURATION = re.compile(r" duration: *(\d+) ")
_SAMPLES = re.compile(r" pts:(-?\d+) .* nb_samples:(\d+) ")


class _RefusedPacketError(Exception):
    """A decoder refused a packet."""


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame and its display time.

    Attributes:
        time: seconds from the start of the file, which is the start of its first stream.
        duration: seconds, as the file states it.
        to_rgb: returns the frame as RGB, upright.
    """

    time: Fraction
    duration: Fraction
    to_rgb: Callable[[], Frame]


@dataclass(frozen=True)
class TimedPixels:
    """A frame as ffmpeg sends it, and its display time.

    Attributes:
        time: seconds from the start of the file, which is the start of its first stream.
        duration: seconds, as the file states it.
        pixels: the frame.
    """

    time: Fraction
    duration: Fraction
    pixels: Pixels


def iter_frames(path: Path, *, threads: int = 1, timeout_s: float = math.inf) -> Iterator[TimedFrame]:
    """Yield the frames of any video in the order in which ffmpeg shows them.

    Their times increase, except where the file is wrong. All frames have the size of the first one: ffmpeg scales the
    others. An error is never concealed.

    Args:
        path: any video.
        threads: number of decoder threads; has no influence on the frames.
        timeout_s: longest time to wait for a frame, seconds.

    Raises:
        DecodeError: the file has no video or cannot be opened, or its decoder crashes or hangs.
        DamagedError: the file has an error or is truncated.
    """
    stream = choose_video(path, timeout_s)
    pixel_format = choose_pixel_format(stream.frame_lines)
    companion = choose_companion(path, stream, choose_audio, timeout_s)
    pixels = iter_pixels(path, stream, pixel_format, companion=companion, threads=threads, timeout_s=timeout_s)
    with closing(pixels) as frames:
        for frame in frames:
            yield TimedFrame(frame.time, frame.duration, partial(pixel_format.to_rgb, frame.pixels))


def iter_pixels(
    path: Path,
    stream: MediaStream,
    pixel_format: PixelFormat,
    *,
    companion: MediaStream | None,
    filters: Sequence[str] = (),
    tolerant: bool = False,
    threads: int = 1,
    timeout_s: float = math.inf,
) -> Generator[TimedPixels, None, None]:
    """Yield the frames of a video stream as ffmpeg sends them; see `iter_frames`.

    Args:
        path: any video.
        stream: the video stream.
        pixel_format: format in which ffmpeg sends the frames.
        companion: the audio stream; see `choose_companion`.
        filters: filters of ffmpeg through which the frames pass.
        tolerant: conceal errors.
        threads: number of decoder threads; has no influence on the frames.
        timeout_s: longest time to wait for a frame, seconds.

    Raises:
        DecodeError: the decoder crashes or hangs.
        DamagedError: the file has an error or is truncated, and `tolerant` is false.
    """

    def decode(strict: bool) -> Generator[TimedPixels, None, None]:
        options = ["-filter_threads", "1", "-threads", str(threads), "-max_pixels", str(MAX_PIXELS)]
        options += STRICT if strict else []
        chain = ",".join([*filters, "showinfo=checksum=0"])
        frames = ["-map", f"0:{stream.index}", "-vf", chain, "-fps_mode", "passthrough"]
        output = ["-pix_fmt", pixel_format.name, "-f", "rawvideo", "pipe:1"]
        arguments = [*options, *input_arguments(path), *frames, *output, *discard_arguments(companion)]
        with FfmpegPipe(path, arguments, timeout_s=timeout_s, strict=strict) as pipe:
            end = yield from _read_frames(path, pipe, pixel_format)
            if not tolerant:
                _check_end(path, pipe, "picture", end, strict, timeout_s)

    if tolerant:
        return decode(False)
    return _decode_strictly(decode, partial(_check_harmless, path, stream.index, "picture", timeout_s))


def iter_audio(path: Path, rate: int, *, timeout_s: float = math.inf) -> Iterator[Samples]:
    """Yield the audio of any file as samples of one channel, the mean of all.

    Gaps, and the time before audio that starts after the video, are filled with silence. So a sample is never more than
    `MAX_OFFSET_S` from its time, however small the gaps are.

    Args:
        path: any video or audio file.
        rate: sample rate (samples/s).
        timeout_s: longest time to wait for samples, seconds.

    Raises:
        NoAudioError: the file has no audio.
        DecodeError: the file cannot be opened, or its decoder crashes or hangs.
        DamagedError: the audio has an error, or the file is truncated.
    """
    stream = choose_audio(path, timeout_s)
    companion = choose_companion(path, stream, choose_video, timeout_s)
    with closing(iter_channels(path, stream, rate, companion=companion, channels=1, timeout_s=timeout_s)) as parts:
        for samples in parts:
            yield samples[:, 0]


def iter_channels(
    path: Path,
    stream: MediaStream,
    rate: int,
    *,
    companion: MediaStream | None,
    channels: Literal[1, 2],
    tolerant: bool = False,
    timeout_s: float = math.inf,
) -> Generator[ChannelSamples, None, None]:
    """Yield the samples of an audio stream at their times; see `iter_audio`.

    Args:
        path: any video or audio file.
        stream: the audio stream.
        rate: sample rate (samples/s).
        companion: the video stream; see `choose_companion`.
        channels: number of channels: 1 for the mean of all, 2 for stereo.
        tolerant: leave out what has errors, so that there is silence.
        timeout_s: longest time to wait for samples, seconds.

    Raises:
        DecodeError: the decoder crashes or hangs.
        DamagedError: the audio has an error, or the file is truncated, and `tolerant` is false.
    """
    # With `<`, the weights of the channels that exist are divided by their number.
    mean = f"pan=mono|c0<{'+'.join(f'c{channel}' for channel in range(MAX_CHANNELS))}"
    mix = mean if channels == 1 else "aformat=channel_layouts=stereo"

    def decode(strict: bool) -> Generator[ChannelSamples, None, None]:
        options = ["-filter_threads", "1", "-threads", "1", *(STRICT if strict else [])]
        samples = ["-map", f"0:{stream.index}", "-af", f"{mix},aresample={rate},ashowinfo"]
        output = ["-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
        arguments = [*options, *input_arguments(path), *samples, *output, *discard_arguments(companion)]
        with FfmpegPipe(path, arguments, timeout_s=timeout_s, strict=strict) as pipe:
            end = yield from _place_samples(path, _read_samples(pipe, channels), rate)
            if not tolerant:
                _check_end(path, pipe, "sound", end, strict, timeout_s)

    if tolerant:
        return decode(False)
    return _decode_strictly(decode, partial(_check_harmless, path, stream.index, "sound", timeout_s))


def _read_frames(path: Path, pipe: FfmpegPipe, pixel_format: PixelFormat) -> Generator[TimedPixels, None, Fraction]:
    """Yield the frames that ffmpeg sends; return the end of the last one, seconds."""
    base = frame_s = Fraction(1, 25)
    height = width = 0
    previous: Fraction | None = None
    end = Fraction(0)
    while (line := pipe.next_frame_line()) is not None:
        if match := _TIME_BASE.search(line):
            base = Fraction(int(match[1]), int(match[2]))
            frame_s = Fraction(int(match[4]), int(match[3])) if int(match[3]) else Fraction(1, 25)
        elif match := _FRAME.search(line):
            if previous is None:
                width, height = int(match[2]), int(match[3])
            data = np.empty(pixel_format.shape(height, width), np.uint8)
            if not pipe.read_into(data.data.cast("B")):
                break
            time = int(match[1]) * base
            stated = _DURATION.search(line)
            duration = int(stated[1]) * base if stated and int(stated[1]) else frame_s
            if previous is not None and time - previous > MAX_FORWARD_S:
                raise DamagedError(f"{path}: the time jumps from {float(previous):.1f} s to {float(time):.1f} s")
            previous, end = time, max(end, time + duration)
            yield TimedPixels(time, duration, data)
    pipe.check_no_output()
    return end


def _read_samples(pipe: FfmpegPipe, channels: int) -> Iterator[tuple[int, ChannelSamples]]:
    """Yield the samples that ffmpeg sends, with the time of the first of each part [samples]."""
    while (line := pipe.next_frame_line()) is not None:
        if match := _SAMPLES.search(line):
            samples = np.empty((int(match[2]), channels), np.float32)
            if not pipe.read_into(samples.data.cast("B")):
                break
            yield int(match[1]), samples
    pipe.check_no_output()


def _place_samples(
    path: Path, parts: Iterable[tuple[int, ChannelSamples]], rate: int
) -> Generator[ChannelSamples, None, Fraction]:
    """Yield samples at their times, from time 0 on; return the end of the last one, seconds.

    Args:
        path: the file, for messages.
        parts: samples, with the time of the first of each part [samples].
        rate: sample rate (samples/s).
    """
    position = 0
    for time, samples in parts:
        offset = time - position
        if offset > rate * MAX_FORWARD_S:
            raise DamagedError(f"{path}: the sound jumps from {position / rate:.1f} s to {time / rate:.1f} s")
        if position == 0 or abs(offset) > rate * MAX_OFFSET_S:
            for first in range(0, offset, MAX_SILENCE):
                yield np.zeros((min(MAX_SILENCE, offset - first), samples.shape[1]), np.float32)
            placed = samples[max(0, -offset) :]
            position += max(0, offset) + len(placed)
        else:
            placed = samples
            position += len(placed)
        if len(placed):
            yield placed
    return Fraction(position, rate)


def _check_end(path: Path, pipe: FfmpegPipe, medium: str, end: Fraction, strict: bool, timeout_s: float) -> None:
    pipe.check_end(medium, end)
    if strict and pipe.has_decoder_error:
        raise _RefusedPacketError
    check_not_truncated(path, pipe.header, end, timeout_s)


def _decode_strictly(
    decode: Callable[[bool], Generator[T, None, None]], check_harmless: Callable[[], None]
) -> Generator[T, None, None]:
    """Yield what a strict decoder returns; if it refuses a packet and this is harmless, go on with a tolerant one.

    Args:
        decode: starts to decode, strictly or not.
        check_harmless: raises an error if the strict decoder returns less than the tolerant one.
    """
    count = 0
    try:
        with closing(decode(True)) as items:
            for item in items:
                count += 1
                yield item
    except _RefusedPacketError:
        check_harmless()
        yield from itertools.islice(decode(False), count, None)


def _check_harmless(path: Path, index: int, medium: str, timeout_s: float) -> None:
    """Check that a strict decoder refuses only packets that no player shows.

    Recordings of broadcasts start within a group of pictures. Pictures before its first complete one cannot be decoded.
    Likewise the last packet of their sound may be cut.

    Raises:
        DamagedError: something is missing, or a tolerant decoder conceals an error.
    """
    tolerant, _ = _list_digests(path, index, [], timeout_s)
    if tolerant:
        margin = tolerant[0].duration / 2
        unseen = f"lt(pts*tb,{float(tolerant[0].time - margin)})"
        if medium == "sound":
            unseen += f"+gt(pts*tb,{float(tolerant[-1].time + margin)})"
        seen = [*STRICT, f"-bsf:{index}", f"noise=drop='{unseen}'"]
        if _list_digests(path, index, seen, timeout_s) == (tolerant, False):
            return
    strict, _ = _list_digests(path, index, STRICT, timeout_s)
    for frame, other in itertools.zip_longest(strict, tolerant):
        if frame != other:
            time = min(each.time for each in (frame, other) if each) - tolerant[0].time
            raise DamagedError(f"{path}: its {medium} is damaged at {float(time):.1f} s")
    raise DamagedError(f"{path}: its {medium} is damaged")


@dataclass(frozen=True)
class _Digest:
    """The hash of a decoded frame.

    Attributes:
        time: seconds.
        duration: seconds.
        digest: hash.
    """

    time: Fraction
    duration: Fraction
    digest: str


def _list_digests(path: Path, index: int, options: Sequence[str], timeout_s: float) -> tuple[list[_Digest], bool]:
    """Decode a stream into hashes of its frames, with the times that the file states.

    Returns:
        the hashes; whether the decoder refused a packet.

    Raises:
        TruncatedError: the file is truncated.
    """
    exact = ["-copyts", "-fps_mode", "passthrough", "-enc_time_base:v", "demux"]
    digests = ["-map", f"0:{index}", *exact, "-f", "framemd5", "pipe:1"]
    with FfmpegPipe(path, ["-threads", "1", *options, *input_arguments(path), *digests], timeout_s=timeout_s) as pipe:
        lines = pipe.read_lines()
        pipe.check_not_truncated()
    base = next((Fraction(line.split(" ")[-1]) for line in lines if line.startswith("#tb ")), Fraction(0))
    rows = [line.replace(" ", "").split(",") for line in lines if line and not line.startswith("#")]
    return [_Digest(int(row[2]) * base, int(row[3]) * base, row[-1]) for row in rows], pipe.has_decoder_error
