"""Frames of demo videos."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.demo.draw import CHUNK, draw_frames
from pipeline.demo.scene import COLOURS, RADII, SHAPES, Background, Event, ObjectGroup, VideoPlan

GREY = 120


def video(group: ObjectGroup, motion: str = "spin", frames: int = 40, size: tuple[int, int] = (128, 96)) -> VideoPlan:
    event = Event(1.0, 3.0, group, motion, "slow", 1.6, 0.0, 1, None)
    other = replace(group, colour="black", number=1, stacked=False)
    return VideoPlan(
        id="abcdefghijk",
        subset="training",
        suffix=".mp4",
        rate=Fraction(10),
        variable=False,
        width=size[0],
        height=size[1],
        frames=frames,
        audio=False,
        motion=motion,
        events=(event,),
        backgrounds=(Background(0.0, 1.0, other, (0.0, 0.0)), Background(3.0, 4.0, other, (0.0, 0.0))),
        grey=(GREY, GREY),
        distractors=(),
        noise_seed=0,
        damage=None,
    )


def group(number: int = 1, colour: str = "red", shape: str = "square", size: str = "big") -> ObjectGroup:
    return ObjectGroup(number, colour, shape, size, stacked=number == 3, shift_x=0.0, shift_y=0.0, tilt=0.0)


def frames(plan: VideoPlan) -> np.ndarray:
    return np.concatenate(list(draw_frames(plan)))


def area(frame: np.ndarray) -> float:
    """Return the area that differs from the backdrop; partly covered pixels count by their share."""
    return float(np.abs(frame.astype(int) - GREY).sum())


def count_regions(mask: np.ndarray) -> int:
    """Count the connected regions (4-neighbours)."""
    remaining = {tuple(pixel) for pixel in np.argwhere(mask)}
    count = 0
    while remaining:
        count += 1
        pending = [remaining.pop()]
        while pending:
            row, column = pending.pop()
            neighbours = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)} & remaining
            remaining -= neighbours
            pending.extend(neighbours)
    return count


def test_draw_frames_returns_chunks_of_the_planned_size() -> None:
    chunks = list(draw_frames(video(group(), frames=CHUNK + 3, size=(72, 128))))
    assert [len(chunk) for chunk in chunks] == [CHUNK, 3]
    assert {chunk.shape[1:] for chunk in chunks} == {(128, 72, 3)}


@pytest.mark.parametrize("colour", COLOURS)
def test_an_event_shows_its_colour_and_the_background_does_not(colour: str) -> None:
    drawn = frames(video(group(colour=colour)))
    matches_colour = np.abs(drawn.astype(int) - COLOURS[colour]).max(axis=-1) <= 2
    assert matches_colour[20].mean() > 0.03
    assert colour == "black" or not matches_colour[[0, 4, 36, 39]].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_all_objects_of_a_group_are_visible(number: int, shape: str) -> None:
    for motion in ("bounce", "circle"):
        drawn = frames(video(group(number, shape=shape), motion))
        mask = np.abs(drawn[20].astype(int) - COLOURS["red"]).max(axis=-1) < 60
        assert count_regions(mask) == number


def test_big_objects_cover_more_than_small_ones_even_while_pulsing() -> None:
    small, big = ([area(frame) for frame in frames(video(group(size=size), "pulse"))[12:28]] for size in RADII)
    assert min(big) > max(small)


def test_shapes_differ_in_a_small_frame() -> None:
    """In a frame of 64 pixels the masks of two shapes differ in at least a quarter of their pixels."""
    masks = {}
    for shape in SHAPES:
        frame = frames(video(group(shape=shape, size="small"), "bounce", size=(86, 64)))[20]
        masks[shape] = np.abs(frame.astype(int) - GREY).max(axis=-1) > 40
    for first, second in itertools.combinations(SHAPES, 2):
        union = (masks[first] | masks[second]).sum()
        assert (masks[first] ^ masks[second]).sum() > 0.25 * union


def test_objects_move_in_events_and_stand_still_in_the_background() -> None:
    drawn = frames(video(group(), "circle")).astype(int)
    changes = np.abs(np.diff(drawn, axis=0)).max(axis=(1, 2, 3))
    assert changes[:8].max() == 0
    assert changes[12:27].min() > 20


def test_edges_are_soft() -> None:
    frame = frames(video(group(shape="ring", colour="white")))[20, :, :, 0]
    edge = (frame > GREY + 10) & (frame < 235)
    assert len(np.unique(frame[edge])) > 10
