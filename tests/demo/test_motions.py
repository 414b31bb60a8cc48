"""Motions of the demo's objects."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.demo.motions import MOTIONS, Placement, Pose, still
from pipeline.demo.scene import COLOURS, RADII, SHAPES, SOUNDS, SPEEDS, ObjectGroup

WIDTH, HEIGHT = 4 / 3, 1.0
CYCLES = np.linspace(0, 1, 200, endpoint=False)


def group(number: int = 1, size: str = "big") -> ObjectGroup:
    return ObjectGroup(number, "red", "square", size, stacked=number == 3, shift_x=0.02, shift_y=-0.01, tilt=0.1)


def poses(motion: str, number: int = 1, direction: int = 1, size: str = "big") -> list[tuple[Placement, Pose]]:
    placements = group(number, size).placements(WIDTH, HEIGHT, direction)
    return [(placement, MOTIONS[motion].trajectory(CYCLES, placement)) for placement in placements]


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_motion_moves_and_returns_after_a_cycle(motion: str) -> None:
    placement = group().placements(WIDTH, HEIGHT)[0]
    first, again = (MOTIONS[motion].trajectory(CYCLES + shift, placement) for shift in (0, 1))
    rest = still(CYCLES, placement)
    assert any(np.ptp(now - then) > 0.15 for now, then in zip(first, rest, strict=True))
    for now, later in zip(
        first._replace(angle=np.cos(first.angle)), again._replace(angle=np.cos(again.angle)), strict=True
    ):
        np.testing.assert_allclose(now, later, atol=1e-9)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_horizontally_flipped_motion_is_the_same_motion(motion: str) -> None:
    """It may start at another phase and have the other direction, which is as frequent."""
    trajectory = MOTIONS[motion].trajectory
    placement = Placement(WIDTH / 2, 0.5, WIDTH / 2, 0.5, 0, 1, 0.16, 0.0, 1, WIDTH, HEIGHT)
    between = CYCLES + 0.5 / len(CYCLES)  # avoids the instant of re-entry, when the object is outside the frame
    poses = trajectory(between, placement)
    flipped = _features(poses._replace(x=WIDTH - poses.x, angle=-poses.angle))
    assert any(
        np.allclose(flipped, _features(trajectory(between + later, replace(placement, direction=direction))))
        for direction in (1, -1)
        for later in CYCLES
    )


def _features(pose: Pose) -> np.ndarray:
    return np.stack([pose.x, pose.y, np.cos(pose.angle), np.sin(pose.angle), pose.scale])


@pytest.mark.parametrize("size", RADII)
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("motion", MOTIONS)
def test_objects_of_a_group_do_not_overlap(motion: str, number: int, size: str) -> None:
    placed = poses(motion, number, size=size)
    for index, (placement, one) in enumerate(placed):
        for _, other in placed[:index]:
            distance = np.hypot(one.x - other.x, one.y - other.y)
            assert (distance >= placement.radius * (one.scale + other.scale)).all()


@pytest.mark.parametrize("motion", sorted(set(MOTIONS) - {"drift", "fall", "zigzag"}))
def test_motions_in_place_keep_big_groups_inside_the_frame(motion: str) -> None:
    for number in (1, 2, 3):
        for placement, pose in poses(motion, number):
            reach = placement.radius * pose.scale
            assert (pose.x >= reach).all() and (pose.x <= WIDTH - reach).all()
            assert (pose.y >= reach).all() and (pose.y <= HEIGHT - reach).all()


def test_labels_name_the_motion_and_no_attribute_of_the_captions() -> None:
    attribute_words = {
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
        assert not attribute_words & set(label.lower().split())
