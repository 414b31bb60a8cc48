"""Reading video through PyAV: what a file holds, and its frames in order.

With `pipeline.video.stream`, which reads any file by time, the only module that decodes. Memory stays bounded: one
frame at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
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
    """A file that can be read, but holds no picture that moves."""


class UntimedError(DecodeError):
    """A file whose pictures have no times."""


@dataclass(frozen=True)
class Probe:
    """What a video file says about itself, found out by reading packets, not by trusting its header.

    Attributes:
        frames: packets of the video stream, the first one that is no cover art.
        fps: average frame rate, frames per second.
        start: time of the first frame, seconds.
        duration: from the first frame's start to the last frame's end, seconds.
        origin: time at which the file says that it begins, seconds.
        declared_s: how long the file says that it is, seconds; 0 where it does not say.
        cut_s: how much earlier the last packet of any stream ends than the header says, seconds; a file that was
            cut short shows here, whatever its container.
        width: pixels as stored.
        height: pixels as stored.
        codec: ffmpeg's name of the video codec.
        audio: whether an audio stream holds packets.
        picture: number of the video stream in the file.
        sound: number of the audio stream, the first one that holds packets; None without.
        sound_s: end of its last packet, seconds from the file's beginning; 0 without.
        error: what ended the reading before the file's end; None if nothing did.
    """

    frames: int
    fps: float
    start: float
    duration: float
    origin: float
    declared_s: float
    cut_s: float
    width: int
    height: int
    codec: str
    audio: bool
    picture: int
    sound: int | None
    sound_s: float
    error: str | None

    @property
    def end(self) -> float:
        """Of the last frame, seconds from the file's beginning."""
        return self.start + self.duration - self.origin


def probe(path: Path) -> Probe:
    """Read all packets, decoding none. What cannot be read to its end is told of as far as it goes.

    Raises:
        DecodeError: nothing can be read.
        NoVideoError: there is no video stream, or none of its packets.
        UntimedError: its packets have no times: a bare stream, in no container.
    """
    with open_file(path) as container:
        stream = picture_stream(container, path)
        starts: list[float] = []
        ends: dict[int, float] = {}
        stopped, untimed = None, 0
        try:
            for packet in container.demux():
                if packet.pts is None or packet.time_base is None:
                    untimed += packet.stream is stream and packet.size > 0
                    continue
                begin = float(packet.pts * packet.time_base)
                number = packet.stream.index
                ends[number] = max(ends.get(number, begin), begin + float((packet.duration or 0) * packet.time_base))
                if packet.stream is stream and not packet.is_discard:  # an edit list cuts those off
                    starts.append(begin)
        except av.FFmpegError as error:
            stopped = str(error)
        if not starts and untimed:
            raise UntimedError(
                f"{path}: a bare stream of {stream.codec_context.name}, whose frames have no times; put it into a "
                f"container at its frame rate, such as: ffmpeg -r 25 -i {path.name} -c copy {path.stem}.mp4"
            )
        if not starts:
            raise NoVideoError(f"{path}: has no video frames" + (f" ({stopped})" if stopped else ""))
        origin, declared = (container.start_time or 0) / av.time_base, (container.duration or 0) / av.time_base
        duration = ends[stream.index] - min(starts)
        sound = next((audio.index for audio in container.streams.audio if audio.index in ends), None)
        return Probe(
            frames=len(starts),
            fps=float(stream.average_rate) if stream.average_rate else len(starts) / max(duration, 1e-9),
            start=min(starts),
            duration=duration,
            origin=origin,
            declared_s=declared,
            # Some containers count their length from 0, some from where they begin: what is longer is not told from it.
            cut_s=declared + min(origin, 0.0) - max(ends.values()),
            width=stream.width,
            height=stream.height,
            codec=stream.codec_context.name,
            audio=sound is not None,
            picture=stream.index,
            sound=sound,
            sound_s=0.0 if sound is None else ends[sound] - origin,
            error=stopped,
        )


def good_part(path: Path) -> tuple[int, float]:
    """How far a damaged video decodes without an error.

    What decoders make of damaged data depends on chance, on one thread too (they read memory that nobody wrote), so
    the pictures behind the first error are of no use to anybody who wants to see the same ones again.

    Returns:
        frames before the first error; end of the last of them, seconds from the file's beginning.

    Raises:
        DecodeError: the file is unreadable.
    """
    count, end = 0, 0.0
    with open_file(path) as container:
        stream = picture_stream(container, path)
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


def times(path: Path) -> Iterator[float]:
    """Times of all frames in the order they are shown, seconds, each found out by decoding it.

    Raises:
        DecodeError: the file is unreadable, holds errors, or has a frame without a time.
    """
    with open_file(path) as container:
        stream = picture_stream(container, path)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "explode"}
        try:
            for frame in container.decode(stream):
                if frame.time is None:
                    raise DecodeError(f"{path}: a frame without a time")
                yield frame.time
        except av.FFmpegError as error:
            raise DecodeError(f"{path}: decoding failed ({error})") from None


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
    with open_file(path) as container:
        stream = picture_stream(container, path)
        stream.codec_context.thread_count = 1  # many readers run side by side; threads would fight over cores
        rate, base = stream.average_rate, stream.time_base
        if not rate or not base:
            raise DecodeError(f"{path}: states no frame rate; re-encode it first")
        converter = VideoReformatter()  # one for all frames: to set one up takes as long as to decode a frame
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
                        yield converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        except av.FFmpegError as error:
            raise DecodeError(f"{path}: decoding failed ({error})") from None


def open_file(path: Path) -> InputContainer:
    """Open any media file.

    Raises:
        DecodeError: there is none, or it cannot be read.
    """
    if not path.is_file():
        raise DecodeError(f"{path}: no such video")
    try:
        # A "file:" address, so that no name is taken for a protocol or an option.
        return av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise DecodeError(f"{path}: not a readable video ({error})") from None


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first stream of pictures that is not cover art.

    Raises:
        NoVideoError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:  # cover art of audio files
            return stream
    raise NoVideoError(f"{path}: has no video stream")
