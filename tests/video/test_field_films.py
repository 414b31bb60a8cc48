"""Films that people had trouble with, and real videos, are read whole: frames to the frame, sound at its times."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.campaigns import quick_cases
from helpers.films import digest_image, find_beeps, judge_beeps, judge_frames, run_ffmpeg

from pipeline.config.reencode import Reencode
from pipeline.features.extraction.frame_sampling import nearest_frames
from pipeline.video.constant_rate import REENCODED_FPS, hold_frames
from pipeline.video.decode import NoVideoError
from pipeline.video.encode import reencode_video
from pipeline.video.media_streams import NoAudioError
from pipeline.video.reencoded_stream import iter_reencoded_audio
from pipeline.video.stream import iter_audio, iter_frames

RATE = 16000
"""Sample rate of the sound (samples/s)."""

FILMS = {
    "01_sound_8ch/octagonal.mkv": (20, 2.0, 2.0),
    "01_sound_8ch/sound_7.1.mkv": (20, 2.0, 2.0),
    "03_data_streams/attach.mkv": (100, 4.0, 4.0),
    "03_data_streams/chapters.mp4": (100, 4.0, 4.0),
    "03_data_streams/sound_first_chapters.mp4": (100, 4.0, 4.0),
    "03_data_streams/timecode.mov": (100, 4.0, 4.0),
    "04_sound_first/sound_first.mp4": (100, 4.0, 4.0),
    "04_sound_first/sound_first.ts": (100, 4.06, 4.09),
    "04_sound_first/sound_first_1fps.mp4": (12, 12.0, 12.0),
    "04_sound_first/sound_first_hevc.mp4": (100, 4.0, 4.0),
    "06_sound_rate_changes/rate_441_to_480.ts": (100, 4.02, 4.03),
    "08_sound_drift/full.mkv": (300, 60.0, 60.0),
    "08_sound_drift/drop10.mkv": (300, 60.0, 60.0),
    "08_sound_drift/drop47.mkv": (300, 60.0, 60.0),
    "08_sound_drift/drift_slow.mkv": (300, 61.2, 61.2),
    "09_theora/theora.ogv": (66, 4.0, 4.0),
    "09_theora/theora_clock.ogv": (125, 5.0, None),
    "11_last_frame_long/lastlong.mp4": (100, 6.96, None),
    "14_gap_700s/mkv_gap_700s.mkv": (4, 704.0, None),
    "18_joined_ts/joined_by_cat.ts": (150, 6.18, 6.22),
}
"""Number of frames, end of the last one, and end of the sound (seconds; None without sound)."""


@pytest.fixture
def cases(shared: Path) -> Path:
    folder = shared / "cases"
    if not folder.is_dir():
        pytest.skip("../shared/cases is not here")
    return folder


def read_audio(path: Path) -> np.ndarray:
    return np.concatenate(list(iter_audio(path, RATE)))


@pytest.mark.parametrize("name", FILMS)
def test_films_from_the_field_are_read_whole(cases: Path, name: str) -> None:
    num_frames, end, sound_end = FILMS[name]
    for threads in (1, 16):
        frames = list(iter_frames(cases / name, threads=threads))
        assert len(frames) == num_frames
        assert float(frames[-1].time + frames[-1].duration) == pytest.approx(end, abs=0.01)
    if sound_end is None:
        with pytest.raises(NoAudioError):
            read_audio(cases / name)
    else:
        assert len(read_audio(cases / name)) / RATE == pytest.approx(sound_end, abs=0.015)


@pytest.mark.parametrize("name", ["octagonal", "sound_7.1"])
def test_sound_of_eight_channels_is_their_mean(cases: Path, name: str) -> None:
    path = cases / "01_sound_8ch" / f"{name}.mkv"
    data = run_ffmpeg("-i", path, "-map", "0:a", "-ar", "16000", "-c:a", "pcm_f32le", "-f", "f32le", "-")
    channels = np.frombuffer(data, np.float32).reshape(-1, 8)
    np.testing.assert_allclose(read_audio(path)[:30000], channels.mean(axis=1)[:30000], atol=2e-3)
    assert np.abs(channels.mean(axis=1)).max() > 0.01


def test_an_audiobook_has_sound_and_no_video(cases: Path) -> None:
    path = cases / "03_data_streams" / "audiobook.m4a"
    assert len(read_audio(path)) / RATE == pytest.approx(4, abs=0.05)
    with pytest.raises(NoVideoError, match=r"audiobook\.m4a"):
        list(iter_frames(path))


@pytest.mark.parametrize("name", ["full", "drop10", "drop47", "drift_slow"])
def test_beeps_are_heard_at_their_times_however_many_gaps_there_are(cases: Path, name: str) -> None:
    path = cases / "08_sound_drift" / f"{name}.mkv"
    beeps = find_beeps(read_audio(path), RATE)
    assert beeps == pytest.approx(judge_beeps(path), abs=0.05)
    assert len(beeps) == 12
    if name != "drift_slow":
        assert beeps == pytest.approx(range(0, 60, 5), abs=0.05)


@pytest.mark.parametrize(
    ("name", "rate", "count"),
    [
        ("09_theora/theora.ogv", 25, 100),
        ("09_theora/theora_clock.ogv", 25, 125),
        ("11_last_frame_long/lastlong.mp4", 30, 209),
        ("14_gap_700s/mkv_gap_700s.mkv", 1, 704),
        ("04_sound_first/sound_first_1fps.mp4", 1, 12),
    ],
)
def test_frames_are_sampled_as_long_as_they_are_shown(cases: Path, name: str, rate: int, count: int) -> None:
    held = hold_frames(iter_frames(cases / name), REENCODED_FPS)
    frames = nearest_frames(held, [Fraction(rate)])
    assert sum(counts[0] for _, counts in frames) == count


@pytest.mark.parametrize("name", quick_cases(FILMS, len(FILMS) // 2))
def test_films_from_the_field_are_reencoded_whole(cases: Path, tmp_path: Path, name: str) -> None:
    """The re-encoded film has as many frames as the raw one gives, and its sound at the same times."""
    encoded = reencode_video(cases / name, tmp_path / "o.mp4", Reencode(preset="ultrafast"))
    assert encoded.damage is None
    assert encoded.audio == (FILMS[name][2] is not None)
    assert encoded.frames == sum(1 for _ in hold_frames(iter_frames(cases / name), REENCODED_FPS))
    if encoded.audio:
        ours, raw = np.concatenate(list(iter_reencoded_audio(tmp_path / "o.mp4", RATE))), read_audio(cases / name)
        assert find_beeps(ours, RATE) == pytest.approx(find_beeps(raw, RATE), abs=0.05)
        assert abs(len(ours) - len(raw)) < RATE * 0.05


def test_a_long_last_frame_is_reencoded_to_its_end(cases: Path, tmp_path: Path) -> None:
    path = cases / "11_last_frame_long" / "lastlong.mp4"
    assert reencode_video(path, tmp_path / "o.mp4", Reencode(preset="ultrafast")).frames == 209


REAL = ["av1_video.mkv", "h264_10bits.mp4", "nasa_13013.mp4", "unordered.mov", "v_GGSY1Qvo990.mp4", "v_ZNVhz7ctTq0.mp4"]


@pytest.mark.parametrize("name", [*REAL, "video_90.mov"])
def test_real_videos_are_what_ffmpeg_shows(shared: Path, name: str) -> None:
    path = shared / "data" / "videos" / name
    frames = [(frame.time, digest_image(frame.to_rgb())) for frame in iter_frames(path)]
    assert frames == [(frame.time, frame.digest) for frame in judge_frames(path)]


@pytest.mark.parametrize("name", ["nasa_13013.mp4", "v_GGSY1Qvo990.mp4", "v_ZNVhz7ctTq0.mp4"])
def test_the_sound_of_real_videos_is_what_ffmpeg_plays(shared: Path, name: str) -> None:
    path = shared / "data" / "videos" / name
    synchronous = f"aresample={RATE}:async=1:first_pts=0"
    data = run_ffmpeg("-i", path, "-vn", "-af", synchronous, "-c:a", "pcm_f32le", "-ac", "2", "-f", "f32le", "-")
    played, ours = np.frombuffer(data, np.float32).reshape(-1, 2).mean(axis=1), read_audio(path)
    assert abs(len(ours) - len(played)) < RATE * 0.05
    length = min(len(ours), len(played))
    assert np.corrcoef(ours[:length], played[:length])[0, 1] > 0.999
