"""The outcome of every unusual input, as docs/reencoding.md lists it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.video_files import write_video

from pipeline.config.reencode import Reencode
from pipeline.video.decode import iter_frame_times, read_frames
from pipeline.video.encode import EncodedVideo, RejectedError, reencode_video
from pipeline.video.ffmpeg import find_ffmpeg
from pipeline.video.stream import iter_audio

FAST = Reencode(preset="ultrafast")
SIZE = "64x48"
SMALL = {"size": SIZE, "seconds": 1.0}


def run_ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([find_ffmpeg(), "-y", "-nostdin", "-loglevel", "error", *arguments], check=True)


def write_other_format(path: Path, *options: str | Path) -> Path:
    """Convert a plain video to another format."""
    source = write_video(path.with_name("plain.mp4"), **SMALL, sound=True)
    run_ffmpeg("-i", source, *options, f"file:{path}")
    return path


def write_variable_rate(path: Path) -> Path:
    return write_video(
        path, **SMALL, fps="30", options=("-vf", "select='not(mod(n,3))+not(mod(n,5))'", "-fps_mode", "vfr")
    )


def write_rotated(path: Path) -> Path:
    plain = write_video(path.with_name("plain.mp4"), **SMALL)
    run_ffmpeg("-display_rotation", "90", "-i", plain, "-c", "copy", path)
    return path


def write_several_streams(path: Path) -> Path:
    """Write two video streams, the second one larger, and two audio streams."""
    first, second = (
        write_video(path.with_name(f"{size}.mp4"), size=size, seconds=1, sound=True) for size in (SIZE, "96x64")
    )
    maps = ["-map", "0:v", "-map", "1:v", "-map", "0:a", "-map", "1:a"]
    run_ffmpeg("-i", first, "-i", second, *maps, "-c", "copy", path)
    return path


def write_cover(path: Path) -> Path:
    return write_video(path.with_name("cover.png"), size="32x32", seconds=0.04)


def write_with_cover_art(path: Path) -> Path:
    """Write cover art as the first and the video as the second stream."""
    plain = write_video(path.with_name("plain.mp4"), **SMALL, sound=True)
    options = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    run_ffmpeg("-i", write_cover(path), "-i", plain, *options, path)
    return path


def write_song(path: Path) -> Path:
    """Write audio with cover art."""
    tone = write_video(path.with_name("tone.m4a"), seconds=1, sound=True, options=("-map", "1:a"))
    options = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    run_ffmpeg("-i", tone, "-i", write_cover(path), *options, path)
    return path


def write_with_edit_list(path: Path) -> Path:
    """Write a video whose edit list drops the start: the packets are in the file, but are not shown."""
    plain = write_video(path.with_name("plain.mp4"), size=SIZE, seconds=2, sound=True)
    run_ffmpeg("-ss", "1", "-i", plain, "-c", "copy", path)
    return path


def write_empty_audio(path: Path) -> Path:
    """Write a video with an audio track without packets."""
    plain = write_video(path.with_name("plain.mp4"), **SMALL, sound=True)
    run_ffmpeg("-i", plain, "-c", "copy", "-bsf:a", "noise=drop=1", path)
    return path


def writer_of(**options: object) -> Callable[[Path], Path]:
    return lambda path: write_video(path, **{**SMALL, **options})  # type: ignore[arg-type]


WHOLE: dict[str, tuple[Callable[[Path], Path], tuple[int, int], bool]] = {
    "mp4 with sound.mp4": (writer_of(sound=True), (64, 48), True),
    "matroska.mkv": (writer_of(fps="30000/1001", sound=True), (64, 48), True),
    "webm.webm": (writer_of(sound=True, options=("-c:v", "libvpx-vp9", "-cpu-used", "8")), (64, 48), True),
    "avi.avi": (writer_of(sound=True, options=("-c:v", "mpeg4", "-bf", "2")), (64, 48), True),
    "quicktime.mov": (writer_of(sound=True), (64, 48), True),
    "transport stream.ts": (writer_of(sound=True), (64, 48), True),
    "flash.flv": (writer_of(sound=True, options=("-c:v", "flv", "-ar", "44100")), (64, 48), True),
    "gif.gif": (writer_of(fps="10"), (64, 48), False),
    "bare.h264": (writer_of(), (64, 48), False),
    "av1.mkv": (writer_of(options=("-c:v", "libaom-av1", "-cpu-used", "8")), (64, 48), False),
    "hevc.mp4": (writer_of(options=("-c:v", "libx265", "-x265-params", "log-level=none")), (64, 48), False),
    "no sound.mp4": (writer_of(), (64, 48), False),
    "odd size.mkv": (writer_of(size="65x49", options=("-pix_fmt", "yuv444p")), (64, 48), False),
    "ten bits.mp4": (writer_of(options=("-pix_fmt", "yuv420p10le")), (64, 48), False),
    "variable rate.mkv": (write_variable_rate, (64, 48), False),
    "slow.mp4": (writer_of(fps="5"), (64, 48), False),
    "fast.mp4": (writer_of(fps="60"), (64, 48), False),
    "rotated.mp4": (write_rotated, (48, 64), False),
    "several streams.mkv": (write_several_streams, (96, 64), True),
    "cover art.mp4": (write_with_cover_art, (64, 48), True),
    "edit list.mp4": (write_with_edit_list, (64, 48), True),
    "sound without packets.mkv": (write_empty_audio, (64, 48), False),
    "late.mkv": (lambda path: write_other_format(path, "-c", "copy", "-output_ts_offset", "7"), (64, 48), True),
    "matroska called.avi": (lambda path: write_other_format(path, "-f", "matroska"), (64, 48), True),
    "mp4 called.txt": (lambda path: write_other_format(path, "-f", "mp4"), (64, 48), True),
    "with space.mp4": (writer_of(), (64, 48), False),
    "quo'te\"s `$(x)`.mp4": (writer_of(), (64, 48), False),
    "ünïcode 録画 🎬.mp4": (writer_of(), (64, 48), False),
    "-y.mp4": (writer_of(), (64, 48), False),
    "http:x%03d,[0]\\;.mp4": (writer_of(), (64, 48), False),
}


@pytest.mark.parametrize("name", WHOLE)
def test_reencode_video_encodes_unusual_files_as_a_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, size, audio = WHOLE[name]
    write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    encoded = reencode_video(Path(name), Path("-out put.mp4"), FAST)
    assert encoded == EncodedVideo(encoded.frames, *size, audio, None)
    assert abs(encoded.frames - 30) <= 7 if name == "slow.mp4" else abs(encoded.frames - 30) <= 3
    assert [round(time * 30, 3) for time in iter_frame_times(Path("-out put.mp4"))] == list(range(encoded.frames))


@pytest.mark.parametrize(("name", "codec"), [("gap.mkv", "flac"), ("gap.mp4", "aac"), ("gap.webm", "libopus")])
def test_reencode_video_keeps_the_times_of_audio_after_a_gap(name: str, codec: str, tmp_path: Path) -> None:
    """Two seconds of the audio are missing: the output is silent there, and the tone continues at its time."""
    gap = ("-filter:a", "aselect=not(between(t\\,1\\,2.999))")
    source = write_video(
        tmp_path / name, size=SIZE, seconds=4, sound=True, options=(*gap, "-c:a", codec, "-ar", "48000")
    )
    encoded = reencode_video(source, tmp_path / "o.mp4", FAST)
    assert (encoded.audio, encoded.damage) == (True, None)
    samples = np.concatenate(list(iter_audio(tmp_path / "o.mp4", 16000)))
    loud = np.flatnonzero(np.abs(samples) > 0.05) / 16000
    assert len(samples) == pytest.approx(4 * 16000, abs=4000)
    assert ((loud < 1.2) | (loud > 2.8)).all()
    assert loud.min() < 0.2
    assert loud.max() > 3.7


def test_reencode_video_takes_the_largest_video_stream_as_ffmpeg_does(tmp_path: Path) -> None:
    reencode_video(write_several_streams(tmp_path / "s.mkv"), tmp_path / "s.mp4", FAST)
    reencode_video(tmp_path / "96x64.mp4", tmp_path / "one.mp4", FAST)
    pairs = zip(read_frames(tmp_path / "s.mp4"), read_frames(tmp_path / "one.mp4"), strict=True)
    assert all((frame == same).all() for frame, same in pairs)


NO_VIDEO: dict[str, tuple[Callable[[Path], object], str]] = {
    "tone.m4a": (lambda path: write_video(path, seconds=1, sound=True, options=("-map", "1:a")), "no_video"),
    "song.m4a": (write_song, "no_video"),
    "subtitles.srt": (lambda path: path.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n"), "no_video"),
    "still.png": (write_cover, "still_image"),
    "still.jpg": (lambda path: write_video(path, size=SIZE, seconds=0.04), "still_image"),
    "one frame.mp4": (lambda path: write_video(path, size=SIZE, seconds=0.04), "still_image"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "empty"),
    "page.mp4": (lambda path: path.write_text("<html><h1>404 Not Found</h1></html>"), "unreadable"),
    "zeros.mkv": (lambda path: path.write_bytes(bytes(5000)), "unreadable"),
    "absent.mp4": (lambda path: None, "unreadable"),
    "folder.mp4": (lambda path: path.mkdir(), "unreadable"),
}


@pytest.mark.parametrize("name", NO_VIDEO)
def test_reencode_video_rejects_files_without_video(name: str, tmp_path: Path) -> None:
    write, reason = NO_VIDEO[name]
    if name == "still.png":
        name = "cover.png"
    write(tmp_path / name)
    with pytest.raises(RejectedError) as error:
        reencode_video(tmp_path / name, tmp_path / "o.mp4", FAST)
    assert error.value.reason == reason
    assert not (tmp_path / "o.mp4").exists()


@pytest.mark.parametrize(
    ("name", "size", "count", "audio"),
    [
        ("av1_video.mkv", (640, 360), 150, False),
        ("h264_10bits.mp4", (200, 200), 30, False),
        ("nasa_13013.mp4", (480, 270), 390, True),
        ("unordered.mov", (50, 50), 4, False),
        ("video_90.mov", (320, 568), 3, False),
    ],
)
def test_reencode_video_encodes_real_files_as_a_whole(
    shared: Path, tmp_path: Path, name: str, size: tuple[int, int], count: int, audio: bool
) -> None:
    encoded = reencode_video(shared / "data" / "videos" / name, tmp_path / "o.mp4", FAST)
    assert encoded == EncodedVideo(count, *size, audio, None)


def test_iter_frame_times_of_a_real_video_are_the_recorded_ones(shared: Path) -> None:
    folder = shared / "data" / "videos"
    recorded = json.loads((folder / "nasa_13013.mp4.stream0.all_frames_info.json").read_text())
    times = list(iter_frame_times(folder / "nasa_13013.mp4"))
    assert times == pytest.approx([float(frame["pts_time"]) for frame in recorded], abs=1e-6)
