"""The frames: anti-aliased shapes on a grey backdrop, drawn from signed distances.

Frames are drawn in chunks: poses and masks of an object are arrays over time, and only the object's own patch of each
frame is changed. So a frame costs a fraction of a millisecond.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.demo.motions import MOTIONS, Placement, Pose, Times, still
from pipeline.demo.scene import COLOURS, Background, Distractor, Event, VideoPlan

Plane = Float32[np.ndarray, "times rows columns"]
S = TypeVar("S", Event, Background)

CHUNK = 24
"""Number of frames drawn together: few enough for the processor's cache."""
FADE_S = 0.2
"""Duration of the cross-fade between two groups (seconds)."""


@dataclass(frozen=True)
class DrawnObject:
    """One object in the frames.

    Attributes:
        shape: key of `_DISTANCES`.
        radius: in units of the frame's shorter side.
        colour: red, green, blue, 0 to 255.
        start: time at which it appears (seconds); it fades in around this time.
        end: time at which it disappears (seconds).
        pose: function of times (seconds).
    """

    shape: str
    radius: float
    colour: tuple[int, int, int]
    start: float
    end: float
    pose: Callable[[Times], Pose]


def draw_frames(video: VideoPlan) -> Iterator[UInt8[np.ndarray, "times height width 3"]]:
    """Draw all frames of a video on the grid of its rate, RGB, in chunks of at most `CHUNK` frames."""
    short = min(video.width, video.height)
    yield from draw_objects(video, _objects(video, video.width / short, video.height / short))


def draw_objects(video: VideoPlan, objects: list[DrawnObject]) -> Iterator[UInt8[np.ndarray, "times height width 3"]]:
    """Draw objects on the backdrop of a video, from back to front; in chunks of frames, as `draw_frames` does."""
    short = min(video.width, video.height)
    backdrop = _draw_backdrop(video)
    for first in range(0, video.frames, CHUNK):
        indices = np.arange(first, min(first + CHUNK, video.frames))
        times = indices / float(video.rate)
        canvas = np.repeat(backdrop[None], len(times), axis=0)
        for drawn in objects:
            _paint(canvas, drawn, times, short)
        yield np.rint(canvas).astype(np.uint8)


def _draw_backdrop(video: VideoPlan) -> Float32[np.ndarray, "height width 3"]:
    """Draw a grey gradient from the upper left to the lower right corner."""
    rows = np.linspace(0, 0.5, video.height, dtype=np.float32)[:, None]
    columns = np.linspace(0, 0.5, video.width, dtype=np.float32)[None]
    left, right = video.grey
    grey = left + (right - left) * (rows + columns)
    return np.repeat(grey[..., None], 3, axis=2)


def _objects(video: VideoPlan, width: float, height: float) -> list[DrawnObject]:
    """List all objects of a video from back to front, for a frame of the given width and height."""
    return [
        *distractor_objects(video, width, height),
        *(
            _object_of(background, placement, _background_pose, video.duration)
            for background in video.backgrounds
            for placement in background.group.placements(width, height)
        ),
        *(
            _object_of(event, placement, _event_pose, video.duration)
            for event in video.events
            for placement in event.group.placements(width, height, event.direction)
        ),
    ]


def distractor_objects(video: VideoPlan, width: float, height: float) -> list[DrawnObject]:
    """List the grey objects of a video, for a frame of the given width and height."""
    return [
        DrawnObject(
            distractor.shape,
            distractor.radius,
            (distractor.grey,) * 3,
            -math.inf,
            math.inf,
            partial(_distractor_pose, distractor, width, height),
        )
        for distractor in video.distractors
    ]


def _object_of(
    interval: S, placement: Placement, pose: Callable[[S, Placement, Times], Pose], duration: float
) -> DrawnObject:
    """Return one object of the group of an interval; it does not fade at the start and end of the video."""
    return DrawnObject(
        shape=interval.group.shape,
        radius=placement.radius,
        colour=COLOURS[interval.group.colour],
        start=interval.start if interval.start > 0 else -math.inf,
        end=interval.end if interval.end < duration - FADE_S else math.inf,
        pose=partial(pose, interval, placement),
    )


def _distractor_pose(distractor: Distractor, width: float, height: float, times: Times) -> Pose:
    """Return the pose of a distractor; when it has left the frame completely, it enters on the other side."""
    extent_x, extent_y = width + 2 * distractor.radius, height + 2 * distractor.radius
    x = (distractor.start[0] * extent_x + distractor.velocity[0] * times) % extent_x - distractor.radius
    y = (distractor.start[1] * extent_y + distractor.velocity[1] * times) % extent_y - distractor.radius
    return Pose(x, y, np.full_like(times, distractor.tilt), np.ones_like(times))


