"""Streamed frames and audio keep their times, and errors are never concealed."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.video_files import truncate, write_video

from pipeline.video.decode import DecodeError, read_frames
from pipeline.video.stream import DamagedError, NoAudioError, RgbConverter, iter_audio, iter_frames


def test_iter_frames_of_a_real_video_have_the_recorded_times(shared: Path) -> None:
    path = shared / "data" / "videos" / "nasa_13013.mp4"
    recorded = json.loads(path.with_name("nasa_13013.mp4.stream0.all_frames_info.json").read_text())
    times = [float(frame.time) for frame in iter_frames(path)]
    assert times == pytest.approx([float(frame["pts_time"]) for frame in recorded], abs=1e-6)


def test_iter_frames_and_read_frames_return_equal_frames(tmp_path: Path) -> None:
    path, to_rgb = write_video(tmp_path / "v.mp4", fps="30", options=("-g", "20", "-bf", "3")), RgbConverter()
    for threads in (1, 3):
        frames = list(iter_frames(path, threads=threads))
        assert [frame.time for frame in frames] == [Fraction(number, 30) for number in range(60)]
        assert {frame.duration for frame in frames} == {Fraction(1, 30)}
        for frame, same in zip(frames, read_frames(path), strict=True):
            np.testing.assert_array_equal(to_rgb(frame.image), same)


def test_iter_frames_skips_frames_that_are_not_needed_and_changes_no_other(tmp_path: Path) -> None:
    path, to_rgb = write_video(tmp_path / "v.mp4", fps="30", options=("-bf", "3", "-b_strategy", "0")), RgbConverter()
    whole = {frame.time: to_rgb(frame.image) for frame in iter_frames(path)}
    needed = iter_frames(path, is_needed=lambda time: (time * 30) % 6 == 0, threads=2)
    images = {frame.time: to_rgb(frame.image) for frame in needed}
    assert {time for time in whole if (time * 30) % 6 == 0} <= images.keys()
    assert len(images) < len(whole) * 3 / 4
    for time, image in images.items():
        np.testing.assert_array_equal(image, whole[time])


@pytest.mark.parametrize("suffix", ["mkv", "ts", "webm", "avi"])
def test_iter_frames_times_start_at_0_in_every_container(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": ("-c:v", "libvpx"), "avi": ("-c:v", "mpeg4")}.get(suffix, ())
    times = [frame.time for frame in iter_frames(write_video(tmp_path / f"v.{suffix}", fps="25", options=codec))]
    assert times[0] == 0
    assert [float(time) for time in times] == pytest.approx([number / 25 for number in range(50)], abs=0.002)


def test_iter_frames_of_a_late_video_stream_keep_their_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", sound=True, options=("-filter:v", "setpts=PTS+0.5/TB"))
    assert float(next(iter_frames(path)).time) == pytest.approx(0.5, abs=0.03)


def test_iter_audio_of_a_late_audio_stream_starts_with_silence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", sound=True, options=("-filter:a", "asetpts=PTS+0.5/TB", "-c:a", "flac"))
    samples = np.concatenate([part for _, part in iter_audio(path, [16000])])
    assert len(samples) == pytest.approx(2.5 * 16000, abs=1000)
    begin = int(np.flatnonzero(np.abs(samples) > 0.01)[0])
    assert begin == pytest.approx(8000, abs=800)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_iter_audio_keeps_frequency_and_amplitude_of_a_tone_at_every_rate(tmp_path: Path, rate: int) -> None:
    stereo = ("-filter:a", "pan=stereo|c0=c0|c1=0*c0", "-c:a", "flac")
    path = write_video(tmp_path / "v.mkv", sound=True, options=stereo)
    samples = np.concatenate([part for _, part in iter_audio(path, [rate])])
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2 * rate, abs=50)
    spectrum = np.abs(np.fft.rfft(samples[:rate]))
    assert int(spectrum.argmax()) == 440
    assert np.abs(samples).max() == pytest.approx(1 / 16, rel=0.05), "the mean of a sine of 1/8 and of silence"


def test_iter_audio_returns_the_same_samples_for_one_or_several_rates(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", sound=True)
    both = list(iter_audio(path, [8000, 16000]))
    for rate in (8000, 16000):
        jointly = np.concatenate([part for part_rate, part in both if part_rate == rate])
        np.testing.assert_array_equal(jointly, np.concatenate([part for _, part in iter_audio(path, [rate])]))


def test_iter_audio_names_a_file_without_audio(tmp_path: Path) -> None:
    with pytest.raises(NoAudioError, match=r"v\.mp4: has no audio"):
        list(iter_audio(write_video(tmp_path / "v.mp4"), [16000]))


def test_iter_frames_and_iter_audio_refuse_a_truncated_file(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", seconds=6, sound=True)
    part = truncate(whole, tmp_path / "part.mkv", 0.5)
    for read in (lambda: list(iter_frames(part)), lambda: list(iter_audio(part, [16000]))):
        with pytest.raises(DamagedError, match=r"part\.mkv"):
            read()


def test_iter_frames_stops_at_an_error_within_a_file(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(DecodeError, match=r"corrupted\.mp4"):
        list(iter_frames(shared / "data" / "videos" / "corrupted.mp4"))


def test_iter_frames_refuses_concatenated_files_whose_times_start_again(tmp_path: Path) -> None:
    content = write_video(tmp_path / "one.ts", seconds=3, sound=True).read_bytes()
    (tmp_path / "joined.ts").write_bytes(content + content)
    with pytest.raises(DamagedError, match=r"joined\.ts: time jumps from 3\.0 s to 0\.0 s"):
        list(iter_frames(tmp_path / "joined.ts"))


def test_iter_audio_fills_a_gap_with_silence(tmp_path: Path) -> None:
    # The third and the fourth second of the audio are missing; later samples keep their times.
    gap = ("-filter:a", "aselect=not(between(t\\,2\\,3.999))", "-c:a", "flac")
    path = write_video(tmp_path / "v.mkv", seconds=6, sound=True, options=gap)
    samples = np.concatenate([part for _, part in iter_audio(path, [16000])])
    assert len(samples) == pytest.approx(6 * 16000, abs=4000)
    assert np.abs(samples[int(2.4 * 16000) : int(3.6 * 16000)]).max() == 0
    assert np.abs(samples[int(4.5 * 16000) :]).max() > 0.05


@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4"])
def test_iter_frames_reads_all_frames_of_a_file_that_starts_late(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"late.{suffix}", options=("-output_ts_offset", "7"))
    assert len(list(iter_frames(path))) == 50
