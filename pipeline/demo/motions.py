"""How objects move: the action classes of the demo corpus.

Lengths are in short sides of the picture (1 is its shorter side), x to the right and y downwards from the
upper left corner. A motion repeats itself, so it is written over cycles: the number of repetitions since its
beginning. A cycle takes about a second, and no single frame gives a motion away. All of them survive a
horizontal flip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Times = Float[np.ndarray, " times"]


class Pose(NamedTuple):
    """Where an object is at several times.

    Attributes:
        x: of the centre, short sides.
        y: of the centre, short sides.
        angle: clockwise turn, radians.
        scale: factor on the object's size.
    """

    x: Times
    y: Times
    angle: Times
    scale: Times


@dataclass(frozen=True)
class Spot:
    """An object's place in its group and in the picture.

    Attributes:
        x: of its own resting place, short sides.
        y: of its own resting place.
        centre_x: of the group.
        centre_y: of the group.
        index: which object of the group.
        number: objects in the group.
        radius: of the object, short sides.
        tilt: its angle at rest, radians.
        direction: 1 or -1: the way round, or to the right or left.
        width: of the picture, short sides.
        height: of the picture, short sides.
    """

    x: float
    y: float
    centre_x: float
    centre_y: float
    index: int
    number: int
    radius: float
    tilt: float
    direction: int
    width: float
    height: float


@dataclass(frozen=True)
class Verb:
    """A word for a motion, in the forms that sentences need, and what may follow it."""

    plural: str
    singular: str
    ing: str
    tail: str


@dataclass(frozen=True)
class Motion:
    """An action class.

    Attributes:
        label: its name in the action annotations.
        parent: the class above it in the taxonomy.
        verbs: words for it, the commoner first.
        pace: cycles take this much longer than the event's period.
        path: poses over cycles.
    """

    label: str
    parent: str
    verbs: tuple[Verb, Verb]
    pace: float
    path: Callable[[Times, Spot], Pose]


def still(cycles: Times, spot: Spot) -> Pose:
    """No motion at all: what the idle objects of the background do."""
    steady = np.ones_like(cycles)
    return Pose(spot.x * steady, spot.y * steady, spot.tilt * steady, steady)


def _bounce(cycles: Times, spot: Spot) -> Pose:
    rest = still(cycles, spot)
    return rest._replace(y=rest.y + 0.2 * (0.5 - np.abs(np.sin(np.pi * cycles))))


def _circle(cycles: Times, spot: Spot) -> Pose:
    """Round the middle of the group; the objects keep their own angle."""
    radius = 0.2 if spot.number == 1 else 0.27
    turn = 2 * np.pi * (spot.direction * cycles + spot.index / spot.number)
    rest = still(cycles, spot)
    return rest._replace(x=spot.centre_x + radius * np.cos(turn), y=spot.centre_y + radius * np.sin(turn))


def _spin(cycles: Times, spot: Spot) -> Pose:
    rest = still(cycles, spot)
    return rest._replace(angle=rest.angle + 2 * np.pi * spot.direction * cycles)


def _shake(cycles: Times, spot: Spot) -> Pose:
    rest = still(cycles, spot)
    return rest._replace(x=rest.x + 0.11 * np.sin(2 * np.pi * cycles))


def _pulse(cycles: Times, spot: Spot) -> Pose:
    rest = still(cycles, spot)
    return rest._replace(scale=1 + 0.24 * np.sin(2 * np.pi * cycles))


def _drift(cycles: Times, spot: Spot) -> Pose:
    """Across the picture; what leaves on one side comes back on the other."""
    lane = spot.centre_y + 0.12 * _from_middle(spot)
    rest = still(cycles, spot)
    return rest._replace(x=_wrapped(spot.direction * cycles, spot, spot.width), y=lane * rest.scale)


def _fall(cycles: Times, spot: Spot) -> Pose:
    """Down; what leaves at the bottom comes back at the top."""
    lane = spot.centre_x + 0.3 * _from_middle(spot)
    rest = still(cycles, spot)
    return rest._replace(x=lane * rest.scale, y=_wrapped(cycles, spot, spot.height))


def _zigzag(cycles: Times, spot: Spot) -> Pose:
    """Across the picture on a line that turns sharply up and down, three times on the way."""
    triangle = 4 * np.abs((3 * cycles) % 1 - 0.5) - 1
    across = _drift(cycles, spot)
    return across._replace(y=across.y + 0.2 * triangle)


def _from_middle(spot: Spot) -> float:
    """Rank of an object in its group, counted from the group's middle."""
    return spot.index - (spot.number - 1) / 2


def _wrapped(cycles: Times, spot: Spot, length: float) -> Times:
    """Position along a side of the picture, entering and leaving completely; the group is spread evenly."""
    road = length + 2 * spot.radius
    wrapped: Times = (cycles + spot.index / spot.number) % 1 * road - spot.radius
    return wrapped


MOTIONS: dict[str, Motion] = {
    "bounce": Motion(
        "Bouncing up and down",
        "Moving in place",
        (
            Verb("bounce", "bounces", "bouncing", "up and down"),
            Verb("jump", "jumps", "jumping", "up and down"),
        ),
        1.0,
        _bounce,
    ),
    "circle": Motion(
        "Circling around",
        "Moving in place",
        (Verb("circle", "circles", "circling", "around"), Verb("move", "moves", "moving", "in a circle")),
        1.15,
        _circle,
    ),
    "spin": Motion(
        "Spinning in place",
        "Moving in place",
        (Verb("spin", "spins", "spinning", "in place"), Verb("rotate", "rotates", "rotating", "in place")),
        1.3,
        _spin,
    ),
    "shake": Motion(
        "Shaking from side to side",
        "Moving in place",
        (
            Verb("shake", "shakes", "shaking", "from side to side"),
            Verb("wobble", "wobbles", "wobbling", "from side to side"),
        ),
        0.75,
        _shake,
    ),
    "pulse": Motion(
        "Growing and shrinking",
        "Moving in place",
        (
            Verb("grow and shrink", "grows and shrinks", "growing and shrinking", ""),
            Verb("swell and shrink", "swells and shrinks", "swelling and shrinking", ""),
        ),
        1.0,
        _pulse,
    ),
    "drift": Motion(
        "Drifting across",
        "Moving along",
        (
            Verb("drift", "drifts", "drifting", "across the screen"),
            Verb("slide", "slides", "sliding", "across the screen"),
        ),
        2.4,
        _drift,
    ),
    "fall": Motion(
        "Falling down",
        "Moving along",
        (Verb("fall", "falls", "falling", "down"), Verb("drop", "drops", "dropping", "down")),
        2.0,
        _fall,
    ),
    "zigzag": Motion(
        "Zigzagging",
        "Moving along",
        (
            Verb("zigzag", "zigzags", "zigzagging", "across the screen"),
            Verb("weave", "weaves", "weaving", "across the screen"),
        ),
        2.8,
        _zigzag,
    ),
}
