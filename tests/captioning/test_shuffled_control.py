"""Whose features a video gets in the control."""

from pathlib import Path

import pytest
from helpers.caption_corpus import write_small
from hypothesis import given
from hypothesis import strategies as st

from pipeline.captioning.data import EventSequence
from pipeline.captioning.shuffled_control import derange, lend
from pipeline.errors import PipelineError


@given(st.integers(2, 40), st.integers(0, 5))
def test_no_video_keeps_its_own_and_each_lends_once(count: int, seed: int) -> None:
    videos = [f"v{number:02d}" for number in range(count)]
    donors = derange(videos, [], seed)
    assert sorted(donors) == videos
    assert sorted(donors.values()) == videos
    assert all(video != donor for video, donor in donors.items())
    assert derange(videos, [], seed) == donors


def test_seeds_differ() -> None:
    videos = [f"v{number:02d}" for number in range(20)]
    assert derange(videos, [], 0) != derange(videos, [], 1)


def test_a_lone_video_gets_a_stranger() -> None:
    assert derange(["a"], ["a", "b"], 0) == {"a": "b"}
    with pytest.raises(PipelineError, match="second video"):
        derange(["a"], ["a"], 0)


def test_events_keep_their_share_of_the_duration(tmp_path: Path) -> None:
    features = write_small(tmp_path, {"test": 3}).open_features()
    own, donor = "v_test0", "v_test2"
    assert (features.videos[own], features.videos[donor]) == (8.0, 10.0)
    lent = lend(EventSequence(own, ((0.0, 4.0), (4.0, 8.0))), donor, features)
    assert lent == EventSequence(donor, ((0.0, 5.0), (5.0, 10.0)))
