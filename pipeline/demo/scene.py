"""The plan of a demo video: groups of objects, events, background between them, and the format of the file.

Times are in seconds. Lengths are in units of the frame's shorter side.
"""

from dataclasses import dataclass
from fractions import Fraction

from pipeline.demo.motions import Placement

# Far apart in luma or chroma, so that 4:2:0 subsampling keeps them distinct; purple would not survive x264.
COLOURS = {
    "red": (214, 36, 34),
    "green": (34, 158, 52),
    "blue": (36, 66, 222),
    "yellow": (240, 214, 40),
    "white": (246, 246, 246),
    "black": (12, 12, 12),
}
SHAPES = ("ring", "square", "triangle", "cross")
RADII = {"small": 0.095, "big": 0.16}
"""Radius of an object. A small object that pulses stays smaller than a big one that pulses."""
SPEEDS = {"slow": 1.6, "fast": 0.75}
"""Seconds per cycle of a motion."""
SOUNDS = ("beep", "buzz", "drum", "silence")


@dataclass(frozen=True)
class ObjectGroup:
    """One to three equal objects.

    Attributes:
        number: number of objects.
        colour: key of `COLOURS`.
        shape: one of `SHAPES`.
        size: key of `RADII`.
        stacked: whether two objects form a column, or three a triangle; if not, they form a row.
        shift_x: horizontal offset of the group's centre from the frame's centre.
        shift_y: vertical offset of the group's centre.
        tilt: angle at rest (radians).
    """

    number: int
    colour: str
    shape: str
    size: str
    stacked: bool
    shift_x: float
    shift_y: float
    tilt: float

    def placements(self, width: float, height: float, direction: int = 1) -> list[Placement]:
        """Return the placements of the objects in a frame of the given width and height."""
        radius = RADII[self.size]
        centre = (width / 2 + self.shift_x, height / 2 + self.shift_y)
        return [
            Placement(
                x=centre[0] + x,
                y=centre[1] + y,
                centre_x=centre[0],
                centre_y=centre[1],
                index=index,
                number=self.number,
                radius=radius,
                tilt=self.tilt,
                direction=direction,
                width=width,
                height=height,
            )
            for index, (x, y) in enumerate(self._offsets(2 * radius + 0.1))
        ]

    def _offsets(self, distance: float) -> list[tuple[float, float]]:
        if self.stacked and self.number == 3:
            height = 0.87 * distance
            return [(-distance / 2, height / 2), (distance / 2, height / 2), (0.0, -height / 2)]
        positions = [(index - (self.number - 1) / 2) * distance for index in range(self.number)]
        return [(0.0, position) if self.stacked else (position, 0.0) for position in positions]


@dataclass(frozen=True)
class Event:
    """An interval in which a group moves; it is annotated and captioned.

    Attributes:
        start: seconds.
        end: seconds.
        group: the moving objects.
        motion: key of `MOTIONS`.
        speed: key of `SPEEDS`.
        period: seconds per cycle.
        phase: position in the cycle at the start, in cycles.
        direction: 1 or -1.
        sound: one of `SOUNDS`; None in a video without an audio track.
    """

    start: float
    end: float
    group: ObjectGroup
    motion: str
    speed: str
    period: float
    phase: float
    direction: int
    sound: str | None


@dataclass(frozen=True)
class Background:
    """An interval between events: a group stands still or moves more slowly than in any event.

    Attributes:
        start: seconds.
        end: seconds.
        group: the idle objects.
        velocity: horizontal and vertical, frame sides per second.
    """

    start: float
    end: float
    group: ObjectGroup
    velocity: tuple[float, float]


@dataclass(frozen=True)
class Distractor:
    """A grey object behind all others that moves slowly through the whole video.

    Attributes:
        shape: one of `SHAPES`.
        grey: grey level, 0 to 255.
        radius: in units of the frame's shorter side.
        start: position at the start of the video, as fractions of width and height.
        velocity: horizontal and vertical, frame sides per second.
        tilt: angle (radians).
    """

    shape: str
    grey: int
    radius: float
    start: tuple[float, float]
    velocity: tuple[float, float]
    tilt: float


@dataclass(frozen=True)
class VideoPlan:
    """Everything that determines a video of the demo.

    Attributes:
        id: eleven characters, as in ActivityNet.
        subset: training, validation or testing.
        suffix: key of `FORMATS`.
        rate: frames per second; for a variable frame rate, the rate of the grid that the frames lie on.
        variable: whether the frame rate is variable.
        width: pixels.
        height: pixels.
        frames: number of frames on the grid of `rate`.
        audio: whether there is an audio track.
        motion: the action class, key of `MOTIONS`.
        events: in temporal order.
        backgrounds: intervals before, between and after the events.
        grey: grey level of the backdrop in the upper left and in the lower right corner, 0 to 255.
        distractors: grey objects.
        noise_seed: seed of the noise in the audio track.
        damage: key of `DAMAGES`; None for an intact file.
    """

    id: str
    subset: str
    suffix: str
    rate: Fraction
    variable: bool
    width: int
    height: int
    frames: int
    audio: bool
    motion: str
    events: tuple[Event, ...]
    backgrounds: tuple[Background, ...]
    grey: tuple[int, int]
    distractors: tuple[Distractor, ...]
    noise_seed: int
    damage: str | None

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return float(self.frames / self.rate)

    @property
    def name(self) -> str:
        """Video id as in ActivityNet Captions and in file names: `v_<id>`."""
        return f"v_{self.id}"
