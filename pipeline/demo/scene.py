"""What there is in a video of the demo: groups of objects, events, the pauses between them, the file.

Times are seconds; lengths are short sides of the picture (1 is its shorter side).
"""

from dataclasses import dataclass
from fractions import Fraction

from pipeline.demo.motions import Spot

# Far apart in luma or chroma, so that 4:2:0 at this size keeps them apart; purple would not survive x264.
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
"""Radius in short sides of the picture. Even a pulsing small object stays smaller than a pulsing big one."""
SPEEDS = {"slow": 1.6, "fast": 0.75}
"""Seconds per cycle."""
SOUNDS = ("beep", "buzz", "drum", "silence")


@dataclass(frozen=True)
class Group:
    """One to three equal objects.

    Attributes:
        number: how many.
        colour: key of `COLOURS`.
        shape: one of `SHAPES`.
        size: key of `RADII`.
        stacked: two above each other or three in a triangle, instead of a row.
        shift_x: of the group's middle from the picture's, short sides.
        shift_y: of the group's middle from the picture's.
        tilt: angle at rest, radians.
    """

    number: int
    colour: str
    shape: str
    size: str
    stacked: bool
    shift_x: float
    shift_y: float
    tilt: float

    def spots(self, width: float, height: float, direction: int = 1) -> list[Spot]:
        """The places of the objects in a picture of this size (short sides)."""
        radius = RADII[self.size]
        middle = (width / 2 + self.shift_x, height / 2 + self.shift_y)
        return [
            Spot(
                x=middle[0] + x,
                y=middle[1] + y,
                centre_x=middle[0],
                centre_y=middle[1],
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

    def _offsets(self, apart: float) -> list[tuple[float, float]]:
        if self.stacked and self.number == 3:
            high = 0.87 * apart
            return [(-apart / 2, high / 2), (apart / 2, high / 2), (0.0, -high / 2)]
        places = [(index - (self.number - 1) / 2) * apart for index in range(self.number)]
        return [(0.0, place) if self.stacked else (place, 0.0) for place in places]


@dataclass(frozen=True)
class Event:
    """A stretch in which a group moves: what is annotated and described.

    Attributes:
        start: seconds.
        end: seconds.
        group: what moves.
        motion: key of `MOTIONS`.
        speed: key of `SPEEDS`.
        period: seconds per cycle.
        phase: cycles passed at the start.
        direction: 1 or -1.
        sound: one of `SOUNDS`; None in a video without an audio track.
    """

    start: float
    end: float
    group: Group
    motion: str
    speed: str
    period: float
    phase: float
    direction: int
    sound: str | None


@dataclass(frozen=True)
class Pause:
    """A stretch of background: a group stands still or creeps, slower than any event.

    Attributes:
        start: seconds.
        end: seconds.
        group: what is there.
        creep: velocity, short sides per second.
    """

    start: float
    end: float
    group: Group
    creep: tuple[float, float]


@dataclass(frozen=True)
class Blot:
    """A grey object behind everything, drifting slowly through the whole video.

    Attributes:
        shape: one of `SHAPES`.
        grey: level, 0 to 255.
        radius: short sides.
        start: position at the video's beginning, as fractions of width and height.
        velocity: short sides per second.
        tilt: radians.
    """

    shape: str
    grey: int
    radius: float
    start: tuple[float, float]
    velocity: tuple[float, float]
    tilt: float


@dataclass(frozen=True)
class Video:
    """Everything about one video of the demo.

    Attributes:
        id: eleven characters, as ActivityNet's.
        subset: training, validation or testing.
        suffix: key of `FORMATS`.
        rate: frames per second; of a variable rate, the grid that its frames lie on.
        variable: whether the frame rate is variable.
        width: pixels.
        height: pixels.
        frames: on the grid of `rate`.
        audio: whether there is an audio track.
        motion: the action class, key of `MOTIONS`.
        events: in order of time.
        pauses: the background between, before and after the events.
        grey: level of the background at the upper left and at the lower right corner, 0 to 255.
        blots: grey distractors.
        noise: seed of what sounds random.
        broken: how the file is damaged, key of `WAYS`; None if it is whole.
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
    pauses: tuple[Pause, ...]
    grey: tuple[int, int]
    blots: tuple[Blot, ...]
    noise: int
    broken: str | None

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.frames / self.rate)

    @property
    def name(self) -> str:
        """The id as ActivityNet Captions and file names write it."""
        return f"v_{self.id}"
