"""Streaming a video of any format from start to end: frames with their times, and audio samples.

`pipeline.video.decode` reads re-encoded files by frame index; this module reads any file by time. It holds one frame at
a time in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.reformatter import VideoReformatter
from jaxtyping import Float

from pipeline.video.decode import DecodeError, Frame, open_file, video_stream

Samples = Float[np.ndarray, "samples"]

MAX_MISSING_S = Fraction(6, 5)
"""Largest inaccuracy of a declared duration (seconds); longer than any frame."""
NO_DURATION_FORMATS = {"aac", "ac3", "mp3"}
"""Formats that declare no duration: ffmpeg guesses one from the bit rate."""
MAX_BACKWARD_S, MAX_FORWARD_S = Fraction(1), Fraction(600)
"""Larger steps of the frame times (seconds) occur only in concatenated files."""
MIN_GAP_S = Fraction(1, 20)
"""Shorter gaps between audio frames (seconds) are rounding errors; longer ones are filled with silence."""


class DamagedError(DecodeError):
    """A file that starts well but has errors or is truncated."""


class NoAudioError(DecodeError):
    """A file without audio."""


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame and its display time.

    Attributes:
        time: seconds from the start of the file, which is the start of its first stream.
        duration: seconds, as the file states it.
        image: the frame before conversion; see `RgbConverter`.
    """

    time: Fraction
    duration: Fraction
    image: av.VideoFrame


def iter_frames(
    path: Path, *, threads: int = 1, is_needed: Callable[[Fraction], bool] | None = None
) -> Iterator[TimedFrame]:
    """Yield the frames of any video in display order, with strictly increasing times.

    Decoding is strict: it ends at the first error, where players would conceal it.

    Args:
        path: any video.
        threads: number of decoder threads; has no influence on the frames.
        is_needed: tells from its time (seconds) whether a frame is needed. Other frames are skipped if no frame is
            predicted from them, which saves their decoding. None decodes all frames.

    Raises:
        DecodeError: the file cannot be opened.
        DamagedError: the file has an error, is truncated, or is a concatenation of files.
    """
    with open_file(path) as container:
        stream = video_stream(container, path)
        context = stream.codec_context
        context.thread_count, context.thread_type = threads, "FRAME"
        context.options = {"err_detect": "explode"}
        origin = Fraction(container.start_time or 0, av.time_base)
        frame_s = 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)
        base = stream.time_base or Fraction(1, av.time_base)
        previous: Fraction | None = None
        try:
            for packet in _iter_packets(container, path):
                if packet.stream_index != stream.index:
                    continue
                if is_needed is not None and packet.pts is not None:
                    context.skip_frame = "DEFAULT" if is_needed(packet.pts * base - origin) else "NONREF"
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame)
                    if frame.pts is None:  # containers of streams without timestamps
                        time = Fraction(0) if previous is None else previous + frame_s
                    else:
                        time = frame.pts * base - origin
                    if previous is not None and not -MAX_BACKWARD_S <= time - previous <= MAX_FORWARD_S:
                        raise DamagedError(
                            f"{path}: time jumps from {float(previous):.1f} s to {float(time):.1f} s; if it is a "
                            "concatenation of files, re-encode it"
                        )
                    if previous is None or time > previous:  # players never show a frame that goes back in time
                        previous = time
                        yield TimedFrame(time, frame.duration * base if frame.duration else frame_s, frame)
        except av.FFmpegError as error:
            raise DamagedError(f"{path}: decoding failed ({error})") from None


class RgbConverter:
    """Converts the decoded frames of one video to RGB.

    Use one converter for all frames: creating one takes longer than a conversion.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, image: av.VideoFrame) -> Frame:
        """Convert a frame to RGB and apply the rotation that its metadata states.

        Raises:
            DamagedError: the frame cannot be converted.
        """
        try:
            rgb: Frame = self._reformatter.reformat(image, format="rgb24", threads=1).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise DamagedError(f"a frame of format {image.format.name} cannot be converted to RGB ({error})") from None
        quarter_turns = round(image.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


def iter_audio(path: Path, rates: Sequence[int]) -> Iterator[tuple[int, Samples]]:
    """Yield the audio of any video at several sample rates, in order: a rate and the next samples at this rate.

    Channels are averaged to mono. Gaps, and the time before audio that starts after the video, are filled with silence.

    Args:
        path: any video or audio file.
        rates: sample rates (samples/s).

    Raises:
        NoAudioError: the file has no audio.
        DecodeError: the file cannot be opened.
        DamagedError: the file has an error or is truncated.
    """
    with open_file(path) as container:
        if not container.streams.audio:
            raise NoAudioError(f"{path}: has no audio stream")
        stream = container.streams.audio[0]
        origin = Fraction(container.start_time or 0, av.time_base)
        resamplers = {rate: av.AudioResampler(format="fltp", rate=rate) for rate in rates}
        has_started, end = False, Fraction(0)
        try:
            for packet in _iter_packets(container, path):
                if packet.stream_index != stream.index:
                    continue
                for frame in packet.decode():
                    assert isinstance(frame, av.AudioFrame)
                    start = end if frame.pts is None else frame.pts * (frame.time_base or 0) - origin
                    silence = start - end if start - end > (MIN_GAP_S if has_started else 0) else Fraction(0)
                    end = max(end, start) + Fraction(frame.samples, frame.sample_rate)
                    for rate, resampler in resamplers.items():
                        if silence:
                            yield rate, np.zeros(round(silence * rate), np.float32)
                        yield from ((rate, _to_mono(resampled)) for resampled in resampler.resample(frame))
                    has_started = True
            if not has_started:
                raise NoAudioError(f"{path}: its audio stream is empty")
            for rate, resampler in resamplers.items():
                yield from ((rate, _to_mono(resampled)) for resampled in resampler.resample(None))
        except (av.FFmpegError, ValueError) as error:  # ValueError: the audio format changes
            raise DamagedError(f"{path}: decoding the audio failed ({error})") from None


def _to_mono(frame: av.AudioFrame) -> Samples:
    samples: Samples = frame.to_ndarray().mean(axis=0, dtype=np.float32)
    return samples


def _iter_packets(container: InputContainer, path: Path) -> Iterator[Packet]:
    """Yield all packets of a file, then compare the time reached with the declared duration.

    Raises:
        DamagedError: the file is truncated.
    """
    last = Fraction(0)
    for packet in container.demux():
        if packet.pts is not None and packet.time_base is not None:
            last = max(last, (packet.pts + (packet.duration or 0)) * packet.time_base)
        yield packet
    # Some containers declare the duration from time 0, others from their start time: assume the shorter one.
    begin, length = (Fraction(value or 0, av.time_base) for value in (container.start_time, container.duration))
    missing = min(begin, Fraction(0)) + length - last
    if missing > MAX_MISSING_S and container.format.name not in NO_DURATION_FORMATS:
        raise DamagedError(f"{path}: truncated: its last {float(missing):.1f} s are missing")
