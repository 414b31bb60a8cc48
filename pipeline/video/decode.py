"""Reading video through PyAV: what a file holds, and its frames in order.

The only module that decodes, so that the decoder can be swapped and timed. Memory stays bounded: one frame at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8

from pipeline.config.errors import PipelineError

Frame = UInt8[np.ndarray, "height width 3"]


class DecodeError(PipelineError):
    """A file whose video cannot be read."""


@dataclass(frozen=True)
class Probe:
    """What a video file says about itself, found out by reading packets, not by trusting its header.

    Attributes:
        frames: packets of the first video stream.
        fps: average frame rate, frames per second.
        start: time of the first frame, seconds.
        duration: from the first frame's start to the last frame's end, seconds.
        cut_s: how much earlier the last packet of any stream ends than the header says, seconds; a file that was
            cut short shows here, whatever its container.
        width: pixels as stored.
        height: pixels as stored.
        codec: ffmpeg's name of the video codec.
        audio: whether there is an audio stream.
    """

    frames: int
    fps: float
    start: float
    duration: float
    cut_s: float
    width: int
    height: int
    codec: str
    audio: bool


def probe(path: Path) -> Probe:
    """Read all packets, decoding none.

    Raises:
        DecodeError: not a video, or without frames.
    """
    with _open(path) as container:
        stream = _video(container, path)
        starts: list[float] = []
        ends: list[float] = []
        last = 0.0
        try:
            for packet in container.demux():
                if packet.pts is None or packet.time_base is None:
                    continue
                begin = float(packet.pts * packet.time_base)
                end = begin + float((packet.duration or 0) * packet.time_base)
                last = max(last, end)
                if packet.stream is stream:
                    starts.append(begin)
                    ends.append(end)
        except av.FFmpegError as error:
            raise DecodeError(f"{path}: cannot be read to its end ({error})") from None
        if not starts:
            raise DecodeError(f"{path}: has no video frames")
        declared = ((container.start_time or 0) + (container.duration or 0)) / av.time_base
        duration = max(ends) - min(starts)
        rate = float(stream.average_rate) if stream.average_rate else len(starts) / max(duration, 1e-9)
        return Probe(
            frames=len(starts),
            fps=rate,
            start=min(starts),
            duration=duration,
            cut_s=declared - last,
            width=stream.width,
            height=stream.height,
            codec=stream.codec_context.name,
            audio=bool(container.streams.audio),
        )


def frames(path: Path, *, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
    """Frames `start`, `start + step`, ... before `stop` of a constant-rate video, in order, as RGB.

    Args:
        path: a re-encoded file: constant frame rate, first frame at time 0.
        start: index of the first frame; the decoder seeks to the key frame before it.
        stop: index after the last frame; None reads to the end.
        step: distance between frames that are given.

    Raises:
        DecodeError: the file is unreadable or ends in an error. A video that is merely shorter than `stop` ends early.
    """
    with _open(path) as container:
        stream = _video(container, path)
        stream.codec_context.thread_count = 1  # many readers run side by side; threads would fight over cores
        rate, base = stream.average_rate, stream.time_base
        if not rate or not base:
            raise DecodeError(f"{path}: states no frame rate; re-encode it first")
        try:
            if start > 0:
                container.seek(int(start / rate / base), stream=stream)
            for packet in container.demux(stream):
                # Of frames that are not given, only those that others are predicted from need decoding.
                index = None if packet.pts is None else round(packet.pts * base * rate)
                given = index is None or (index >= start and (index - start) % step == 0)
                stream.codec_context.skip_frame = "DEFAULT" if given else "NONREF"
                for frame in packet.decode():
                    if frame.pts is None:
                        raise DecodeError(f"{path}: a frame without a time; re-encode it first")
                    index = round(frame.pts * base * rate)
                    if stop is not None and index >= stop:
                        return
                    if index >= start and (index - start) % step == 0:
                        yield frame.to_ndarray(format="rgb24")
        except av.FFmpegError as error:
            raise DecodeError(f"{path}: decoding failed ({error})") from None


def _open(path: Path) -> InputContainer:
    if not path.is_file():
        raise DecodeError(f"{path}: no such video")
    try:
        # A "file:" address, so that no name is taken for a protocol or an option.
        return av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise DecodeError(f"{path}: not a readable video ({error})") from None


def _video(container: InputContainer, path: Path) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:  # cover art of audio files
            return stream
    raise DecodeError(f"{path}: has no video stream")
