"""Frames and audio of any film keep their times, an error is never concealed, and messages are for users."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.films import B_FRAMES, find_beeps, read_number, write_film
from helpers.video_files import flip_bytes, truncate, write_video

from pipeline.errors import PipelineError
from pipeline.video.decode import DecodeError, NoVideoError
from pipeline.video.ffmpeg_pipe import CrashedDecoderError, DamagedError, StalledDecoderError
from pipeline.video.media_streams import NoAudioError
from pipeline.video.stream import iter_audio, iter_frames


def read_audio(path: Path, rate: int = 16000) -> np.ndarray:
    return np.concatenate(list(iter_audio(path, rate)))


def test_iter_frames_of_a_real_video_have_the_recorded_times(shared: Path) -> None:
    path = shared / "data" / "videos" / "nasa_13013.mp4"
    recorded = json.loads(path.with_name("nasa_13013.mp4.stream3.all_frames_info.json").read_text())
    times = [float(frame.time) for frame in iter_frames(path)]
    assert times == pytest.approx([float(frame["pts_time"]) for frame in recorded], abs=1e-6)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "webm", "avi"])
def test_iter_frames_times_start_at_0_in_every_container(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": ("-c:v", "libvpx"), "avi": ("-c:v", "mpeg4")}.get(suffix, ())
    times = [frame.time for frame in iter_frames(write_video(tmp_path / f"v.{suffix}", fps="25", options=codec))]
    assert times[0] == 0
    assert [float(time) for time in times] == pytest.approx([number / 25 for number in range(50)], abs=0.002)


def test_iter_frames_of_a_late_video_stream_keep_their_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", sound=True, options=("-filter:v", "setpts=PTS+0.5/TB"))
    assert float(next(iter_frames(path)).time) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4"])
def test_iter_frames_reads_all_frames_of_a_file_that_starts_late(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"late.{suffix}", options=("-output_ts_offset", "7"))
    assert len(list(iter_frames(path))) == 50


def test_iter_audio_of_a_late_audio_stream_starts_with_silence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", sound=True, options=("-filter:a", "asetpts=PTS+0.5/TB", "-c:a", "flac"))
    samples = read_audio(path)
    assert len(samples) == pytest.approx(2.5 * 16000, abs=1000)
    begin = int(np.flatnonzero(np.abs(samples) > 0.01)[0])
    assert begin == pytest.approx(8000, abs=800)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_iter_audio_keeps_frequency_and_amplitude_of_a_tone_at_every_rate(tmp_path: Path, rate: int) -> None:
    stereo = ("-filter:a", "pan=stereo|c0=c0|c1=0*c0", "-c:a", "flac")
    samples = read_audio(write_video(tmp_path / "v.mkv", sound=True, options=stereo), rate)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2 * rate, abs=50)
    spectrum = np.abs(np.fft.rfft(samples[:rate]))
    assert int(spectrum.argmax()) == 440
    assert np.abs(samples).max() == pytest.approx(1 / 16, rel=0.05), "the mean of a sine of 1/8 and of silence"


def test_iter_audio_fills_a_gap_with_silence(tmp_path: Path) -> None:
    # The third and the fourth second of the audio are missing; later samples keep their times.
    gap = ("-filter:a", "aselect=not(between(t\\,2\\,3.999))", "-c:a", "flac")
    samples = read_audio(write_video(tmp_path / "v.mkv", seconds=6, sound=True, options=gap))
    assert len(samples) == pytest.approx(6 * 16000, abs=4000)
    assert np.abs(samples[int(2.4 * 16000) : int(3.6 * 16000)]).max() == 0
    assert np.abs(samples[int(4.5 * 16000) :]).max() > 0.05


@pytest.mark.parametrize("kept_s", [0.03, 0.5])
def test_iter_audio_keeps_the_times_of_sound_with_many_small_gaps(tmp_path: Path, kept_s: float) -> None:
    """10 ms are missing after each part of the sound, so that the last second comes seconds too early without care."""
    beeps = tuple(float(second) + 0.2 for second in range(8))
    gaps = f"aselect=lt(mod(t\\,{kept_s + 0.01})\\,{kept_s})"
    options = ("-filter:a", f"asetnsamples=480,{gaps}")
    path = write_film(tmp_path / "v.mkv", frames=8, fps="1", audio=("-c:a", "pcm_s16le"), beeps=beeps, options=options)
    assert find_beeps(read_audio(path), 16000) == pytest.approx(beeps, abs=0.05)


def test_no_sound_and_no_video_are_named(tmp_path: Path) -> None:
    with pytest.raises(NoAudioError, match=r"v\.mp4: has no audio"):
        read_audio(write_video(tmp_path / "v.mp4"))
    with pytest.raises(NoVideoError, match=r"v\.m4a: has no video"):
        list(iter_frames(write_video(tmp_path / "v.m4a", sound=True, options=("-map", "1:a"))))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("page.mp4", b"<html>404</html>", "no video"),
        ("empty.mp4", b"", "empty"),
        ("absent.mp4", None, "no such video"),
        ("torn.mp4", b"index", "incomplete"),
    ],
)
def test_files_that_cannot_be_opened_are_named_in_words(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content == b"index":
        truncate(write_video(tmp_path / "whole.mp4"), path)
    elif content is not None:
        path.write_bytes(content)
    for read in (lambda: list(iter_frames(path)), lambda: read_audio(path)):
        with pytest.raises(DecodeError, match=rf"{name}: .*{words}"):
            read()


TRUNCATED = {"part.mkv": (), "part.mp4": ("-movflags", "+faststart"), "part.webm": ("-c:v", "libvpx")}


@pytest.mark.parametrize("name", TRUNCATED)
def test_iter_frames_and_iter_audio_refuse_a_truncated_file(tmp_path: Path, name: str) -> None:
    whole = write_video(tmp_path / f"whole.{name[5:]}", seconds=6, sound=True, options=TRUNCATED[name])
    part = truncate(whole, tmp_path / name, 0.5)
    for read in (lambda: list(iter_frames(part)), lambda: read_audio(part)):
        with pytest.raises(DamagedError, match=name.replace(".", r"\.")):
            read()


def test_iter_frames_names_the_time_of_an_error_for_any_number_of_threads(shared: Path) -> None:
    for threads in (1, 4):
        with pytest.raises(DamagedError, match=r"corrupted\.mp4: its picture is damaged at 2\.9 s"):
            list(iter_frames(shared / "data" / "videos" / "corrupted.mp4", threads=threads))


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", ()), ("mp4", ()), ("avi", ("-c:v", "mpeg4")), ("ts", ())])
def test_iter_frames_never_conceals_flipped_bytes(tmp_path: Path, suffix: str, codec: tuple[str, ...]) -> None:
    whole = write_video(tmp_path / f"whole.{suffix}", seconds=6, options=codec)
    path = flip_bytes(whole, tmp_path / f"flipped.{suffix}")
    with pytest.raises(DamagedError, match=rf"flipped\.{suffix}: "):
        list(iter_frames(path))


def test_damaged_sound_does_not_cost_the_frames(tmp_path: Path) -> None:
    path = write_film(tmp_path / "v.mkv", audio=("-c:a", "flac"), options=("-bsf:a", "noise=50"))
    assert [read_number(frame.to_rgb()) for frame in iter_frames(path)] == list(range(50))
    with pytest.raises(DamagedError, match=r"v\.mkv: its sound is damaged"):
        read_audio(path)


def cut_off_start(path: Path, target: Path, share: float = 0.3) -> Path:
    """Write the last packets of a transport stream, as a recording that starts at any time."""
    content = path.read_bytes()
    target.write_bytes(content[int(len(content) // 188 * share) * 188 :])
    return target


@pytest.mark.parametrize("threads", [1, 4])
def test_a_recording_that_starts_within_a_group_of_pictures_loses_only_what_nobody_can_show(
    tmp_path: Path, threads: int
) -> None:
    codec = (*B_FRAMES, "-x264-params", "open-gop=1")
    whole = write_film(tmp_path / "whole.ts", frames=60, video=codec, audio=("-c:a", "mp2"), channels=2)
    path = cut_off_start(whole, tmp_path / "part.ts")
    numbers = [read_number(frame.to_rgb()) for frame in iter_frames(path, threads=threads)]
    assert numbers == list(range(numbers[0], 60))
    assert 10 < numbers[0] < 30
    assert read_audio(path).any()


def check_sound_beside_frames(path: Path) -> None:
    """Check that beeps are heard 20 ms after each frame that shows 12, and 2.02 s after it."""
    starts = [float(frame.time) for frame in iter_frames(path) if read_number(frame.to_rgb()) == 12]
    expected = [start + delay for start in starts for delay in (0.5 - 12 / 25, 2.5 - 12 / 25)]
    assert len(expected) > 2
    assert find_beeps(read_audio(path), 16000) == pytest.approx(expected, abs=0.05)


def test_concatenated_transport_streams_are_read_as_a_whole(tmp_path: Path) -> None:
    one = write_film(tmp_path / "one.ts", frames=75, audio=("-c:a", "aac"), beeps=(0.5, 2.5))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() * 3)
    frames = list(iter_frames(joined))
    assert len(frames) == 225
    assert float(frames[-1].time) == pytest.approx(9, abs=0.3)
    check_sound_beside_frames(joined)


@pytest.mark.parametrize(
    ("codec", "formats"),
    [("aac", [(6, 48000), (1, 32000)]), ("mp2", [(1, 44100), (2, 48000)]), ("ac3", [(2, 48000), (6, 48000)])],
)
def test_sound_whose_format_changes_is_heard_to_the_end(
    tmp_path: Path, codec: str, formats: list[tuple[int, int]]
) -> None:
    parts = [
        write_film(
            tmp_path / f"{channels}.ts",
            frames=75,
            audio=("-c:a", codec),
            beeps=(0.5, 2.5),
            channels=channels,
            rate=rate,
            options=("-output_ts_offset", str(3 * number)),
        )
        for number, (channels, rate) in enumerate(formats)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    check_sound_beside_frames(path)


def test_a_recording_of_a_still_screen_is_whole(tmp_path: Path) -> None:
    late = ("-bsf:v", "setts=ts=TS+if(gte(N\\,2)\\,700\\,0)")
    path = write_film(tmp_path / "v.mkv", frames=4, fps="1", options=late)
    assert [float(frame.time) for frame in iter_frames(path)] == [0, 1, 702, 703]


def fake_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    script = folder / "ffmpeg"
    script.write_text(f"#!/bin/sh\n{command}\n")
    script.chmod(0o755)
    monkeypatch.setattr("pipeline.video.ffmpeg_pipe.find_ffmpeg", lambda: script)


@pytest.mark.parametrize(
    ("command", "kind", "words"),
    [
        ("kill -SEGV $$", CrashedDecoderError, "SIGSEGV"),
        ("exec tail -f /dev/null", StalledDecoderError, "0.2 s"),
        ("echo '[error] Unrecognized option fps_mode.' >&2; exit 1", PipelineError, "too old"),
    ],
)
def test_a_crash_or_hang_of_ffmpeg_is_an_error_of_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, kind: type[Exception], words: str
) -> None:
    path = write_film(tmp_path / "v.mkv", frames=5)
    fake_ffmpeg(tmp_path, monkeypatch, command)
    with pytest.raises(kind, match=words):
        list(iter_frames(path, timeout_s=0.2))


def test_closing_iter_frames_early_ends_ffmpeg(tmp_path: Path) -> None:
    frames = iter_frames(write_film(tmp_path / "v.mkv", frames=200))
    assert next(frames).time == 0
    frames.close()  # type: ignore[attr-defined]
    children = Path("/proc/thread-self/children")
    assert not any("ffmpeg" in Path(f"/proc/{pid}/comm").read_text() for pid in children.read_text().split())
