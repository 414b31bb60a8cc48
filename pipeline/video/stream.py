"""Streaming any video once, from its beginning to its end: frames with their times, and sound.

What `pipeline.video.decode` reads by index out of re-encoded files, this reads by time out of whatever there is. Memory
stays bounded: one frame at a time.
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

from pipeline.video.decode import DecodeError, Frame, open_file, picture_stream

Chunk = Float[np.ndarray, "samples"]

CUT = Fraction(6, 5)
"""Headers are this vague about a whole file's length (seconds), more than any frame's duration."""
UNTOLD = {"aac", "ac3", "mp3"}
"""Formats that state no length: what is told of one is guessed from the bit rate."""
BACK, JUMP = Fraction(1), Fraction(600)
"""Times that go back by more, or forward by more, are those of files that were joined, seconds."""
GAP = Fraction(1, 20)
"""A longer gap in the sound is silence; shorter ones are rounding, seconds."""


class DamagedError(DecodeError):
    """A file that begins well, and then holds errors or ends too early."""


class SilentError(DecodeError):
    """A file without sound."""


@dataclass(frozen=True)
class Timed:
    """A decoded frame and when it is shown.

    Attributes:
        time: from the file's beginning (where its first stream begins), seconds.
        duration: seconds, as the file says.
        picture: the frame, not yet converted; see `Pixels`.
    """

    time: Fraction
    duration: Fraction
    picture: av.VideoFrame


def timed(path: Path, *, threads: int = 1, wanted: Callable[[Fraction], bool] | None = None) -> Iterator[Timed]:
    """All frames of any video, in order, each later than the one before.

    Decoding is strict: the first error ends it, where players would show something else instead.

    Args:
        path: any video.
        threads: of the decoder; they change no frame.
        wanted: whether a frame of this time is needed; those that are not are left out where no other is predicted
            from them, which saves their decoding. None gives all.

    Raises:
        DecodeError: the file is unreadable.
        DamagedError: it ends in an error, or earlier than its header promises.
    """
    with open_file(path) as container:
        stream = picture_stream(container, path)
        context = stream.codec_context
        context.thread_count, context.thread_type = threads, "FRAME"
        context.options = {"err_detect": "explode"}
        origin = Fraction(container.start_time or 0, av.time_base)
        usual = 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)
        base = stream.time_base or Fraction(1, av.time_base)
        before: Fraction | None = None
        try:
            for packet in _packets(container, path):
                if packet.stream_index != stream.index:
                    continue
                if wanted is not None and packet.pts is not None:
                    context.skip_frame = "DEFAULT" if wanted(packet.pts * base - origin) else "NONREF"
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame)
                    if frame.pts is None:  # containers of streams without times
                        time = Fraction(0) if before is None else before + usual
                    else:
                        time = frame.pts * base - origin
                    if before is not None and not -BACK <= time - before <= JUMP:
                        raise DamagedError(
                            f"{path}: after {float(before):.1f} s comes {float(time):.1f} s: joined of several files? "
                            "re-encode it"
                        )
                    if before is None or time > before:  # one that goes back in time is never shown
                        before = time
                        yield Timed(time, frame.duration * base if frame.duration else usual, frame)
        except av.FFmpegError as error:
            raise DamagedError(f"{path}: decoding failed ({error})") from None


class Pixels:
    """Turns decoded frames of one video into RGB.

    One converter for all of them: to set one up for each frame would take longer than the conversion.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> Frame:
        """A frame as RGB, turned as players turn it.

        Raises:
            DamagedError: it cannot be converted.
        """
        try:
            found: Frame = self._reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise DamagedError(f"a frame of {picture.format.name} cannot be made RGB ({error})") from None
        quarters = round(picture.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(found, quarters)) if quarters else found


def sound(path: Path, rates: Sequence[int]) -> Iterator[tuple[int, Chunk]]:
    """The sound of any video at some sample rates, in order: a rate, and what comes next at this rate.

    Channels are averaged. Where the sound begins later than the picture, or there is a gap in it, there is silence.

    Args:
        path: any video, or a file of sound alone.
        rates: samples per second.

    Raises:
        SilentError: there is no sound.
        DecodeError: the file is unreadable.
        DamagedError: it ends in an error, or earlier than its header promises.
    """
    with open_file(path) as container:
        if not container.streams.audio:
            raise SilentError(f"{path}: has no sound")
        stream = container.streams.audio[0]
        origin = Fraction(container.start_time or 0, av.time_base)
        resamplers = {rate: av.AudioResampler(format="fltp", rate=rate) for rate in rates}
        begun, end = False, Fraction(0)
        try:
            for packet in _packets(container, path):
                if packet.stream_index != stream.index:
                    continue
                for frame in packet.decode():
                    assert isinstance(frame, av.AudioFrame)
                    start = end if frame.pts is None else frame.pts * (frame.time_base or 0) - origin
                    silence = start - end if start - end > (GAP if begun else 0) else Fraction(0)
                    end = max(end, start) + Fraction(frame.samples, frame.sample_rate)
                    for rate, resampler in resamplers.items():
                        if silence:
                            yield rate, np.zeros(round(silence * rate), np.float32)
                        yield from ((rate, _mono(found)) for found in resampler.resample(frame))
                    begun = True
            if not begun:
                raise SilentError(f"{path}: its sound is empty")
            for rate, resampler in resamplers.items():
                yield from ((rate, _mono(found)) for found in resampler.resample(None))
        except (av.FFmpegError, ValueError) as error:  # the latter where the sound changes its format
            raise DamagedError(f"{path}: decoding its sound failed ({error})") from None


def _mono(frame: av.AudioFrame) -> Chunk:
    found: Chunk = frame.to_ndarray().mean(axis=0, dtype=np.float32)
    return found


def _packets(container: InputContainer, path: Path) -> Iterator[Packet]:
    """All packets of a file; at the end it must have come as far as its header says.

    Raises:
        DamagedError: it was cut short.
    """
    last = Fraction(0)
    for packet in container.demux():
        if packet.pts is not None and packet.time_base is not None:
            last = max(last, (packet.pts + (packet.duration or 0)) * packet.time_base)
        yield packet
    # Some containers count their length from 0, some from where they begin: what is longer is not told from it.
    begin, length = (Fraction(value or 0, av.time_base) for value in (container.start_time, container.duration))
    missing = min(begin, Fraction(0)) + length - last
    if missing > CUT and container.format.name not in UNTOLD:
        raise DamagedError(f"{path}: cut short: its header promises {float(missing):.1f} s more than there is")
