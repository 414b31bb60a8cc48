"""The outcome of every odd input, as docs/reencoding.md states it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.video_files import film

from pipeline.config.reencode import Reencode
from pipeline.video.decode import frames, times
from pipeline.video.encode import Encoded, RejectedError, reencode_video
from pipeline.video.stream import sound
from pipeline.video.tools import ffmpeg

FAST = Reencode(preset="ultrafast")
SIZE = "64x48"
SMALL = {"size": SIZE, "seconds": 1.0}


def call(*words: str | Path) -> None:
    subprocess.run([ffmpeg(), "-y", "-nostdin", "-loglevel", "error", *words], check=True)


def again(path: Path, *words: str | Path) -> Path:
    """A film of another form, made from a plain one."""
    source = film(path.with_name("plain.mp4"), **SMALL, sound=True)
    call("-i", source, *words, f"file:{path}")
    return path


def variable(path: Path) -> Path:
    return film(path, **SMALL, fps="30", options=("-vf", "select='not(mod(n,3))+not(mod(n,5))'", "-fps_mode", "vfr"))


def rotated(path: Path) -> Path:
    plain = film(path.with_name("plain.mp4"), **SMALL)
    call("-display_rotation", "90", "-i", plain, "-c", "copy", path)
    return path


def several(path: Path) -> Path:
    """Two pictures, the second one larger, and two sounds."""
    one, two = (film(path.with_name(f"{size}.mp4"), size=size, seconds=1, sound=True) for size in (SIZE, "96x64"))
    words = ["-map", "0:v", "-map", "1:v", "-map", "0:a", "-map", "1:a"]
    call("-i", one, "-i", two, *words, "-c", "copy", path)
    return path


def cover(path: Path) -> Path:
    return film(path.with_name("cover.png"), size="32x32", seconds=0.04)


def covered(path: Path) -> Path:
    """Cover art before the picture that moves."""
    plain = film(path.with_name("plain.mp4"), **SMALL, sound=True)
    words = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    call("-i", cover(path), "-i", plain, *words, path)
    return path


def song(path: Path) -> Path:
    """Sound with cover art."""
    tone = film(path.with_name("tone.m4a"), seconds=1, sound=True, options=("-map", "1:a"))
    words = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    call("-i", tone, "-i", cover(path), *words, path)
    return path


def trimmed(path: Path) -> Path:
    """A beginning that an edit list cuts off: its packets are there, but not to be shown."""
    plain = film(path.with_name("plain.mp4"), size=SIZE, seconds=2, sound=True)
    call("-ss", "1", "-i", plain, "-c", "copy", path)
    return path


def silent(path: Path) -> Path:
    """A track of sound with nothing in it."""
    plain = film(path.with_name("plain.mp4"), **SMALL, sound=True)
    call("-i", plain, "-c", "copy", "-bsf:a", "noise=drop=1", path)
    return path


def plain(**other: object) -> Callable[[Path], Path]:
    return lambda path: film(path, **{**SMALL, **other})  # type: ignore[arg-type]


WHOLE: dict[str, tuple[Callable[[Path], Path], tuple[int, int], bool]] = {
    "mp4 with sound.mp4": (plain(sound=True), (64, 48), True),
    "matroska.mkv": (plain(fps="30000/1001", sound=True), (64, 48), True),
    "webm.webm": (plain(sound=True, options=("-c:v", "libvpx-vp9", "-cpu-used", "8")), (64, 48), True),
    "avi.avi": (plain(sound=True, options=("-c:v", "mpeg4", "-bf", "2")), (64, 48), True),
    "quicktime.mov": (plain(sound=True), (64, 48), True),
    "transport stream.ts": (plain(sound=True), (64, 48), True),
    "flash.flv": (plain(sound=True, options=("-c:v", "flv", "-ar", "44100")), (64, 48), True),
    "gif.gif": (plain(fps="10"), (64, 48), False),
    "av1.mkv": (plain(options=("-c:v", "libaom-av1", "-cpu-used", "8")), (64, 48), False),
    "hevc.mp4": (plain(options=("-c:v", "libx265", "-x265-params", "log-level=none")), (64, 48), False),
    "no sound.mp4": (plain(), (64, 48), False),
    "odd size.mkv": (plain(size="65x49", options=("-pix_fmt", "yuv444p")), (64, 48), False),
    "ten bits.mp4": (plain(options=("-pix_fmt", "yuv420p10le")), (64, 48), False),
    "variable rate.mkv": (variable, (64, 48), False),
    "slow.mp4": (plain(fps="5"), (64, 48), False),
    "fast.mp4": (plain(fps="60"), (64, 48), False),
    "rotated.mp4": (rotated, (48, 64), False),
    "several streams.mkv": (several, (64, 48), True),
    "cover art.mp4": (covered, (64, 48), True),
    "edit list.mp4": (trimmed, (64, 48), True),
    "sound without packets.mkv": (silent, (64, 48), False),
    "late.mkv": (lambda path: again(path, "-c", "copy", "-output_ts_offset", "7"), (64, 48), True),
    "matroska called.avi": (lambda path: again(path, "-f", "matroska"), (64, 48), True),
    "mp4 called.txt": (lambda path: again(path, "-f", "mp4"), (64, 48), True),
    "with space.mp4": (plain(), (64, 48), False),
    "quo'te\"s `$(x)`.mp4": (plain(), (64, 48), False),
    "ünïcode 録画 🎬.mp4": (plain(), (64, 48), False),
    "-y.mp4": (plain(), (64, 48), False),
    "http:x%03d,[0]\\;.mp4": (plain(), (64, 48), False),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_comes_out_whole(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, size, audio = WHOLE[name]
    make(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    made = reencode_video(Path(name), Path("-out put.mp4"), FAST)
    assert made == Encoded(made.frames, *size, audio, None)
    assert abs(made.frames - 30) <= 7 if name == "slow.mp4" else abs(made.frames - 30) <= 3
    assert [round(time * 30, 3) for time in times(Path("-out put.mp4"))] == list(range(made.frames))


@pytest.mark.parametrize(("name", "codec"), [("gap.mkv", "flac"), ("gap.mp4", "aac"), ("gap.webm", "libopus")])
def test_a_gap_in_the_sound_does_not_move_what_follows(name: str, codec: str, tmp_path: Path) -> None:
    """Two seconds are cut out of the sound: the tone is silent there, and sounds again at its time."""
    cut = ("-filter:a", "aselect=not(between(t\\,1\\,2.999))")
    source = film(tmp_path / name, size=SIZE, seconds=4, sound=True, options=(*cut, "-c:a", codec, "-ar", "48000"))
    made = reencode_video(source, tmp_path / "o.mp4", FAST)
    assert (made.audio, made.damage) == (True, None)
    after = np.concatenate([chunk for _, chunk in sound(tmp_path / "o.mp4", [16000])])
    loud = np.flatnonzero(np.abs(after) > 0.05) / 16000
    assert len(after) == pytest.approx(4 * 16000, abs=4000)
    assert ((loud < 1.2) | (loud > 2.8)).all()
    assert loud.min() < 0.2
    assert loud.max() > 3.7


def test_the_first_picture_and_the_first_sound_are_taken(tmp_path: Path) -> None:
    reencode_video(several(tmp_path / "s.mkv"), tmp_path / "s.mp4", FAST)
    reencode_video(tmp_path / f"{SIZE}.mp4", tmp_path / "one.mp4", FAST)
    pairs = zip(frames(tmp_path / "s.mp4"), frames(tmp_path / "one.mp4"), strict=True)
    assert all((one == other).all() for one, other in pairs)


NO_VIDEO: dict[str, tuple[Callable[[Path], object], str]] = {
    "bare.h264": (lambda path: film(path, **SMALL), "no_times"),
    "tone.m4a": (lambda path: film(path, seconds=1, sound=True, options=("-map", "1:a")), "no_video"),
    "song.m4a": (song, "no_video"),
    "subtitles.srt": (lambda path: path.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n"), "no_video"),
    "still.png": (cover, "still_image"),
    "still.jpg": (lambda path: film(path, size=SIZE, seconds=0.04), "still_image"),
    "one frame.mp4": (lambda path: film(path, size=SIZE, seconds=0.04), "still_image"),
    "empty.mp4": (lambda path: path.write_bytes(b""), "empty"),
    "page.mp4": (lambda path: path.write_text("<html><h1>404 Not Found</h1></html>"), "unreadable"),
    "zeros.mkv": (lambda path: path.write_bytes(bytes(5000)), "unreadable"),
    "absent.mp4": (lambda path: None, "unreadable"),
    "folder.mp4": (lambda path: path.mkdir(), "unreadable"),
}


@pytest.mark.parametrize("name", NO_VIDEO)
def test_what_is_no_video_is_rejected(name: str, tmp_path: Path) -> None:
    make, reason = NO_VIDEO[name]
    if name == "still.png":
        name = "cover.png"
    make(tmp_path / name)
    with pytest.raises(RejectedError) as error:
        reencode_video(tmp_path / name, tmp_path / "o.mp4", FAST)
    assert error.value.reason == reason
    assert not (tmp_path / "o.mp4").exists()


@pytest.mark.parametrize(
    ("name", "size", "count", "audio"),
    [
        ("av1_video.mkv", (640, 360), 150, False),
        ("h264_10bits.mp4", (200, 200), 30, False),
        ("nasa_13013.mp4", (320, 180), 390, True),
        ("unordered.mov", (50, 50), 4, False),
        ("video_90.mov", (320, 568), 3, False),
    ],
)
def test_real_files_come_out_whole(
    shared: Path, tmp_path: Path, name: str, size: tuple[int, int], count: int, audio: bool
) -> None:
    made = reencode_video(shared / "data" / "videos" / name, tmp_path / "o.mp4", FAST)
    assert made == Encoded(count, *size, audio, None)


def test_frame_times_of_a_real_video_are_those_recorded(shared: Path) -> None:
    folder = shared / "data" / "videos"
    recorded = json.loads((folder / "nasa_13013.mp4.stream0.all_frames_info.json").read_text())
    found = list(times(folder / "nasa_13013.mp4"))
    assert found == pytest.approx([float(frame["pts_time"]) for frame in recorded], abs=1e-6)
