"""Tiny films of any kind, made on the fly, and ffmpeg as the judge of what a file shows.

Each frame shows its number in black and white blocks, and a colour in each corner. So a test can tell which frame a
reader returns, and how it is turned. The sound is silent but for beeps at known times.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import md5
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from pipeline.video.ffmpeg import find_ffmpeg

Image = UInt8[np.ndarray, "height width 3"]
Samples = Float[np.ndarray, "samples"]

BLOCK = 16
"""Side of a block (pixels): a macroblock of most codecs."""
WIDTH, HEIGHT = 4 * BLOCK, 3 * BLOCK
CORNERS = {"r": (220, 40, 40), "g": (40, 200, 40), "b": (40, 40, 220), "y": (210, 210, 40)}
"""Colours of the corners of an upright frame: top left, top right, bottom left, bottom right."""
UPRIGHT = "rgby"
BITS = ((0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2))
"""Row and column of the block of each bit of the frame's number, the lowest first."""
BEEP_S = 0.1
"""Length of a beep (seconds)."""

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p")
"""Fast H.264 without B-frames."""
B_FRAMES = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-bf", "3", "-g", "12")
"""H.264 whose frames are stored in another order than they are shown."""


def draw_frame(number: int) -> Image:
    """Draw the frame of a number (0 to 255)."""
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)

    def fill(row: int, column: int, colour: int | tuple[int, int, int]) -> None:
        image[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = colour

    for bit, (row, column) in enumerate(BITS):
        fill(row, column, 235 if number >> bit & 1 else 20)
    for name, (row, column) in zip(UPRIGHT, ((0, 0), (0, 3), (2, 0), (2, 3)), strict=True):
        fill(row, column, CORNERS[name])
    return image


def read_number(image: Image) -> int:
    """Return the number that an upright frame of any size shows."""
    bits = (_block_colour(image, row, column, 3, 4).mean() > 128 for row, column in BITS)
    return sum(int(is_white) << bit for bit, is_white in enumerate(bits))


def read_corners(image: Image) -> str:
    """Return the letters of the colours of a frame's corners; `UPRIGHT` for an upright frame."""
    rows, columns = (3, 4) if image.shape[0] < image.shape[1] else (4, 3)
    positions = ((0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1))
    colours = [_block_colour(image, row, column, rows, columns) for row, column in positions]
    return "".join(min(CORNERS, key=lambda name: float(np.abs(colour - CORNERS[name]).sum())) for colour in colours)


def _block_colour(image: Image, row: int, column: int, rows: int, columns: int) -> Float[np.ndarray, "3"]:
    """Return the mean colour of the middle of a block."""
    height, width = image.shape[0] / rows, image.shape[1] / columns
    top, left = round((row + 0.3) * height), round((column + 0.3) * width)
    block = image[top : round((row + 0.7) * height), left : round((column + 0.7) * width)]
    colour: Float[np.ndarray, 3] = block.mean(axis=(0, 1))
    return colour


def draw_beeps(times: Sequence[float], seconds: float, rate: int = 48000) -> Samples:
    """Return sound with a beep of 1 kHz from each of some times on (seconds), and silence elsewhere."""
    samples = np.zeros(round(seconds * rate), np.float32)
    beep = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(BEEP_S * rate)) / rate)).astype(np.float32)
    for time in times:
        begin = round(time * rate)
        part = samples[begin : begin + len(beep)]
        part += beep[: len(part)]
    return samples


def find_beeps(samples: Samples, rate: int) -> list[float]:
    """Return the times (seconds) at which beeps begin. A beep may be interrupted for less than its length."""
    loud = np.flatnonzero(np.abs(samples) > 0.1) / rate
    return [float(time) for index, time in enumerate(loud) if index == 0 or time - loud[index - 1] > BEEP_S]


