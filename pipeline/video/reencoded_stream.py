"""Streaming a re-encoded file from start to end: the frames that are needed, and audio samples.

Re-encoded files are plain, and were decoded completely when they were written. So they can be read faster than
`pipeline.video.stream` reads any file. `pipeline.video.decoder_process` does it in another process.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from pipeline.video.decode import Frame, open_file, video_stream
from pipeline.video.ffmpeg_pipe import DamagedError
from pipeline.video.media_streams import NoAudioError
from pipeline.video.stream import Samples, TimedFrame

MIN_GAP_S = Fraction(1, 20)
"""Shorter gaps between audio frames (seconds) are rounding errors; longer ones are filled with silence."""


@dataclass(frozen=True)
class DecodedFrame:
    """A frame as it is decoded, and its display time.

    Attributes:
        time: seconds.
        duration: seconds.
        frame: pixels and what they mean.
    """

    time: Fraction
    duration: Fraction
    frame: av.VideoFrame


def iter_needed_frames(path: Path, is_needed: Callable[[Fraction], bool], *, threads: int = 1) -> Iterator[TimedFrame]:
    """Yield the frames of a re-encoded file that are needed as RGB; see `iter_decoded_frames`."""
    converter = VideoReformatter()  # one for all frames: creating one takes longer than a conversion
    for decoded in iter_decoded_frames(path, is_needed, threads=threads):
        yield TimedFrame(decoded.time, decoded.duration, partial(_to_rgb, converter, decoded.frame))


def iter_decoded_frames(
    path: Path, is_needed: Callable[[Fraction], bool], *, threads: int = 1
) -> Iterator[DecodedFrame]:
    """Yield the frames of a re-encoded file that are needed, in display order.

    A frame that is not needed is not even decoded, unless another one is predicted from it.

    Args:
        path: a re-encoded file.
        is_needed: tells from its time (seconds) whether a frame is needed.
        threads: number of decoder threads; has no influence on the frames.

    Raises:
        DecodeError: the file cannot be opened.
        DamagedError: the file has an error.
    """
    with open_file(path) as container:
        stream = video_stream(container, path)
        context, rate, base = stream.codec_context, stream.average_rate, stream.time_base
        if not rate or not base:
            raise DamagedError(f"{path}: declares no frame rate; re-encode the video")
        context.thread_count, context.thread_type = threads, "FRAME"
        context.options = {"err_detect": "explode"}
        origin = Fraction(container.start_time or 0, av.time_base)
        try:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    context.skip_frame = "DEFAULT" if is_needed(packet.pts * base - origin) else "NONREF"
                for frame in packet.decode():
                    if frame.pts is None:
                        raise DamagedError(f"{path}: a frame has no time; re-encode the video")
                    time = frame.pts * base - origin
                    if is_needed(time):
                        yield DecodedFrame(time, 1 / Fraction(rate), frame)
        except (av.FFmpegError, ValueError) as error:
            raise DamagedError(f"{path}: decoding failed ({error}); re-encode the video") from None


def iter_reencoded_audio(path: Path, rate: int) -> Iterator[Samples]:
    """Yield the audio of a re-encoded file as samples of one channel, the mean of all.

    Gaps, and the time before audio that starts after the video, are filled with silence.

    Args:
        path: a re-encoded file.
        rate: sample rate (samples/s).

    Raises:
        NoAudioError: the file has no audio.
        DecodeError: the file cannot be opened.
        DamagedError: the file has an error.
    """
    with open_file(path) as container:
        if not container.streams.audio:
            raise NoAudioError(f"{path}: has no audio stream")
        stream = container.streams.audio[0]
        origin = Fraction(container.start_time or 0, av.time_base)
        # PyAV cannot return frames of the planar format if they have 8 channels or more: it crashes.
        resampler = av.AudioResampler(format="flt", rate=rate)
        has_started, end = False, Fraction(0)
        try:
            for packet in container.demux(stream):
                for frame in packet.decode():
                    start = end if frame.pts is None else frame.pts * (frame.time_base or 0) - origin
                    silence = start - end if start - end > (MIN_GAP_S if has_started else 0) else Fraction(0)
                    end = max(end, start) + Fraction(frame.samples, frame.sample_rate)
                    if silence:
                        yield np.zeros(round(silence * rate), np.float32)
                    yield from map(_to_mono, resampler.resample(frame))
                    has_started = True
            if not has_started:
                raise NoAudioError(f"{path}: its audio stream is empty")
            yield from map(_to_mono, resampler.resample(None))
        except (av.FFmpegError, ValueError) as error:  # ValueError: the audio format changes
            raise DamagedError(f"{path}: decoding the audio failed ({error}); re-encode the video") from None


def _to_rgb(converter: VideoReformatter, frame: av.VideoFrame) -> Frame:
    image: Frame = converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
    return image


def _to_mono(frame: av.AudioFrame) -> Samples:
    channels = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T
    samples: Samples = np.ascontiguousarray(channels).mean(axis=0, dtype=np.float32)
    return samples
