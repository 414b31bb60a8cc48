"""Re-encoding gives constant 30 fps, and names the reason wherever it does not."""

import itertools
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.video_files import cut, film, flipped

from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.video.decode import frames, probe
from pipeline.video.encode import RejectedError, reencode_video
from pipeline.video.shard import VideoRow
from pipeline.video.tools import ffmpeg
from pipeline.video.transcode import Part, command_line

FAST = Reencode(preset="ultrafast")
STRICT = Reencode(preset="ultrafast", partial="reject")


def test_the_command_is_tsps_with_its_defaults_spelled_out(tmp_path: Path) -> None:
    found = probe(film(tmp_path / "-a b.avi", sound=True))
    words = command_line(Path("-a b.avi"), Path("o.mp4"), Reencode(), found)
    joined = " ".join(words[1:])
    assert "-i file:-a b.avi" in joined
    assert "fps=fps=30" in joined
    for told in ("-crf 23 ", "-preset medium ", "-g 250 ", "-threads 1 file:o.mp4"):
        assert told in joined
    assert "-xerror" in words
    assert "-err_detect explode" in joined
    assert "-xerror" not in command_line(Path("a"), Path("o.mp4"), Reencode(), found, Part(30, 1.0))


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
    made = reencode_video(source, tmp_path / "o.mp4", STRICT)
    assert probe(tmp_path / "o.mp4").start == 0
    assert abs(made.frames - (2 + float(late)) * 30) <= 2
    assert sum(1 for _ in frames(tmp_path / "o.mp4")) == made.frames


def test_an_ffmpeg_that_is_killed_is_not_the_videos_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = film(tmp_path / "a.mp4")
    killed = tmp_path / "ffmpeg"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr("pipeline.video.transcode.ffmpeg_binary", lambda: killed)
    with pytest.raises(PipelineError, match=r"a\.mp4: ffmpeg was stopped \(status -9"):
        reencode_video(source, tmp_path / "o.mp4", FAST)


def test_short_side_scales_landscape_and_portrait(tmp_path: Path) -> None:
    config = Reencode(preset="ultrafast", short_side=48)
    for size, expected in (("128x96", (64, 48)), ("96x128", (48, 64))):
        made = reencode_video(film(tmp_path / "s.mp4", size=size), tmp_path / "o.mp4", config)
        assert (made.width, made.height) == expected


OPTIONS = {".webm": ("-c:v", "libvpx"), ".avi": ("-c:v", "mpeg4"), ".mp4": ("-movflags", "+faststart")}
CUT = ["cut.mkv", "cut.webm", "cut.avi", "cut.mp4"]
FLIPPED = ["flipped.mkv", "flipped.mp4", "flipped.avi", "flipped.ts"]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Videos of six seconds that are cut short or have flipped bytes, by name."""
    folder = tmp_path_factory.mktemp("damaged")
    found = {}
    for name in [*CUT, *FLIPPED]:
        whole = folder / f"whole{Path(name).suffix}"
        if not whole.exists():
            film(whole, seconds=6, sound=True, options=OPTIONS.get(whole.suffix, ()))
        found[name] = (cut if name in CUT else flipped)(whole, folder / name)
    return found


@pytest.mark.parametrize("name", [*CUT, *FLIPPED])
def test_of_a_damaged_file_what_comes_before_the_error_is_kept(
    damaged: dict[str, Path], tmp_path: Path, name: str
) -> None:
    one, two = (reencode_video(damaged[name], tmp_path / file, FAST) for file in ("one.mp4", "two.mp4"))
    assert one.damage is not None
    assert one.damage.reason in ("cut_short", "decode_error")
    assert one.damage.source_s == pytest.approx(3.6 if name == "cut.avi" else 6, abs=0.1)
    assert 3 < one.frames / 30 < 5.5
    assert one.audio
    assert sum(1 for _ in frames(tmp_path / "one.mp4")) == one.frames
    assert one == two
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes(), "the same again"


@pytest.mark.parametrize(
    ("config", "told"),
    [({"partial": "reject"}, ""), ({"least_share": 0.95}, "of 6.0 s, .*least_share = 0.95"), ({"least_s": 5.9}, "5.9")],
)
def test_damaged_files_are_rejected_where_they_are_not_wanted(
    damaged: dict[str, Path], tmp_path: Path, config: dict[str, object], told: str
) -> None:
    for name in sorted(set(damaged) - {"cut.avi"}):  # whose index, at its end, would say how long it was
        with pytest.raises(RejectedError) as error:
            reencode_video(damaged[name], tmp_path / "o.mp4", FAST.model_copy(update=config))
        assert error.value.reason in ("cut_short", "decode_error", "unreadable")
        assert re.search(told, error.value.detail)
        assert "0x" not in error.value.detail


def test_an_end_that_lacks_a_moment_is_noticed(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mkv", seconds=6, options=("-g", "10"))
    made = reencode_video(cut(whole, tmp_path / "cut.mkv", 0.97), tmp_path / "o.mp4", FAST)
    assert made.damage is not None
    assert made.damage.reason == "cut_short"
    assert 165 < made.frames < 180


def test_errors_of_the_sound_cost_no_pictures(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv", sound=True, options=("-c:a", "flac"))
    broken = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packet = next(packet for packet in container.demux(audio=0) if float((packet.pts or 0) * packet.time_base) > 1)
    place = broken.index(bytes(packet))
    broken[place + 20 : place + 60] = bytes(40)
    source.write_bytes(broken)
    made = reencode_video(source, tmp_path / "o.mp4", FAST)
    assert made.damage is not None
    assert made.damage.reason == "decode_error"
    assert (made.frames, made.audio) == (60, True)


def test_slow_videos_are_rejected(tmp_path: Path) -> None:
    source = film(tmp_path / "long.mp4", seconds=20, size="640x480", options=("-preset", "ultrafast"))
    with pytest.raises(RejectedError, match="timeout"):
        reencode_video(source, tmp_path / "o.mp4", Reencode(preset="slow", timeout_s=0.05))


def test_real_videos_have_the_frames_that_were_counted(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "videos"
    assert reencode_video(folder / "v_GGSY1Qvo990.mp4", tmp_path / "g.mp4", FAST).frames in (542, 543)
    assert reencode_video(folder / "v_ZNVhz7ctTq0.mp4", tmp_path / "z.mp4", FAST).frames == 420
    with pytest.raises(RejectedError, match="decode_error"):
        reencode_video(folder / "corrupted.mp4", tmp_path / "c.mp4", STRICT)
    made = reencode_video(folder / "corrupted.mp4", tmp_path / "c.mp4", FAST)
    assert made.damage is not None
    assert (made.damage.reason, made.damage.source_s, made.frames) == ("decode_error", 5.0, 84)


def test_duration_is_frames_over_rate() -> None:
    assert VideoRow("v", Path("v.mp4"), 45, 30.0, 96, 64, False).duration == 1.5
