"""The pictures: soft-edged shapes on a grey ground, drawn by signed distance.

A few dozen frames at a time: poses and masks of an object are arrays over time, and only its own patch of a
frame is touched, so that a frame costs a fraction of a millisecond.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.demo.motions import MOTIONS, Pose, Spot, Times, still
from pipeline.demo.scene import COLOURS, Blot, Event, Pause, Video

Plane = Float32[np.ndarray, "times rows columns"]
S = TypeVar("S", Event, Pause)

CHUNK = 24
"""Frames drawn together: few enough to stay in the processor's cache."""
FADE_S = 0.2
"""Seconds in which one group gives way to the next."""


@dataclass(frozen=True)
class _Object:
    """One object in the picture.

    Attributes:
        shape: key of `_DISTANCES`.
        radius: short sides of the picture.
        colour: red, green, blue, 0 to 255.
        start: when it appears, seconds; it fades in around this time.
        end: when it goes.
        pose: where it is, given times in seconds.
    """

    shape: str
    radius: float
    colour: tuple[int, int, int]
    start: float
    end: float
    pose: Callable[[Times], Pose]


def draw(video: Video) -> Iterator[UInt8[np.ndarray, "times height width 3"]]:
    """All frames of a video on the grid of its rate, in chunks of at most `CHUNK`, RGB."""
    short = min(video.width, video.height)
    objects = _objects(video, video.width / short, video.height / short)
    ground = _ground(video)
    for first in range(0, video.frames, CHUNK):
        numbers = np.arange(first, min(first + CHUNK, video.frames))
        times = numbers / float(video.rate)
        canvas = np.repeat(ground[None], len(times), axis=0)
        for item in objects:
            _paint(canvas, item, times, short)
        yield np.rint(canvas).astype(np.uint8)


def _ground(video: Video) -> Float32[np.ndarray, "height width 3"]:
    """A grey slope from the upper left to the lower right corner."""
    rows = np.linspace(0, 0.5, video.height, dtype=np.float32)[:, None]
    columns = np.linspace(0, 0.5, video.width, dtype=np.float32)[None]
    left, right = video.grey
    grey = left + (right - left) * (rows + columns)
    return np.repeat(grey[..., None], 3, axis=2)


def _objects(video: Video, width: float, height: float) -> list[_Object]:
    """Everything that is to be drawn, from back to front, in a picture of this size (short sides)."""
    return [
        *(
            _Object(
                blot.shape,
                blot.radius,
                (blot.grey,) * 3,
                -math.inf,
                math.inf,
                partial(_float, blot, width, height),
            )
            for blot in video.blots
        ),
        *(
            _member(pause, spot, _creep, video.duration)
            for pause in video.pauses
            for spot in pause.group.spots(width, height)
        ),
        *(
            _member(event, spot, _move, video.duration)
            for event in video.events
            for spot in event.group.spots(width, height, event.direction)
        ),
    ]


def _member(stretch: S, spot: Spot, pose: Callable[[S, Spot, Times], Pose], duration: float) -> _Object:
    """One object of the group that is shown in a stretch of time; nothing fades at the ends of the video."""
    return _Object(
        shape=stretch.group.shape,
        radius=spot.radius,
        colour=COLOURS[stretch.group.colour],
        start=stretch.start if stretch.start > 0 else -math.inf,
        end=stretch.end if stretch.end < duration - FADE_S else math.inf,
        pose=partial(pose, stretch, spot),
    )


def _float(blot: Blot, width: float, height: float, times: Times) -> Pose:
    """Slowly on; what has left the picture completely comes back on the other side."""
    around_x, around_y = width + 2 * blot.radius, height + 2 * blot.radius
    x = (blot.start[0] * around_x + blot.velocity[0] * times) % around_x - blot.radius
    y = (blot.start[1] * around_y + blot.velocity[1] * times) % around_y - blot.radius
    return Pose(x, y, np.full_like(times, blot.tilt), np.ones_like(times))


