"""Frames come with their times, sound at its place, and no error is passed over."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.video_files import cut, film

from pipeline.video.decode import DecodeError, frames
from pipeline.video.stream import DamagedError, Pixels, SilentError, sound, timed


def test_frame_times_of_a_real_video_are_those_recorded(shared: Path) -> None:
    path = shared / "data" / "videos" / "nasa_13013.mp4"
    recorded = json.loads(path.with_name("nasa_13013.mp4.stream0.all_frames_info.json").read_text())
    found = [float(frame.time) for frame in timed(path)]
    assert found == pytest.approx([float(frame["pts_time"]) for frame in recorded], abs=1e-6)


def test_all_frames_are_those_that_are_read_by_index(tmp_path: Path) -> None:
    path, pixels = film(tmp_path / "v.mp4", fps="30", options=("-g", "20", "-bf", "3")), Pixels()
    for threads in (1, 3):
        found = list(timed(path, threads=threads))
        assert [frame.time for frame in found] == [Fraction(number, 30) for number in range(60)]
        assert {frame.duration for frame in found} == {Fraction(1, 30)}
        for frame, same in zip(found, frames(path), strict=True):
            np.testing.assert_array_equal(pixels(frame.picture), same)


def test_what_is_not_wanted_is_left_out_and_changes_no_other_frame(tmp_path: Path) -> None:
    path, pixels = film(tmp_path / "v.mp4", fps="30", options=("-bf", "3", "-b_strategy", "0")), Pixels()
    whole = {frame.time: pixels(frame.picture) for frame in timed(path)}
    found = {
        frame.time: pixels(frame.picture) for frame in timed(path, wanted=lambda time: (time * 30) % 6 == 0, threads=2)
    }
    assert {time for time in whole if (time * 30) % 6 == 0} <= found.keys()
    assert len(found) < len(whole) * 3 / 4
    for time, picture in found.items():
        np.testing.assert_array_equal(picture, whole[time])


@pytest.mark.parametrize("suffix", ["mkv", "ts", "webm", "avi"])
def test_time_begins_with_the_file_whatever_its_container_counts_from(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": ("-c:v", "libvpx"), "avi": ("-c:v", "mpeg4")}.get(suffix, ())
    found = [frame.time for frame in timed(film(tmp_path / f"v.{suffix}", fps="25", options=codec))]
    assert found[0] == 0
    assert [float(time) for time in found] == pytest.approx([number / 25 for number in range(50)], abs=0.002)


def test_a_picture_that_begins_late_keeps_its_time(tmp_path: Path) -> None:
    path = film(tmp_path / "v.mkv", sound=True, options=("-filter:v", "setpts=PTS+0.5/TB"))
    assert float(next(timed(path)).time) == pytest.approx(0.5, abs=0.03)


def test_sound_that_begins_late_is_preceded_by_silence(tmp_path: Path) -> None:
    path = film(tmp_path / "v.mkv", sound=True, options=("-filter:a", "asetpts=PTS+0.5/TB", "-c:a", "flac"))
    heard = np.concatenate([chunk for _, chunk in sound(path, [16000])])
    assert len(heard) == pytest.approx(2.5 * 16000, abs=1000)
    begin = int(np.flatnonzero(np.abs(heard) > 0.01)[0])
    assert begin == pytest.approx(8000, abs=800)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_tone_keeps_its_height_and_strength_at_every_rate(tmp_path: Path, rate: int) -> None:
    stereo = ("-filter:a", "pan=stereo|c0=c0|c1=0*c0", "-c:a", "flac")
    path = film(tmp_path / "v.mkv", sound=True, options=stereo)
    heard = np.concatenate([chunk for _, chunk in sound(path, [rate])])
    assert heard.dtype == np.float32
    assert len(heard) == pytest.approx(2 * rate, abs=50)
    strength = np.abs(np.fft.rfft(heard[:rate]))
    assert int(strength.argmax()) == 440
    assert np.abs(heard).max() == pytest.approx(1 / 16, rel=0.05), "the mean of a sine of 1/8 and of silence"


def test_sound_is_decoded_once_for_several_rates(tmp_path: Path) -> None:
    path = film(tmp_path / "v.mkv", sound=True)
    both = list(sound(path, [8000, 16000]))
    for rate in (8000, 16000):
        together = np.concatenate([chunk for found, chunk in both if found == rate])
        np.testing.assert_array_equal(together, np.concatenate([chunk for _, chunk in sound(path, [rate])]))


def test_a_file_without_sound_says_so(tmp_path: Path) -> None:
    with pytest.raises(SilentError, match=r"v\.mp4: has no sound"):
        list(sound(film(tmp_path / "v.mp4"), [16000]))


def test_a_file_that_was_cut_short_is_damaged(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mkv", seconds=6, sound=True)
    part = cut(whole, tmp_path / "part.mkv", 0.5)
    for read in (lambda: list(timed(part)), lambda: list(sound(part, [16000]))):
        with pytest.raises(DamagedError, match=r"part\.mkv"):
            read()


def test_errors_within_a_file_end_its_decoding(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(DecodeError, match=r"corrupted\.mp4"):
        list(timed(shared / "data" / "videos" / "corrupted.mp4"))


def test_joined_files_whose_times_begin_anew_are_damaged(tmp_path: Path) -> None:
    one = film(tmp_path / "one.ts", seconds=3, sound=True).read_bytes()
    (tmp_path / "joined.ts").write_bytes(one + one)
    with pytest.raises(DamagedError, match=r"joined\.ts: after 3\.0 s comes 0\.0 s: joined of several files"):
        list(timed(tmp_path / "joined.ts"))


def test_a_gap_in_the_sound_is_silence(tmp_path: Path) -> None:
    # The third and fourth second are cut out of the sound; what comes after keeps its time.
    gap = ("-filter:a", "aselect=not(between(t\\,2\\,3.999))", "-c:a", "flac")
    path = film(tmp_path / "v.mkv", seconds=6, sound=True, options=gap)
    heard = np.concatenate([chunk for _, chunk in sound(path, [16000])])
    assert len(heard) == pytest.approx(6 * 16000, abs=4000)
    assert np.abs(heard[int(2.4 * 16000) : int(3.6 * 16000)]).max() == 0
    assert np.abs(heard[int(4.5 * 16000) :]).max() > 0.05


@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4"])
def test_a_file_that_starts_late_is_whole(tmp_path: Path, suffix: str) -> None:
    path = film(tmp_path / f"late.{suffix}", options=("-output_ts_offset", "7"))
    assert len(list(timed(path))) == 50
