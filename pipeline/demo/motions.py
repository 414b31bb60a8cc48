"""Motions of objects: the action classes of the demo.

Lengths are in units of the frame's shorter side; x points right and y down, from the upper left corner. A motion is
periodic, so its trajectory is a function of the number of cycles since its start. A cycle takes about a second, and a
single frame does not identify the motion. All motions are unchanged by a horizontal flip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Times = Float[np.ndarray, " times"]


class Pose(NamedTuple):
    """Position, angle and scale of an object at several times.

    Attributes:
        x: of the centre.
        y: of the centre.
        angle: clockwise (radians).
        scale: factor on the size of the object.
    """

    x: Times
    y: Times
    angle: Times
    scale: Times


@dataclass(frozen=True)
class Placement:
    """Place of an object in its group and in the frame.

    Attributes:
        x: position at rest.
        y: position at rest.
        centre_x: centre of the group.
        centre_y: centre of the group.
        index: index of the object in its group.
        number: number of objects in the group.
        radius: radius of the object.
        tilt: angle at rest (radians).
        direction: 1 or -1: sense of rotation, or to the right or left.
        width: width of the frame.
        height: height of the frame.
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
    """Forms of a verb for a motion, and the phrase that follows it."""

    plural: str
    singular: str
    ing: str
    tail: str


@dataclass(frozen=True)
class Motion:
    """An action class.

    Attributes:
        label: name in the action annotations.
        parent: parent class in the taxonomy.
        verbs: two verbs for it, the more frequent one first.
        period_factor: factor on the period of an event with this motion.
        trajectory: poses as a function of cycles.
    """

    label: str
    parent: str
    verbs: tuple[Verb, Verb]
    period_factor: float
    trajectory: Callable[[Times, Placement], Pose]


def still(cycles: Times, placement: Placement) -> Pose:
    """Return the pose at rest."""
    steady = np.ones_like(cycles)
    return Pose(placement.x * steady, placement.y * steady, placement.tilt * steady, steady)


def _bounce(cycles: Times, placement: Placement) -> Pose:
    rest = still(cycles, placement)
    return rest._replace(y=rest.y + 0.2 * (0.5 - np.abs(np.sin(np.pi * cycles))))


def _circle(cycles: Times, placement: Placement) -> Pose:
    """Move around the centre of the group; the objects keep their angle."""
    radius = 0.2 if placement.number == 1 else 0.27
    turn = 2 * np.pi * (placement.direction * cycles + placement.index / placement.number)
    rest = still(cycles, placement)
    return rest._replace(x=placement.centre_x + radius * np.cos(turn), y=placement.centre_y + radius * np.sin(turn))


def _spin(cycles: Times, placement: Placement) -> Pose:
    rest = still(cycles, placement)
    return rest._replace(angle=rest.angle + 2 * np.pi * placement.direction * cycles)


def _shake(cycles: Times, placement: Placement) -> Pose:
    rest = still(cycles, placement)
    return rest._replace(x=rest.x + 0.11 * np.sin(2 * np.pi * cycles))


def _pulse(cycles: Times, placement: Placement) -> Pose:
    rest = still(cycles, placement)
    return rest._replace(scale=1 + 0.24 * np.sin(2 * np.pi * cycles))


def _drift(cycles: Times, placement: Placement) -> Pose:
    """Move across the frame; an object that leaves on one side enters on the other."""
    lane = placement.centre_y + 0.12 * _rank_from_middle(placement)
    rest = still(cycles, placement)
    return rest._replace(x=_wrap(placement.direction * cycles, placement, placement.width), y=lane * rest.scale)


def _fall(cycles: Times, placement: Placement) -> Pose:
    """Move down; an object that leaves at the bottom enters at the top."""
    lane = placement.centre_x + 0.3 * _rank_from_middle(placement)
    rest = still(cycles, placement)
    return rest._replace(x=lane * rest.scale, y=_wrap(cycles, placement, placement.height))


def _zigzag(cycles: Times, placement: Placement) -> Pose:
    """Move across the frame on a triangle wave of three periods."""
    triangle = 4 * np.abs((3 * cycles) % 1 - 0.5) - 1
    drift = _drift(cycles, placement)
    return drift._replace(y=drift.y + 0.2 * triangle)


def _rank_from_middle(placement: Placement) -> float:
    """Return the index of an object relative to the middle of its group."""
    return placement.index - (placement.number - 1) / 2


def _wrap(cycles: Times, placement: Placement, length: float) -> Times:
    """Return positions along a side of the frame; objects enter and leave completely, evenly spaced in their group."""
    distance = length + 2 * placement.radius
    wrapped: Times = (cycles + placement.index / placement.number) % 1 * distance - placement.radius
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
