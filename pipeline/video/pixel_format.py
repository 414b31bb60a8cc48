"""The format in which ffmpeg sends frames: nearly always as they are decoded, which saves time, or else as RGB.

A frame of the format `yuv420p` has half the bytes of an RGB one, and only the frames that are needed are converted. The
conversion is that of ffmpeg, to the last bit.
"""

import re
from collections.abc import Sequence

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from pipeline.video.decode import Frame

Pixels = UInt8[np.ndarray, "..."]
"""A frame as ffmpeg sends it."""

RANGES = {"unknown": 0, "tv": 1, "pc": 2}
"""ffmpeg's numbers of the ranges of brightness."""
MATRICES = {
    "bt709": 1,
    "unknown": 2,
    "fcc": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "bt2020nc": 9,
}
"""ffmpeg's numbers of the colour matrices."""

_FORMAT = re.compile(r" fmt:(\S+) .* s:(\d*[02468])x(\d*[02468]) i:P ")
_COLOURS = re.compile(r" color_range:(\S+) color_space:(\S+) ")


class Rgb24:
    """RGB: ffmpeg converts the frames."""

    name = "rgb24"

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of a frame of a size [pixels] as bytes."""
        return height, width, 3

    def to_rgb(self, pixels: Pixels) -> Frame:
        """Return the frame."""
        return pixels


class Yuv420p:
    """Brightness, then two colours of half its height and width.

    Args:
        colour_range: range of brightness, a key of `RANGES`.
        matrix: colour matrix, a key of `MATRICES`.
    """

    name = "yuv420p"

    def __init__(self, colour_range: str, matrix: str) -> None:
        self._range, self._matrix = RANGES[colour_range], MATRICES[matrix]
        self._reformatter = VideoReformatter()  # one for all frames: creating one takes longer than a conversion

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of a frame of an even size [pixels] as bytes."""
        return height * 3 // 2, width

    def to_rgb(self, pixels: Pixels) -> Frame:
        """Convert a frame to RGB."""
        # Without this copy into aligned memory, the last columns are converted by other code, with other rounding.
        frame = av.VideoFrame.from_ndarray(pixels, format=self.name)
        frame.color_range, frame.colorspace = self._range, self._matrix
        rgb: Frame = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return rgb


PixelFormat = Rgb24 | Yuv420p


def choose_pixel_format(frame_lines: Sequence[str]) -> PixelFormat:
    """Choose the format in which ffmpeg sends the frames of a video: theirs if it is supported, or else RGB.

    Args:
        frame_lines: what the filter `showinfo` prints about its first frames.
    """
    text = "\n".join(frame_lines)
    first, colours = _FORMAT.search(text), _COLOURS.search(text)
    if first and colours and first[1] == Yuv420p.name and colours[1] in RANGES and colours[2] in MATRICES:
        return Yuv420p(colours[1], colours[2])
    return Rgb24()
