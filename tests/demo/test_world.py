from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.make_demo import MakeDemo
from pipeline.demo.formats import FORMATS
from pipeline.demo.motions import MOTIONS
from pipeline.demo.scene import COLOURS, RADII, SHAPES, SOUNDS, SPEEDS, Event, Video
from pipeline.demo.world import make_world

LARGE = MakeDemo(train_videos=800, val_videos=200, test_videos=0, broken_videos=0)

ATTRIBUTES = {
    "colour": (list(COLOURS), lambda event: event.group.colour),
    "shape": (list(SHAPES), lambda event: event.group.shape),
    "number": ([1, 2, 3], lambda event: event.group.number),
    "size": (list(RADII), lambda event: event.group.size),
    "speed": (list(SPEEDS), lambda event: event.speed),
}


@pytest.fixture(scope="module")
def large() -> list[Video]:
    return make_world(LARGE)


@pytest.fixture(scope="module")
def usual() -> list[Video]:
    return make_world(MakeDemo())


def events(videos: list[Video]) -> list[Event]:
    return [event for video in videos for event in video.events]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(-(2**40), 2**40),
    train=st.integers(1, 8),
    broken=st.integers(0, 8),
    test=st.integers(0, 3),
)
def test_the_plan_follows_from_the_seed_and_has_the_numbers_asked_for(
    seed: int, train: int, broken: int, test: int
) -> None:
    config = MakeDemo(seed=seed, train_videos=train, val_videos=3, test_videos=test, broken_videos=min(broken, train))
    videos = make_world(config)
    assert videos == make_world(config)
    assert Counter(video.subset for video in videos) == Counter(training=train, validation=3, testing=test)
    assert [video.subset for video in videos if video.broken] == ["training"] * config.broken_videos
    assert videos != make_world(config.model_copy(update={"seed": seed + 1}))


def test_events_lie_apart_inside_the_video_and_background_lies_between(large: list[Video]) -> None:
    for video in large:
        assert 10 <= video.duration <= 30
        assert 2 <= len(video.events) <= 4
        stretches = sorted([*video.events, *video.pauses], key=lambda stretch: stretch.start)
        assert stretches[0].start == 0
        assert stretches[-1].end == pytest.approx(video.duration, abs=0.1)
        for before, after in pairwise(stretches):
            assert before.end == after.start
            assert isinstance(before, Event) != isinstance(after, Event)
        assert all(3 <= event.end - event.start <= 7 for event in video.events)
        assert all(pause.end - pause.start >= 1.5 for pause in video.pauses)


def test_the_mean_video_is_short_enough_for_a_laptop(usual: list[Video]) -> None:
    assert 15 < sum(video.duration for video in usual) / len(usual) < 20


def test_all_events_of_a_video_share_its_motion_and_all_motions_come_equally_often(
    large: list[Video],
) -> None:
    assert all(event.motion == video.motion for video in large for event in video.events)
    counts = Counter(video.motion for video in large)
    assert set(counts) == set(MOTIONS)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_motion_tells_nothing_about_an_attribute(large: list[Video], name: str) -> None:
    values, of = ATTRIBUTES[name]
    found = events(large)
    overall = Counter(of(event) for event in found)
    assert max(overall.values()) - min(overall.values()) <= 1
    chi = 0.0
    for motion in MOTIONS:
        seen = Counter(of(event) for event in found if event.motion == motion)
        expected = sum(seen.values()) / len(values)
        chi += sum((seen[value] - expected) ** 2 / expected for value in values)
    degrees = (len(MOTIONS) - 1) * (len(values) - 1)
    # Mean and standard deviation of the chi-square distribution: 4 of them are never reached by chance.
    assert chi < degrees + 4 * (2 * degrees) ** 0.5


def test_sounds_are_heard_in_videos_with_an_audio_track_only(large: list[Video]) -> None:
    heard = {
        audio: Counter(event.sound for video in large if video.audio is audio for event in video.events)
        for audio in (True, False)
    }
    assert set(heard[True]) == set(SOUNDS)
    assert set(heard[False]) == {None}


def test_ids_look_like_activitynets(large: list[Video]) -> None:
    ids = [video.id for video in large]
    letters = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert all(len(name) == 11 and set(name) <= letters for name in ids)
    assert len(set(ids)) == len(ids)
    assert sum(name.startswith("-") for name in make_ids(10)) >= 1


def make_ids(videos: int) -> list[str]:
    return [video.id for video in make_world(MakeDemo(train_videos=videos, val_videos=3, broken_videos=0))]


def test_the_files_are_mixed(usual: list[Video]) -> None:
    assert {video.suffix for video in usual} == set(FORMATS)
    assert {round(float(video.rate), 2) for video in usual} == {12, 15, 20, 23.98, 25, 29.97, 30}
    assert {video.audio for video in usual} == {True, False}
    assert sum(video.variable for video in usual) >= 5
    assert not any(video.variable for video in usual if video.suffix == ".avi")
    assert any(video.width < video.height for video in usual)
    assert all(64 <= video.height <= 128 and video.width % 2 == video.height % 2 == 0 for video in usual)