def _background_pose(background: Background, placement: Placement, times: Times) -> Pose:
    rest = still(times, placement)
    elapsed = times - background.start
    return rest._replace(x=rest.x + background.velocity[0] * elapsed, y=rest.y + background.velocity[1] * elapsed)


def _event_pose(event: Event, placement: Placement, times: Times) -> Pose:
    cycles = (times - event.start) / event.period + event.phase
    return MOTIONS[event.motion].trajectory(cycles, placement)


def _paint(canvas: Float32[np.ndarray, "times height width 3"], drawn: DrawnObject, times: Times, short: int) -> None:
    """Draw one object into a chunk of frames, in place.

    Args:
        canvas: the frames.
        drawn: the object.
        times: times of the frames (seconds).
        short: shorter side of the frame (pixels).
    """
    opacity = np.minimum((times - drawn.start) / FADE_S, (drawn.end - times) / FADE_S) + 0.5
    (visible,) = np.nonzero(opacity > 0)
    if not len(visible):
        return
    pose = drawn.pose(times[visible])
    radius = drawn.radius * short * pose.scale
    # The corners of a square reach furthest, 1.19 radii; one more pixel for the soft edge.
    reach = math.ceil(1.25 * float(radius.max())) + 1
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    # The centre of pixel (0, 0) is half a pixel inside the frame.
    x, y = pose.x * short - 0.5, pose.y * short - 0.5
    left, top = np.rint(x).astype(int), np.rint(y).astype(int)
    mask = _coverage(drawn.shape, offsets, x - left, y - top, pose.angle, radius)
    mask *= np.minimum(opacity[visible], 1).astype(np.float32)[:, None, None]
    colour = np.array(drawn.colour, np.float32)
    height, width = canvas.shape[1:3]
    for frame, alpha, column, row in zip(visible, mask, left - reach, top - reach, strict=True):
        rows = slice(max(row, 0), min(row + len(offsets), height))
        columns = slice(max(column, 0), min(column + len(offsets), width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        patch = canvas[frame, rows, columns]
        inside = alpha[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
        patch += inside[..., None] * (colour - patch)


def _coverage(
    shape: str, offsets: Float32[np.ndarray, " rows"], dx: Times, dy: Times, angle: Times, radius: Times
) -> Plane:
    """Compute the part of each pixel of a square patch that a shape covers, 0 to 1.

    Args:
        shape: key of `_DISTANCES`.
        offsets: rows and columns of the patch relative to its centre (pixels).
        dx: horizontal offset of the shape's centre from the patch's centre (pixels).
        dy: vertical offset (pixels).
        angle: clockwise (radians).
        radius: pixels.
    """

    def column(values: Times) -> Float32[np.ndarray, "times 1 1"]:
        return values.astype(np.float32)[:, None, None]

    across, down = offsets[None, None, :] - column(dx), offsets[None, :, None] - column(dy)
    cosine, sine = column(np.cos(angle)), column(np.sin(angle))
    size = column(radius)
    # Rotate into the shape's own axes, in units of its radius.
    x, y = (across * cosine + down * sine) / size, (down * cosine - across * sine) / size
    distance = _DISTANCES[shape](x, y) * size
    return np.clip(0.5 - distance, 0, 1)


def _ring(x: Plane, y: Plane) -> Plane:
    """A thick ring with a gap on its right, which makes its rotation visible."""
    ring = np.abs(np.hypot(x, y) - 0.75) - 0.27
    gap = np.maximum(np.abs(y) - 0.16, -x)
    return np.maximum(ring, -gap)


def _square(x: Plane, y: Plane) -> Plane:
    return np.maximum(np.abs(x), np.abs(y)) - 0.84


def _triangle(x: Plane, y: Plane) -> Plane:
    """An equilateral triangle with a horizontal base."""
    return np.maximum(np.abs(x) * 0.866 - y * 0.5, y) - 0.58


def _cross(x: Plane, y: Plane) -> Plane:
    """Two perpendicular bars."""
    across, down = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(across - 1, down - 0.32), np.maximum(down - 1, across - 0.32))


_DISTANCES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
}
"""Signed distance from the edge of each shape, in radii: negative inside; x points right, y down."""
