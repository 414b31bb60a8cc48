"""Frames and audio of re-encoded files are those of the slower readers, at the same times."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.video_files import write_video

from pipeline.video.decode import read_frames
from pipeline.video.ffmpeg_pipe import DamagedError
from pipeline.video.media_streams import NoAudioError
from pipeline.video.reencoded_stream import iter_needed_frames, iter_reencoded_audio
from pipeline.video.stream import iter_audio, iter_frames


@pytest.mark.parametrize("threads", [1, 3])
def test_iter_needed_frames_read_frames_and_iter_frames_return_equal_frames(tmp_path: Path, threads: int) -> None:
    path = write_video(tmp_path / "v.mp4", fps="30", options=("-g", "20", "-bf", "3"))
    frames = list(iter_needed_frames(path, lambda _: True, threads=threads))
    assert [frame.time for frame in frames] == [Fraction(number, 30) for number in range(60)]
    assert {frame.duration for frame in frames} == {Fraction(1, 30)}
    for frame, raw, image in zip(frames, iter_frames(path, threads=threads), read_frames(path), strict=True):
        assert (frame.time, frame.duration) == (raw.time, raw.duration)
        np.testing.assert_array_equal(frame.to_rgb(), image)
        np.testing.assert_array_equal(raw.to_rgb(), image)


def test_iter_needed_frames_decodes_only_what_is_needed_and_changes_no_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", fps="30", options=("-bf", "3", "-b_strategy", "0"))
    whole = {frame.time: frame.to_rgb() for frame in iter_needed_frames(path, lambda _: True)}
    needed = list(iter_needed_frames(path, lambda time: (time * 30) % 6 == 0, threads=2))
    assert [frame.time for frame in needed] == [Fraction(number, 30) for number in range(0, 60, 6)]
    for frame in needed:
        np.testing.assert_array_equal(frame.to_rgb(), whole[frame.time])


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_iter_reencoded_audio_returns_nearly_the_samples_of_iter_audio(tmp_path: Path, rate: int) -> None:
    path = write_video(tmp_path / "v.mp4", sound=True, options=("-ac", "2", "-c:a", "aac"))
    ours, other = (np.concatenate(list(read(path, rate))) for read in (iter_reencoded_audio, iter_audio))
    length = min(len(ours), len(other)) - 50  # at the end, the resampler lacks samples
    assert abs(len(ours) - len(other)) <= rate * 1024 / 44100, "less than a frame of AAC"
    np.testing.assert_allclose(ours[:length], other[:length], atol=1e-5)


def test_iter_reencoded_audio_names_a_file_without_audio(tmp_path: Path) -> None:
    with pytest.raises(NoAudioError, match=r"v\.mp4: has no audio"):
        list(iter_reencoded_audio(write_video(tmp_path / "v.mp4"), 16000))


def test_iter_needed_frames_stops_at_an_error_within_a_file(shared: Path) -> None:
    with pytest.raises(DamagedError, match=r"corrupted\.mp4"):
        list(iter_needed_frames(shared / "data" / "videos" / "corrupted.mp4", lambda _: True))
