"""Re-encoding gives constant 30 fps, and names the reason wherever it does not."""

import itertools
import random
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from films import cut, film

from pipeline.config.errors import PipelineError
from pipeline.config.reencode import Reencode
from pipeline.video.decode import frames
from pipeline.video.encode import RejectedError, command_line, reencode_video
from pipeline.video.shard import VideoRow
from pipeline.video.tools import ffmpeg

FAST = Reencode(preset="ultrafast")


def test_the_command_is_tsps_with_its_defaults_spelled_out() -> None:
    words = command_line(Path("-a b.avi"), Path("o.mp4"), Reencode(), audio=True)
    joined = " ".join(words[1:])
    assert "-i file:-a b.avi" in joined
    assert "fps=fps=30" in joined
    assert "-crf 23" in joined
    assert "-xerror" in joined
    assert "-err_detect explode" in joined
    assert "-threads 1" in joined


@pytest.mark.parametrize(
    ("name", "fps", "options", "sound"),
    [
        ("a.mp4", "25", (), False),
        ("b.mkv", "30000/1001", (), True),
        ("c.webm", "15", ("-c:v", "libvpx"), False),
        ("d.avi", "12", ("-c:v", "mpeg4"), True),
        ("odd size.mp4", "30", ("-vf", "scale=95:63", "-pix_fmt", "yuv444p"), False),
        ("vfr.mkv", "30", ("-vf", "select='not(mod(n,3))+not(mod(n,5))'", "-fps_mode", "vfr"), False),
        ("ten bit.mp4", "24", ("-pix_fmt", "yuv420p10le"), False),
    ],
)
def test_good_videos_become_thirty_constant_frames_a_second(
    tmp_path: Path, name: str, fps: str, options: tuple[str, ...], sound: bool
) -> None:
    source = film(tmp_path / name, seconds=2, fps=fps, sound=sound, options=options)
    made = reencode_video(source, tmp_path / "o.mp4", FAST)
    assert abs(made.frames - 60) <= 4
    assert made.audio == sound
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
    assert times[0] == 0
    assert {later - sooner for sooner, later in itertools.pairwise(times)} == {Fraction(1, 30)}


@pytest.mark.parametrize("late", ["0.033", "0.5", "1.2"])
def test_a_picture_that_starts_late_is_put_in_its_place(tmp_path: Path, late: str) -> None:
    sound = film(tmp_path / "sound.mka", seconds=4, sound=True, options=("-map", "1:a"))
    picture = film(tmp_path / "picture.mkv", seconds=2)
    source = tmp_path / "late.mkv"
    words = [str(ffmpeg()), "-loglevel", "error", "-i", str(sound), "-itsoffset", late, "-i", str(picture)]
    subprocess.run([*words, "-map", "0:a", "-map", "1:v", "-c", "copy", str(source)], check=True)
    made = reencode_video(source, tmp_path / "o.mp4", FAST)
    assert made.start == 0
    assert abs(made.frames - (2 + float(late)) * 30) <= 2
    assert sum(1 for _ in frames(tmp_path / "o.mp4")) == made.frames


def test_an_ffmpeg_that_is_killed_is_not_the_videos_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = film(tmp_path / "a.mp4")
    killed = tmp_path / "ffmpeg"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr("pipeline.video.encode.ffmpeg_binary", lambda: killed)
    with pytest.raises(PipelineError, match=r"a\.mp4: ffmpeg was stopped \(status -9"):
        reencode_video(source, tmp_path / "o.mp4", FAST)


def test_short_side_scales_landscape_and_portrait(tmp_path: Path) -> None:
    config = Reencode(preset="ultrafast", short_side=48)
    for size, expected in (("128x96", (64, 48)), ("96x128", (48, 64))):
        made = reencode_video(film(tmp_path / "s.mp4", size=size), tmp_path / "o.mp4", config)
        assert (made.width, made.height) == expected


def flipped(path: Path, target: Path) -> Path:
    """A copy with damage spread over its second half."""
    damaged = bytearray(path.read_bytes())
    dice = random.Random(0)
    for _ in range(300):
        damaged[dice.randrange(len(damaged) // 2, len(damaged) - 4000)] ^= 0xFF
    target.write_bytes(damaged)
    return target


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("cut.mkv", {"cut_short", "decode_error"}),
        ("cut.webm", {"cut_short", "decode_error"}),
        ("cut.avi", {"cut_short", "decode_error"}),
        ("cut.mp4", {"unreadable"}),
        ("flipped.mkv", {"unreadable", "cut_short", "decode_error"}),
        ("text.mp4", {"unreadable"}),
        ("empty.mp4", {"unreadable"}),
        ("tone.m4a", {"unreadable"}),
    ],
)
def test_broken_videos_are_rejected_with_a_reason(tmp_path: Path, name: str, reasons: set[str]) -> None:
    path = tmp_path / name
    options = {"webm": ("-c:v", "libvpx"), "avi": ("-c:v", "mpeg4")}.get(path.suffix[1:], ())
    if name.startswith("cut"):
        cut(film(tmp_path / f"whole{path.suffix}", seconds=6, options=options), path)
    elif name.startswith("flipped"):
        flipped(film(tmp_path / "whole.mkv", seconds=6, size="192x128"), path)
    elif name == "text.mp4":
        path.write_text("hello")
    elif name == "empty.mp4":
        path.write_bytes(b"")
    else:
        film(path, sound=True, options=("-map", "1:a"))
    with pytest.raises(RejectedError) as error:
        reencode_video(path, tmp_path / "o.mp4", FAST)
    assert error.value.reason in reasons
    assert "0x" not in error.value.detail


def test_slow_videos_are_rejected(tmp_path: Path) -> None:
    source = film(tmp_path / "long.mp4", seconds=20, size="640x480", options=("-preset", "ultrafast"))
    with pytest.raises(RejectedError, match="timeout"):
        reencode_video(source, tmp_path / "o.mp4", Reencode(preset="slow", timeout_s=0.05))


def test_real_videos_have_the_frames_that_were_counted(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "videos"
    assert reencode_video(folder / "v_GGSY1Qvo990.mp4", tmp_path / "g.mp4", FAST).frames in (542, 543)
    assert reencode_video(folder / "v_ZNVhz7ctTq0.mp4", tmp_path / "z.mp4", FAST).frames == 420
    with pytest.raises(RejectedError, match="decode_error"):
        reencode_video(folder / "corrupted.mp4", tmp_path / "c.mp4", FAST)


def test_duration_is_frames_over_rate() -> None:
    assert VideoRow("v", Path("v.mp4"), 45, 30.0, 96, 64, False).duration == 1.5