def _creep(pause: Pause, spot: Spot, times: Times) -> Pose:
    rest = still(times, spot)
    since = times - pause.start
    return rest._replace(x=rest.x + pause.creep[0] * since, y=rest.y + pause.creep[1] * since)


def _move(event: Event, spot: Spot, times: Times) -> Pose:
    return MOTIONS[event.motion].path((times - event.start) / event.period + event.phase, spot)


def _paint(canvas: Float32[np.ndarray, "times height width 3"], item: _Object, times: Times, short: int) -> None:
    """Lay one object over a chunk of frames, in place.

    Args:
        canvas: the frames.
        item: the object.
        times: of the frames, seconds.
        short: pixels of the picture's shorter side.
    """
    shown = np.minimum((times - item.start) / FADE_S, (item.end - times) / FADE_S) + 0.5
    (present,) = np.nonzero(shown > 0)
    if not len(present):
        return
    pose = item.pose(times[present])
    radius = item.radius * short * pose.scale
    # The corners of a square reach furthest, to 1.19 radii; one more pixel for the soft edge.
    reach = math.ceil(1.25 * float(radius.max())) + 1
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    # Pixel (0, 0) has its centre half a pixel inside the picture.
    x, y = pose.x * short - 0.5, pose.y * short - 0.5
    left, top = np.rint(x).astype(int), np.rint(y).astype(int)
    mask = _mask(item.shape, offsets, x - left, y - top, pose.angle, radius)
    mask *= np.minimum(shown[present], 1).astype(np.float32)[:, None, None]
    colour = np.array(item.colour, np.float32)
    height, width = canvas.shape[1:3]
    for frame, alpha, column, row in zip(present, mask, left - reach, top - reach, strict=True):
        rows = slice(max(row, 0), min(row + len(offsets), height))
        columns = slice(max(column, 0), min(column + len(offsets), width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        patch = canvas[frame, rows, columns]
        inside = alpha[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
        patch += inside[..., None] * (colour - patch)


def _mask(
    shape: str, offsets: Float32[np.ndarray, " rows"], dx: Times, dy: Times, angle: Times, radius: Times
) -> Plane:
    """How much of each pixel of a square patch a shape covers, 0 to 1.

    Args:
        shape: key of `_DISTANCES`.
        offsets: rows and columns of the patch, pixels from its middle.
        dx: of the shape's centre from the patch's middle, pixels.
        dy: likewise, downwards.
        angle: clockwise, radians.
        radius: pixels.
    """

    def column(values: Times) -> Float32[np.ndarray, "times 1 1"]:
        return values.astype(np.float32)[:, None, None]

    across, down = offsets[None, None, :] - column(dx), offsets[None, :, None] - column(dy)
    cosine, sine = column(np.cos(angle)), column(np.sin(angle))
    size = column(radius)
    # Turned back into the shape's own frame, in units of its radius.
    x, y = (across * cosine + down * sine) / size, (down * cosine - across * sine) / size
    distance = _DISTANCES[shape](x, y) * size
    return np.clip(0.5 - distance, 0, 1)


def _ring(x: Plane, y: Plane) -> Plane:
    """A thick ring with a gap on its right, by which its turning is seen."""
    ring = np.abs(np.hypot(x, y) - 0.75) - 0.27
    gap = np.maximum(np.abs(y) - 0.16, -x)
    return np.maximum(ring, -gap)


def _square(x: Plane, y: Plane) -> Plane:
    return np.maximum(np.abs(x), np.abs(y)) - 0.84


def _triangle(x: Plane, y: Plane) -> Plane:
    """Equal sides, standing on one of them."""
    return np.maximum(np.abs(x) * 0.866 - y * 0.5, y) - 0.58


def _cross(x: Plane, y: Plane) -> Plane:
    """Two bars at right angles."""
    across, down = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(across - 1, down - 0.32), np.maximum(down - 1, across - 0.32))


_DISTANCES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
}
"""Signed distance from a shape's edge, in radii: negative inside; x to the right, y downwards."""