def run_ffmpeg(*arguments: str | Path, data: bytes | None = None) -> bytes:
    """Run ffmpeg, which must succeed; return its output."""
    command = [find_ffmpeg(), "-y", "-nostdin", "-hide_banner", "-loglevel", "error", *arguments]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def write_film(
    path: Path,
    *,
    frames: int = 50,
    fps: str = "25",
    video: Sequence[str] | None = X264,
    audio: Sequence[str] | None = None,
    beeps: Sequence[float] = (0.5, 1.5),
    channels: int = 1,
    rate: int = 48000,
    sound_s: float | None = None,
    sound_first: bool = False,
    options: Sequence[str] = (),
) -> Path:
    """Write a film that shows the numbers from 0 on.

    Args:
        path: file to write; its suffix names the container.
        frames: number of frames; numbers above 255 start again.
        fps: frame rate (frames/s).
        video: options of the video codec; None writes no video.
        audio: options of the audio codec; None writes no sound.
        beeps: times of the beeps (seconds).
        channels: number of channels; all are equal.
        rate: sample rate (samples/s).
        sound_s: length of the sound (seconds); None: as long as the video.
        sound_first: make the sound the first stream.
        options: further options of the output.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs: list[str | Path] = []
    maps = []
    data = None
    if video is not None:
        inputs += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", fps, "-i", "pipe:0"]
        maps.append("0:v")
        data = b"".join(draw_frame(number % 256).tobytes() for number in range(frames))
    sound = path.with_name(f".{path.name}.f32")
    if audio is not None:
        seconds = float(frames / Fraction(fps)) if sound_s is None else sound_s
        draw_beeps(beeps, seconds, rate)[:, None].repeat(channels, axis=1).tofile(sound)
        inputs += ["-f", "f32le", "-ar", str(rate), "-ac", str(channels), "-i", f"file:{sound}"]
        maps.append(f"{len(maps)}:a")
    order = [word for name in (maps[::-1] if sound_first else maps) for word in ("-map", name)]
    run_ffmpeg(*inputs, *order, *(video or ()), *(audio or ()), *options, f"file:{path}", data=data)
    sound.unlink(missing_ok=True)
    return path


def remux(source: Path, target: Path, *options: str, before: Sequence[str] = ()) -> Path:
    """Copy the streams of a film into another file.

    Args:
        source: the film.
        target: file to write.
        options: of the output, for example `-map`.
        before: options of the input, for example `-display_rotation 90`.
    """
    run_ffmpeg(*before, "-i", f"file:{source}", "-c", "copy", *options, f"file:{target}")
    return target


@dataclass(frozen=True)
class JudgedFrame:
    """A frame as ffmpeg shows it.

    Attributes:
        time: seconds from the start of the file.
        duration: seconds; 0 if ffmpeg does not know it.
        digest: md5 of its RGB pixels (see `digest_image`).
    """

    time: Fraction
    duration: Fraction
    digest: str


def digest_image(image: Image) -> str:
    """Return the md5 of a frame's RGB pixels."""
    return md5(image.tobytes(), usedforsecurity=False).hexdigest()


def judge_frames(path: Path, *mapping: str) -> list[JudgedFrame]:
    """Return the frames that ffmpeg shows of a file, with their times.

    The audio is decoded too: the earliest start of both streams is time 0.

    Args:
        path: the film.
        mapping: options that choose the streams; the default is ffmpeg's own choice.
    """
    passthrough = ["-fps_mode", "passthrough", "-enc_time_base:v", "demux", "-pix_fmt", "rgb24"]
    output = run_ffmpeg("-i", f"file:{path}", *mapping, "-sn", "-dn", *passthrough, "-f", "framemd5", "-")
    table = _FrameTable.parse(output.decode(), "video")
    return [JudgedFrame(int(row[2]) * table.base, int(row[3]) * table.base, row[-1]) for row in table.rows]


def judge_beeps(path: Path) -> list[float]:
    """Return the times (seconds) of the beeps by the times that ffmpeg gives to the decoded sound."""
    common = ["-sn", "-dn", "-c:a", "pcm_f32le"]
    times = path.with_name(f".{path.name}.framecrc")
    outputs = [*common, "-vn", "-f", "f32le", "pipe:1", *common, "-f", "framecrc", f"file:{times}"]
    data = run_ffmpeg("-i", f"file:{path}", *outputs)
    table = _FrameTable.parse(times.read_text(encoding="utf-8"), "audio")
    times.unlink()
    rate = round(1 / table.base)
    channels = int(table.rows[0][4]) // 4 // int(table.rows[0][3])
    samples = np.abs(np.frombuffer(data, np.float32).reshape(-1, channels)).max(axis=1)
    timeline = np.zeros(max(int(row[2]) + int(row[3]) for row in table.rows), np.float32)
    position = 0
    for row in table.rows:
        part, first = samples[position : position + int(row[3])], max(0, int(row[2]))
        timeline[first : first + len(part)] = part[: len(timeline) - first]
        position += int(row[3])
    return find_beeps(timeline, rate)


@dataclass(frozen=True)
class _FrameTable:
    """The rows of one stream in the output of ffmpeg's formats `framemd5` and `framecrc`.

    Attributes:
        base: unit of the times, seconds.
        rows: index of the stream, decoding time, display time, duration, bytes, hash.
    """

    base: Fraction
    rows: list[list[str]]

    @classmethod
    def parse(cls, text: str, medium: str) -> "_FrameTable":
        """Read the table of the stream of a medium."""
        lines = text.splitlines()
        [index] = [line.split()[1][:-1] for line in lines if line.startswith("#media_type") and line.endswith(medium)]
        [base] = [Fraction(line.split()[-1]) for line in lines if line.startswith(f"#tb {index}:")]
        rows = [line.replace(" ", "").split(",") for line in lines if line and not line.startswith("#")]
        return cls(base, [row for row in rows if row[0] == index])
