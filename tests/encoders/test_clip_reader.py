"""Tests of reading clips from files and from memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.video_corpus import counting_frames, write_video_shard

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.encoders.clip_reader import ClipReader, frame_step, num_clip_frames, pad_clip
from pipeline.encoders.sampling import ClipSample
from pipeline.errors import PipelineError
from pipeline.video.shard import ReencodedVideos

CLIP = ClipGeometry(frames=4, fps=15, height=24, width=32, crop=16)
CPU = torch.device("cpu")


@pytest.fixture
def videos(tmp_path: Path) -> ReencodedVideos:
    films = {"v_a": counting_frames(41), "v_b": counting_frames(60, (48, 20)), "v_c": counting_frames(5)}
    return ReencodedVideos.read([write_video_shard(tmp_path / "0000", films)])


def sample(video: str, start_frame: int) -> ClipSample:
    return ClipSample(video, start_frame, 0, None, 0, 0, False)


def frame_numbers(frames: np.ndarray) -> list[int]:
    """Return the positions of the frames in their file."""
    return [round((float(frame.mean()) - 20) / 2) for frame in frames]


def test_read_returns_every_second_frame_of_a_30_fps_file(videos: ReencodedVideos) -> None:
    reader = ClipReader(videos.by_id, CLIP)
    for video, first in (("v_a", 0), ("v_a", 7), ("v_b", 26), ("v_a", 17)):
        frames = reader.read(video, first)
        assert frames.dtype == np.uint8
        assert frames.shape == (4, *(videos.by_id[video].height, videos.by_id[video].width), 3)
        assert frame_numbers(frames) == [2 * (first + i) for i in range(4)]


def test_num_clip_frames_counts_at_the_clips_frame_rate(videos: ReencodedVideos) -> None:
    assert [num_clip_frames(videos.by_id[video], CLIP) for video in ("v_a", "v_b", "v_c")] == [21, 30, 3]


def test_read_repeats_the_last_frame_of_a_short_video(videos: ReencodedVideos) -> None:
    reader = ClipReader(videos.by_id, CLIP)
    assert frame_numbers(reader.read("v_c", 0)) == [0, 2, 4, 4]
    whole = reader.read("v_a", 3)
    assert pad_clip(whole, 4) is whole


@pytest.mark.parametrize("cached", [False, True])
def test_read_moves_a_clip_at_the_tail_to_the_end_of_the_video(videos: ReencodedVideos, cached: bool) -> None:
    """A table that states a few frames too many ended the epochs of the reference implementation."""
    reader = ClipReader(videos.by_id, CLIP)
    if cached:
        reader.cache(["v_a"], max_bytes=10**9, threads=1)
    for first in (17, 18, 19, 20):
        assert frame_numbers(reader.read("v_a", first)) == [34, 36, 38, 40]


def test_read_refuses_frames_of_another_size_than_stated(videos: ReencodedVideos) -> None:
    rows = {"v_a": replace(videos.by_id["v_a"], width=64)}
    with pytest.raises(PipelineError, match=r"v_a\.mp4: frames of 32 x 24, expected 64 x 24"):
        ClipReader(rows, CLIP).read("v_a", 0)


def test_cache_skips_an_unreadable_video(videos: ReencodedVideos) -> None:
    videos.by_id["v_b"].path.write_bytes(b"no video")
    reader = ClipReader(videos.by_id, CLIP)
    reader.cache(["v_a", "v_b"], max_bytes=10**9, threads=1)
    assert reader.is_cached([sample("v_a", 0)])
    assert not reader.is_cached([sample("v_b", 0)])


def test_read_past_the_end_names_the_video_and_the_time(videos: ReencodedVideos) -> None:
    with pytest.raises(PipelineError, match=r"v_a\.mp4: no frames after 2\.00 s"):
        ClipReader(videos.by_id, CLIP).read("v_a", 30)


def test_frame_step_refuses_a_rate_that_does_not_divide_the_files(videos: ReencodedVideos) -> None:
    for fps in (12.0, 60.0, 29.97):
        with pytest.raises(PipelineError, match=r"make clip\.fps divide reencode.fps"):
            frame_step(videos.by_id["v_a"], ClipGeometry(fps=fps))


def test_cache_gives_the_same_frames_as_files_up_to_its_limit(videos: ReencodedVideos) -> None:
    uncached, cached = ClipReader(videos.by_id, CLIP), ClipReader(videos.by_id, CLIP)
    size = 21 * 24 * 32 * 3
    cached.cache(["v_a", "v_b", "v_c"], max_bytes=size + 3 * 24 * 32 * 3, threads=2)
    assert cached.is_cached([sample("v_a", 0), sample("v_c", 0)])
    assert not cached.is_cached([sample("v_b", 0)])
    for video, first in (("v_a", 0), ("v_a", 18), ("v_b", 3), ("v_c", 0)):
        np.testing.assert_array_equal(cached.read(video, first), uncached.read(video, first))
