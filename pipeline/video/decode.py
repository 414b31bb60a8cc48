"""Reading re-encoded files through PyAV by frame index; how much of a damaged file can be decoded.

`pipeline.video.stream` reads any file by time. Both hold one frame at a time in memory.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from pipeline.errors import PipelineError

Frame = UInt8[np.ndarray, "height width 3"]


class DecodeError(PipelineError):
    """A file whose video cannot be read."""


class NoVideoError(DecodeError):
    """A readable file without video frames."""


class EmptyFileError(DecodeError):
    """A file without a byte."""


def decodable_prefix(path: Path, index: int) -> tuple[int, float]:
    """Return how much of a damaged video decodes before the first error.

    Frames after the first error are not reproducible, not even on one thread, because decoders then read uninitialised
    memory.

    Args:
        path: any video.
        index: of its video stream in the file.

    Returns:
        number of frames before the first error; end of the last of them (seconds from the file's start time).

    Raises:
        DecodeError: the file cannot be opened.
    """
    count, end = 0, 0.0
    with open_file(path) as container:
        stream = container.streams[index]
        assert isinstance(stream, VideoStream)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        frame_s = float(1 / stream.average_rate) if stream.average_rate else 0.0
        origin = (container.start_time or 0) / av.time_base
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    break
                for frame in packet.decode():
                    if frame.is_corrupt:
                        return count, end
                    count += 1
                    end = max(end, (frame.time or 0.0) + frame_s - origin)
        except av.FFmpegError:
            pass
    return count, end


def iter_frame_times(path: Path) -> Iterator[float]:
    """Decode a video and yield the times of its frames (seconds) in display order.

    Raises:
        DecodeError: the file cannot be read, has errors, or has a frame without a timestamp.
    """
    with open_file(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        try:
            for frame in container.decode(stream):
                if frame.time is None:
                    raise DecodeError(f"{path}: a frame has no timestamp")
                yield frame.time
        except av.FFmpegError as error:
            raise DecodeError(f"{path}: decoding failed ({error})") from None


def read_frames(path: Path, *, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
    """Yield the RGB frames `start`, `start + step`, ... before `stop` of a constant-rate video.

    Args:
        path: a re-encoded file, with constant frame rate and the first frame at time 0.
        start: index of the first frame; the decoder seeks to the key frame before it.
        stop: index after the last frame; None reads to the end.
        step: distance between yielded frames.

    Raises:
        DecodeError: the file cannot be read or has an error. A video shorter than `stop` is no error.
    """
    with open_file(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.thread_count = 1  # many processes read at once and would compete for the cores
        rate, base = stream.average_rate, stream.time_base
        if not rate or not base:
            raise DecodeError(f"{path}: declares no frame rate; re-encode it first")
        converter = VideoReformatter()  # one for all frames: creating one takes as long as decoding a frame
        try:
            if start > 0:
                container.seek(int(start / rate / base), stream=stream)
            for packet in container.demux(stream):
                # Frames that are not yielded are decoded only if other frames are predicted from them.
                index = None if packet.pts is None else round(packet.pts * base * rate)
                is_yielded = index is None or (index >= start and (index - start) % step == 0)
                stream.codec_context.skip_frame = "DEFAULT" if is_yielded else "NONREF"
                for frame in packet.decode():
                    if frame.pts is None:
                        raise DecodeError(f"{path}: a frame has no timestamp; re-encode it first")
                    index = round(frame.pts * base * rate)
                    if stop is not None and index >= stop:
                        return
                    if index >= start and (index - start) % step == 0:
                        yield converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        except av.FFmpegError as error:
            raise DecodeError(f"{path}: decoding failed ({error})") from None


def open_file(path: Path) -> InputContainer:
    """Open any media file.

    Raises:
        DecodeError: the file is absent or cannot be opened.
    """
    if not path.is_file():
        raise DecodeError(f"{path}: no such video")
    try:
        # With the protocol "file:", no part of a name is taken for a protocol or an option.
        return av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise DecodeError(f"{path}: not a readable video ({error})") from None


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the first video stream that is not cover art.

    Raises:
        NoVideoError: the file has none.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:  # cover art of audio files
            return stream
    raise NoVideoError(f"{path}: has no video stream")
