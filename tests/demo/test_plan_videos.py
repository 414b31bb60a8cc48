"""Plans of demo videos."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.make_demo import MakeDemo
from pipeline.demo.motions import MOTIONS
from pipeline.demo.plan import plan_videos
from pipeline.demo.render import FORMATS
from pipeline.demo.scene import COLOURS, RADII, SHAPES, SOUNDS, SPEEDS, Event, VideoPlan

LARGE = MakeDemo(train_videos=800, val_videos=200, test_videos=0, broken_videos=0)

ATTRIBUTES = {
    "colour": (list(COLOURS), lambda event: event.group.colour),
    "shape": (list(SHAPES), lambda event: event.group.shape),
    "number": ([1, 2, 3], lambda event: event.group.number),
    "size": (list(RADII), lambda event: event.group.size),
    "speed": (list(SPEEDS), lambda event: event.speed),
}


@pytest.fixture(scope="module")
def large() -> list[VideoPlan]:
    return plan_videos(LARGE)


@pytest.fixture(scope="module")
def usual() -> list[VideoPlan]:
    return plan_videos(MakeDemo())


def events(videos: list[VideoPlan]) -> list[Event]:
    return [event for video in videos for event in video.events]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(-(2**40), 2**40),
    train=st.integers(1, 8),
    broken=st.integers(0, 8),
    test=st.integers(0, 3),
)
def test_plan_videos_follows_from_the_seed_and_has_the_configured_numbers(
    seed: int, train: int, broken: int, test: int
) -> None:
    config = MakeDemo(seed=seed, train_videos=train, val_videos=3, test_videos=test, broken_videos=min(broken, train))
    videos = plan_videos(config)
    assert videos == plan_videos(config)
    assert Counter(video.subset for video in videos) == Counter(training=train, validation=3, testing=test)
    assert [video.subset for video in videos if video.damage] == ["training"] * config.broken_videos
    assert videos != plan_videos(config.model_copy(update={"seed": seed + 1}))


def test_plan_videos_separates_events_by_background(large: list[VideoPlan]) -> None:
    for video in large:
        assert 10 <= video.duration <= 30
        assert 2 <= len(video.events) <= 4
        intervals = sorted([*video.events, *video.backgrounds], key=lambda interval: interval.start)
        assert intervals[0].start == 0
        assert intervals[-1].end == pytest.approx(video.duration, abs=0.1)
        for before, after in pairwise(intervals):
            assert before.end == after.start
            assert isinstance(before, Event) != isinstance(after, Event)
        assert all(3 <= event.end - event.start <= 7 for event in video.events)
        assert all(background.end - background.start >= 1.5 for background in video.backgrounds)


def test_plan_videos_makes_videos_of_15_to_20_seconds_on_average(usual: list[VideoPlan]) -> None:
    assert 15 < sum(video.duration for video in usual) / len(usual) < 20


def test_all_events_of_a_video_have_its_motion_and_all_motions_are_equally_frequent(
    large: list[VideoPlan],
) -> None:
    assert all(event.motion == video.motion for video in large for event in video.events)
    counts = Counter(video.motion for video in large)
    assert set(counts) == set(MOTIONS)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_motion_is_independent_of_each_attribute(large: list[VideoPlan], name: str) -> None:
    values, attribute = ATTRIBUTES[name]
    planned = events(large)
    overall = Counter(attribute(event) for event in planned)
    assert max(overall.values()) - min(overall.values()) <= 1
    chi_square = 0.0
    for motion in MOTIONS:
        counts = Counter(attribute(event) for event in planned if event.motion == motion)
        expected = sum(counts.values()) / len(values)
        chi_square += sum((counts[value] - expected) ** 2 / expected for value in values)
    degrees = (len(MOTIONS) - 1) * (len(values) - 1)
    # Mean plus 4 standard deviations of the chi-square distribution: practically never reached by chance.
    assert chi_square < degrees + 4 * (2 * degrees) ** 0.5


def test_only_videos_with_an_audio_track_have_sounds(large: list[VideoPlan]) -> None:
    sounds = {
        audio: Counter(event.sound for video in large if video.audio is audio for event in video.events)
        for audio in (True, False)
    }
    assert set(sounds[True]) == set(SOUNDS)
    assert set(sounds[False]) == {None}


def test_ids_have_the_form_of_activitynet(large: list[VideoPlan]) -> None:
    ids = [video.id for video in large]
    letters = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert all(len(name) == 11 and set(name) <= letters for name in ids)
    assert len(set(ids)) == len(ids)
    assert sum(name.startswith("-") for name in make_ids(10)) >= 1


def make_ids(videos: int) -> list[str]:
    return [video.id for video in plan_videos(MakeDemo(train_videos=videos, val_videos=3, broken_videos=0))]


def test_plan_videos_mixes_file_formats(usual: list[VideoPlan]) -> None:
    assert {video.suffix for video in usual} == set(FORMATS)
    assert {round(float(video.rate), 2) for video in usual} == {12, 15, 20, 23.98, 25, 29.97, 30}
    assert {video.audio for video in usual} == {True, False}
    assert sum(video.variable for video in usual) >= 5
    assert not any(video.variable for video in usual if video.suffix == ".avi")
    assert any(video.width < video.height for video in usual)
    assert all(64 <= video.height <= 128 and video.width % 2 == video.height % 2 == 0 for video in usual)
