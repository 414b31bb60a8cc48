from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.demo.draw import CHUNK, draw
from pipeline.demo.scene import COLOURS, RADII, SHAPES, Event, Group, Pause, Video

GREY = 120


def video(group: Group, motion: str = "spin", frames: int = 40, size: tuple[int, int] = (128, 96)) -> Video:
    event = Event(1.0, 3.0, group, motion, "slow", 1.6, 0.0, 1, None)
    other = replace(group, colour="black", number=1, stacked=False)
    return Video(
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
        pauses=(Pause(0.0, 1.0, other, (0.0, 0.0)), Pause(3.0, 4.0, other, (0.0, 0.0))),
        grey=(GREY, GREY),
        blots=(),
        noise=0,
        broken=None,
    )


def group(number: int = 1, colour: str = "red", shape: str = "square", size: str = "big") -> Group:
    return Group(number, colour, shape, size, stacked=number == 3, shift_x=0.0, shift_y=0.0, tilt=0.0)


def frames(made: Video) -> np.ndarray:
    return np.concatenate(list(draw(made)))


def area(picture: np.ndarray) -> float:
    """What is not ground, partly covered pixels by their share."""
    return float(np.abs(picture.astype(int) - GREY).sum())


def blobs(mask: np.ndarray) -> int:
    """Connected regions (4-neighbours)."""
    left = {tuple(place) for place in np.argwhere(mask)}
    count = 0
    while left:
        count += 1
        pending = [left.pop()]
        while pending:
            row, column = pending.pop()
            near = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)} & left
            left -= near
            pending.extend(near)
    return count


def test_chunks_hold_all_frames_at_the_size_asked_for() -> None:
    chunks = list(draw(video(group(), frames=CHUNK + 3, size=(72, 128))))
    assert [len(chunk) for chunk in chunks] == [CHUNK, 3]
    assert {chunk.shape[1:] for chunk in chunks} == {(128, 72, 3)}


@pytest.mark.parametrize("colour", COLOURS)
def test_an_event_shows_its_colour_and_a_pause_does_not(colour: str) -> None:
    shown = frames(video(group(colour=colour)))
    nearness = np.abs(shown.astype(int) - COLOURS[colour]).max(axis=-1) <= 2
    assert nearness[20].mean() > 0.03
    assert colour == "black" or not nearness[[0, 4, 36, 39]].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_as_many_objects_are_seen_as_there_are(number: int, shape: str) -> None:
    for motion in ("bounce", "circle"):
        shown = frames(video(group(number, shape=shape), motion))
        mask = np.abs(shown[20].astype(int) - COLOURS["red"]).max(axis=-1) < 60
        assert blobs(mask) == number


def test_big_objects_cover_more_than_small_ones_even_while_pulsing() -> None:
    small, big = ([area(picture) for picture in frames(video(group(size=size), "pulse"))[12:28]] for size in RADII)
    assert min(big) > max(small)


def test_shapes_differ_in_a_small_picture() -> None:
    """What a crop of 64 pixels sees: the masks of two shapes differ in a quarter of their pixels at least."""
    masks = {}
    for shape in SHAPES:
        picture = frames(video(group(shape=shape, size="small"), "bounce", size=(86, 64)))[20]
        masks[shape] = np.abs(picture.astype(int) - GREY).max(axis=-1) > 40
    for one in SHAPES:
        for other in SHAPES:
            if one < other:
                union = (masks[one] | masks[other]).sum()
                assert (masks[one] ^ masks[other]).sum() > 0.25 * union


def test_things_move_in_events_and_stand_still_in_pauses() -> None:
    shown = frames(video(group(), "circle")).astype(int)
    changes = np.abs(np.diff(shown, axis=0)).max(axis=(1, 2, 3))
    assert changes[:8].max() == 0
    assert changes[12:27].min() > 20


def test_edges_are_soft() -> None:
    picture = frames(video(group(shape="ring", colour="white")))[20, :, :, 0]
    between = (picture > GREY + 10) & (picture < 235)
    assert len(np.unique(picture[between])) > 10
