from dataclasses import replace

import numpy as np
import pytest

from pipeline.demo.motions import MOTIONS, Pose, Spot, still
from pipeline.demo.scene import COLOURS, RADII, SHAPES, SOUNDS, SPEEDS, Group

WIDTH, HEIGHT = 4 / 3, 1.0
CYCLES = np.linspace(0, 1, 200, endpoint=False)


def group(number: int = 1, size: str = "big") -> Group:
    return Group(number, "red", "square", size, stacked=number == 3, shift_x=0.02, shift_y=-0.01, tilt=0.1)


def poses(motion: str, number: int = 1, direction: int = 1, size: str = "big") -> list[tuple[Spot, Pose]]:
    spots = group(number, size).spots(WIDTH, HEIGHT, direction)
    return [(spot, MOTIONS[motion].path(CYCLES, spot)) for spot in spots]


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_motion_moves_and_comes_back_after_a_cycle(motion: str) -> None:
    spot = group().spots(WIDTH, HEIGHT)[0]
    first, again = (MOTIONS[motion].path(CYCLES + shift, spot) for shift in (0, 1))
    rest = still(CYCLES, spot)
    assert any(np.ptp(now - then) > 0.15 for now, then in zip(first, rest, strict=True))
    for now, later in zip(
        first._replace(angle=np.cos(first.angle)), again._replace(angle=np.cos(again.angle)), strict=True
    ):
        np.testing.assert_allclose(now, later, atol=1e-9)


@pytest.mark.parametrize("motion", MOTIONS)
def test_flipped_sideways_a_motion_is_the_same_motion(motion: str) -> None:
    """From another moment on, and perhaps in the other direction, which is drawn as often."""
    path = MOTIONS[motion].path
    spot = Spot(WIDTH / 2, 0.5, WIDTH / 2, 0.5, 0, 1, 0.16, 0.0, 1, WIDTH, HEIGHT)
    between = CYCLES + 0.5 / len(CYCLES)  # not at the instant of re-entry, when the object is out of sight
    seen = path(between, spot)
    flipped = _picture(seen._replace(x=WIDTH - seen.x, angle=-seen.angle))
    assert any(
        np.allclose(flipped, _picture(path(between + later, replace(spot, direction=direction))))
        for direction in (1, -1)
        for later in CYCLES
    )


def _picture(pose: Pose) -> np.ndarray:
    return np.stack([pose.x, pose.y, np.cos(pose.angle), np.sin(pose.angle), pose.scale])


@pytest.mark.parametrize("size", RADII)
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("motion", MOTIONS)
def test_objects_of_a_group_stay_apart_so_that_they_can_be_counted(motion: str, number: int, size: str) -> None:
    placed = poses(motion, number, size=size)
    for index, (spot, one) in enumerate(placed):
        for _, other in placed[:index]:
            distance = np.hypot(one.x - other.x, one.y - other.y)
            assert (distance >= spot.radius * (one.scale + other.scale)).all()


@pytest.mark.parametrize("motion", sorted(set(MOTIONS) - {"drift", "fall", "zigzag"}))
def test_motions_in_place_keep_big_groups_inside_the_picture(motion: str) -> None:
    for number in (1, 2, 3):
        for spot, pose in poses(motion, number):
            reach = spot.radius * pose.scale
            assert (pose.x >= reach).all() and (pose.x <= WIDTH - reach).all()
            assert (pose.y >= reach).all() and (pose.y <= HEIGHT - reach).all()


def test_labels_name_the_motion_and_nothing_that_only_captions_tell() -> None:
    told_elsewhere = {
        *COLOURS,
        *SHAPES,
        *RADII,
        *SPEEDS,
        *SOUNDS,
        "hoop",
        "box",
        "large",
        "little",
        "quickly",
        "slowly",
    }
    labels = [motion.label for motion in MOTIONS.values()]
    assert len(set(labels)) == len(labels) == 8
    for label in labels:
        assert not told_elsewhere & set(label.lower().split())
