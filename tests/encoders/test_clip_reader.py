"""Clips are read frame by frame as they are meant, from files or from memory, by one process or several."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.video_corpus import counting, write_videos

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.clip_reader import ClipReader, frame_step, length, pad
from pipeline.encoders.clips import Sample
from pipeline.errors import PipelineError
from pipeline.video.shard import Videos

CLIP = Clip(frames=4, fps=15, height=24, width=32, crop=16)
CPU = torch.device("cpu")


@pytest.fixture
def videos(tmp_path: Path) -> Videos:
    films = {"v_a": counting(41), "v_b": counting(60, (48, 20)), "v_c": counting(5)}
    return Videos.read([write_videos(tmp_path / "0000", films)])


def sample(video: str, first: int) -> Sample:
    return Sample(video, first, 0, None, 0, 0, False)


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames of the file these are."""
    return [round((float(frame.mean()) - 20) / 2) for frame in frames]


def test_a_clip_holds_every_second_frame_of_a_30_fps_file(videos: Videos) -> None:
    reader = ClipReader(videos.rows, CLIP)
    for video, first in (("v_a", 0), ("v_a", 7), ("v_b", 26), ("v_a", 17)):
        frames = reader.read(video, first)
        assert frames.dtype == np.uint8
        assert frames.shape == (4, *(videos.rows[video].height, videos.rows[video].width), 3)
        assert numbers(frames) == [2 * (first + i) for i in range(4)]


def test_lengths_are_counted_at_the_clips_rate(videos: Videos) -> None:
    assert [length(videos.rows[video], CLIP) for video in ("v_a", "v_b", "v_c")] == [21, 30, 3]


def test_what_a_short_video_lacks_is_its_last_frame_again(videos: Videos) -> None:
    reader = ClipReader(videos.rows, CLIP)
    assert numbers(reader.read("v_c", 0)) == [0, 2, 4, 4]
    whole = reader.read("v_a", 3)
    assert pad(whole, 4) is whole


@pytest.mark.parametrize("cached", [False, True])
def test_a_clip_at_the_tail_is_shifted_to_the_end(videos: Videos, cached: bool) -> None:
    """A table that says a few frames too many ended the reference's epochs."""
    reader = ClipReader(videos.rows, CLIP)
    if cached:
        reader.cache(["v_a"], limit=10**9, threads=1)
    for first in (17, 18, 19, 20):
        assert numbers(reader.read("v_a", first)) == [34, 36, 38, 40]


def test_frames_of_another_size_than_was_said_are_told(videos: Videos) -> None:
    rows = {"v_a": replace(videos.rows["v_a"], width=64)}
    with pytest.raises(PipelineError, match=r"v_a\.mp4: frames of 32 x 24 where 64 x 24 were expected"):
        ClipReader(rows, CLIP).read("v_a", 0)


def test_an_unreadable_video_is_left_out_of_memory(videos: Videos) -> None:
    videos.rows["v_b"].path.write_bytes(b"no video")
    reader = ClipReader(videos.rows, CLIP)
    reader.cache(["v_a", "v_b"], limit=10**9, threads=1)
    assert reader.holds([sample("v_a", 0)])
    assert not reader.holds([sample("v_b", 0)])


def test_past_the_end_there_is_nothing(videos: Videos) -> None:
    with pytest.raises(PipelineError, match=r"v_a\.mp4: no frames from 2\.00 s on"):
        ClipReader(videos.rows, CLIP).read("v_a", 30)


def test_a_rate_that_does_not_divide_the_files_is_named(videos: Videos) -> None:
    for fps in (12.0, 60.0, 29.97):
        with pytest.raises(PipelineError, match=r"make clip\.fps divide reencode.fps"):
            frame_step(videos.rows["v_a"], Clip(fps=fps))


def test_memory_gives_the_same_frames_as_files_up_to_its_limit(videos: Videos) -> None:
    read, held = ClipReader(videos.rows, CLIP), ClipReader(videos.rows, CLIP)
    size = 21 * 24 * 32 * 3
    held.cache(["v_a", "v_b", "v_c"], limit=size + 3 * 24 * 32 * 3, threads=2)
    assert held.holds([sample("v_a", 0), sample("v_c", 0)])
    assert not held.holds([sample("v_b", 0)])
    for video, first in (("v_a", 0), ("v_a", 18), ("v_b", 3), ("v_c", 0)):
        np.testing.assert_array_equal(held.read(video, first), read.read(video, first))
