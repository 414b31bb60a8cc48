"""Acts: what somebody does with one or two objects, as fine classes within groups, after Something-Something.

Classes of a group differ in a detail: a direction, an order in time, whether the end is reached. Lengths are in units
of the frame's shorter side, times are fractions of the video, 0 to 1. The act happens between two of them; before and
after, the objects are still.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.demo.motions import Pose, Times

NEAR, FAR = 0.38, 0.7
"""Distances between the centres of two objects: beside each other, and apart."""


@dataclass(frozen=True)
class ActSpace:
    """The place of an act in the frame.

    Attributes:
        x: horizontal centre.
        y: vertical centre.
        direction: 1 or -1: on which side of the other the first object is.
        reach: half of the width that motions may use.
    """

    x: float
    y: float
    direction: int
    reach: float


Moves = Callable[[Times, ActSpace], list[Pose]]


@dataclass(frozen=True)
class Act:
    """A class of acts.

    Attributes:
        template: name with a slot for each object.
        group: group of classes.
        moves: poses of the objects, the first one first, as a function of the progress of the act, 0 to 1.
        front: index of the object that is drawn last, in front of the other.
        scales: factors on the radius of each object.
    """

    template: str
    group: str
    moves: Moves
    front: int = 0
    scales: tuple[float, ...] = (1.0,)

    @property
    def num_objects(self) -> int:
        """Number of objects."""
        return self.template.count("[")


def ease(progress: Times) -> Times:
    """Start and end a motion gently."""
    return progress * progress * (3 - 2 * progress)


def pose(x: Times | float, y: Times | float, progress: Times, angle: Times | float = 0.0) -> Pose:
    """Return a pose whose parts have the length of the progress."""
    ones = np.ones_like(progress)
    return Pose(x * ones, y * ones, angle * ones, ones)


def beside(distance: Times | float, progress: Times, space: ActSpace) -> list[Pose]:
    """Return two objects at a distance, the second one still."""
    other = space.x - space.direction * FAR / 2
    return [pose(other + space.direction * distance, space.y, progress), pose(other, space.y, progress)]


def move_away(progress: Times, space: ActSpace) -> list[Pose]:
    """Move the first object from the second one."""
    return beside(NEAR + (FAR - NEAR) * ease(progress), progress, space)


def move_closer(progress: Times, space: ActSpace) -> list[Pose]:
    """Move the first object to the second one."""
    return beside(FAR - (FAR - NEAR) * ease(progress), progress, space)


def cover(progress: Times, space: ActSpace) -> list[Pose]:
    """Move the second, larger object over the first one."""
    first, second = beside(FAR * (1 - ease(progress)), progress, space)
    return [second, first]


def pretend_to_cover(progress: Times, space: ActSpace) -> list[Pose]:
    """Move the second object towards the first one, and back before it is there."""
    first, second = beside(FAR - (FAR - NEAR) * np.sin(np.pi * progress), progress, space)
    return [second, first]


def move_up(progress: Times, space: ActSpace) -> list[Pose]:
    """Move an object up."""
    return [pose(space.x, space.y + 0.24 - 0.48 * ease(progress), progress)]


def move_down(progress: Times, space: ActSpace) -> list[Pose]:
    """Move an object down."""
    return [pose(space.x, space.y - 0.24 + 0.48 * ease(progress), progress)]


def push_right(progress: Times, space: ActSpace) -> list[Pose]:
    """Move an object from left to right."""
    return [pose(space.x + space.reach * (2 * ease(progress) - 1), space.y, progress)]


def push_left(progress: Times, space: ActSpace) -> list[Pose]:
    """Move an object from right to left."""
    return [pose(space.x - space.reach * (2 * ease(progress) - 1), space.y, progress)]


def spin_on(progress: Times, space: ActSpace) -> list[Pose]:
    """Turn an object at a constant speed."""
    return [pose(space.x, space.y, progress, space.direction * 4 * np.pi * progress)]


def spin_and_stop(progress: Times, space: ActSpace) -> list[Pose]:
    """Turn an object that slows down, and is still from the middle on."""
    turned = 1 - (1 - np.minimum(2 * progress, 1)) ** 2
    return [pose(space.x, space.y, progress, space.direction * 2 * np.pi * turned)]


def lift(progress: Times, space: ActSpace) -> list[Pose]:
    """Lift an object and hold it."""
    return [pose(space.x, space.y + 0.24 - 0.44 * ease(np.minimum(2 * progress, 1)), progress)]


def lift_and_drop(progress: Times, space: ActSpace) -> list[Pose]:
    """Lift an object, then let it fall."""
    lifted = ease(np.minimum(2 * progress, 1))
    fallen = np.clip(2.5 * (progress - 0.6), 0, 1) ** 2
    return [pose(space.x, space.y + 0.24 - 0.44 * (lifted - fallen), progress)]


def show_next_to(progress: Times, space: ActSpace) -> list[Pose]:
    """Show two objects side by side."""
    return beside(NEAR, progress, space)


def show_behind(progress: Times, space: ActSpace) -> list[Pose]:
    """Show an object that another one hides in part."""
    return beside(NEAR / 3, progress, space)


_RELATIVE, _COVERING, _UP_DOWN = "Moving two objects relative to each other", "Covering", "Moving something"
_PUSHING, _SPINNING, _LIFTING = "Pushing something", "Spinning something", "Lifting and (not) dropping something"
_SHOWING = "Showing objects"

ACTS: dict[str, Act] = {
    "away": Act("Moving [something] away from [something]", _RELATIVE, move_away, scales=(1.0, 1.0)),
    "closer": Act("Moving [something] closer to [something]", _RELATIVE, move_closer, scales=(1.0, 1.0)),
    "cover": Act("Covering [something] with [something]", _COVERING, cover, front=1, scales=(0.75, 1.3)),
    "pretend": Act(
        "Pretending to cover [something] with [something]", _COVERING, pretend_to_cover, front=1, scales=(0.75, 1.3)
    ),
    "up": Act("Moving [something] up", _UP_DOWN, move_up),
    "down": Act("Moving [something] down", _UP_DOWN, move_down),
    "right": Act("Pushing [something] from left to right", _PUSHING, push_right),
    "left": Act("Pushing [something] from right to left", _PUSHING, push_left),
    "spin": Act("Spinning [something] that quickly stops spinning", _SPINNING, spin_and_stop),
    "spin_on": Act("Spinning [something] so it continues spinning", _SPINNING, spin_on),
    "lift": Act("Lifting [something] up without letting it drop down", _LIFTING, lift),
    "drop": Act("Lifting [something] up, then letting it drop down", _LIFTING, lift_and_drop),
    "next": Act("Showing [something] next to [something]", _SHOWING, show_next_to, scales=(1.0, 1.0)),
    "behind": Act("Showing [something] behind [something]", _SHOWING, show_behind, front=1, scales=(1.0, 1.0)),
}
"""The classes; their templates are those of Something-Something where it has them."""
