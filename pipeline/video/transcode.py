"""The encoders of re-encoded videos: runs of ffmpeg that take frames or sound from a pipe.

TSP re-encodes with `-filter:v fps=fps=30`. Here frames are repeated or dropped before they are encoded, by the same
rules (`pipeline.video.constant_rate`). So a source is read as `pipeline.video.stream` reads it, whatever it is.
"""

import contextlib
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import ffmpeg
import numpy as np

from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.io.worker import KILLED_STATUSES
from pipeline.video.ffmpeg import find_ffmpeg
from pipeline.video.media_streams import MediaStream
from pipeline.video.pixel_format import RANGES

DISK_FULL_MESSAGES = ("No space left on device", "Disk quota exceeded")
"""Messages of ffmpeg for a full disk."""
FLAGS = ("-nostdin", "-hide_banner", "-loglevel", "error", "-y")

_FORMAT = re.compile(r" cl:(\S+) sar:(\d+)/(\d+) s:(\d+)x(\d+) ")
_COLOURS = re.compile(r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")
_SOUND = re.compile(r" channels:(\d+) .*rate:(\d+) ")


class EncoderError(Exception):
    """ffmpeg cannot encode what it gets, which is no fault of the source."""


class EncoderTimeoutError(Exception):
    """The time is over."""


@dataclass(frozen=True)
class PictureFormat:
    """The size and the colours of the frames that are encoded.

    Attributes:
        width: pixels.
        height: pixels.
        pixel_shape: width and height of a pixel.
        colour_range: ffmpeg's name of the range of brightness.
        matrix: its name of the colour matrix.
        primaries: its name of the primary colours.
        transfer: its name of the transfer function.
        chroma_position: its name of the position of the chroma samples.
    """

    width: int
    height: int
    pixel_shape: tuple[int, int]
    colour_range: str
    matrix: str
    primaries: str
    transfer: str
    chroma_position: str

    @property
    def filters(self) -> str:
        """Filters of ffmpeg that state the shape of the pixels and the colours."""
        shape = f"setsar={self.pixel_shape[0]}/{self.pixel_shape[1]}"
        tags = {
            "range": self.colour_range if self.colour_range in RANGES else "unknown",
            "colorspace": self.matrix,
            "color_primaries": self.primaries,
            "color_trc": self.transfer,
            "chroma_location": self.chroma_position,
        }
        return f"{shape},setparams={':'.join(f'{key}={value}' for key, value in tags.items())}"


def build_filters(short_side: int | None) -> list[str]:
    """Return the filters that give the frames of a source their size and pixel format.

    Args:
        short_side: size of the shorter side (pixels); None keeps the size.
    """
    if short_side:
        # -2 keeps the aspect ratio with an even number of pixels, which 4:2:0 needs.
        scale = f"scale=w='if(gt(iw,ih),-2,{short_side})':h='if(gt(iw,ih),{short_side},-2)'"
    else:
        scale = "scale=w=trunc(iw/2)*2:h=trunc(ih/2)*2"
    return [scale, "format=yuv420p"]


def find_picture_format(stream: MediaStream) -> PictureFormat:
    """Return the format of the first frame of a video stream, which was chosen with the filters of `build_filters`."""
    text = "\n".join(stream.frame_lines)
    shape, colours = _FORMAT.search(text), _COLOURS.search(text)
    assert shape and colours, "showinfo prints both"
    return PictureFormat(
        width=int(shape[4]),
        height=int(shape[5]),
        pixel_shape=(int(shape[2]), int(shape[3])),
        colour_range=colours[1],
        matrix=colours[2],
        primaries=colours[3],
        transfer=colours[4],
        chroma_position=shape[1],
    )


def find_sound_format(stream: MediaStream) -> tuple[int, int]:
    """Return the number of channels and the sample rate (samples/s) of the first frame of a sound."""
    match = _SOUND.search("\n".join(stream.frame_lines))
    assert match, "ashowinfo prints both"
    return int(match[1]), int(match[2])


def build_video_command(target: Path, config: Reencode, pictures: PictureFormat, sound: Path | None) -> list[str]:
    """Return the ffmpeg command that encodes frames from a pipe.

    Args:
        target: the .mp4 to write.
        config: frame rate and quality.
        pictures: format of the frames.
        sound: encoded sound, which is copied; None without sound.
    """
    size = f"{pictures.width}x{pictures.height}"
    frames = ffmpeg.input("pipe:0", format="rawvideo", pix_fmt="yuv420p", s=size, r=config.fps)
    streams = [frames.video, ffmpeg.input(f"file:{sound}").audio] if sound else [frames.video]
    options = {
        "vf": pictures.filters,
        "c:v": "libx264",
        "pix_fmt": "yuv420p",
        "crf": config.crf,
        "preset": config.preset,
        "g": config.gop,
        "threads": config.encoder_threads,
        **({"c:a": "copy"} if sound else {}),
        "movflags": "+faststart",
    }
    return _compile(streams, target, options)


def build_sound_command(target: Path, channels: int, rate: int) -> list[str]:
    """Return the ffmpeg command that encodes samples from a pipe.

    Args:
        target: the .mp4 to write.
        channels: number of channels.
        rate: sample rate (samples/s).
    """
    samples = ffmpeg.input("pipe:0", format="f32le", ac=channels, ar=rate)
    return _compile([samples.audio], target, {"c:a": "aac"})


def _compile(streams: Sequence[Any], target: Path, options: Mapping[str, Any]) -> list[str]:
    output = ffmpeg.output(*streams, f"file:{target}", map_metadata=-1, **options).global_args(*FLAGS)
    command: list[str] = output.compile(cmd=str(find_ffmpeg()))
    return command


class FfmpegEncoder:
    """A run of ffmpeg that encodes what is written to it; a context manager, which kills ffmpeg at its end.

    Args:
        source: the video that is re-encoded, for messages.
        target: the file that ffmpeg writes, for messages.
        command: the ffmpeg command; it reads `pipe:0`.
        deadline: time (monotonic seconds) at which ffmpeg is killed.
    """

    def __init__(self, source: Path, target: Path, command: Sequence[str], deadline: float) -> None:
        self._source, self._target = source, target
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._messages, bufsize=0
        )
        self._is_late = threading.Event()
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._stop)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> "FfmpegEncoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._process.kill()
        self._close_input()
        self._process.wait()
        self._messages.close()

    def write(self, data: np.ndarray) -> None:
        """Encode frames or samples.

        Raises:
            EncoderError: ffmpeg fails.
            EncoderTimeoutError: it takes too long.
            PipelineError: the machine fails (full disk, killed process).
        """
        rest = np.ascontiguousarray(data).data.cast("B")
        assert self._process.stdin is not None
        try:
            while rest:
                rest = rest[self._process.stdin.write(rest) :]
        except BrokenPipeError:
            self.finish()
            raise EncoderError(f"{self._source}: ffmpeg ended before all was encoded") from None

    def finish(self) -> None:
        """Wait for the end of ffmpeg; for exceptions, see `write`."""
        self._close_input()
        status = self._process.wait()
        if self._is_late.is_set():
            raise EncoderTimeoutError
        self._messages.seek(0)
        messages = self._messages.read().decode(errors="replace").strip()
        disk_full = next((message for message in DISK_FULL_MESSAGES if message in messages), None)
        if disk_full:
            raise PipelineError(
                f"{self._target.parent}: cannot re-encode {self._source.name} to this folder ({disk_full}); free space "
                "there and run again"
            )
        first_message = (re.sub(r" @ 0x[0-9a-f]+", "", messages).splitlines() or ["no message"])[0]
        if status in KILLED_STATUSES:
            raise PipelineError(
                f"{self._source}: ffmpeg was killed (status {status}: {first_message}); free memory and run again"
            )
        if status:
            raise EncoderError(f"{self._source}: ffmpeg cannot encode it (status {status}: {first_message})")

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _stop(self) -> None:
        self._is_late.set()
        self._process.kill()
