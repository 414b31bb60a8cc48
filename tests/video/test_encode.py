"""Re-encoding gives constant 30 fps, or a reason."""

import itertools
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from helpers.campaigns import quick_cases
from helpers.video_files import damage_sound, flip_bytes, truncate, write_video

from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.video.decode import iter_frame_times, read_frames
from pipeline.video.encode import RejectedError, reencode_video
from pipeline.video.ffmpeg import find_ffmpeg
from pipeline.video.media_streams import choose_video
from pipeline.video.shard import ReencodedVideo
from pipeline.video.transcode import build_filters, build_video_command, find_picture_format

FAST = Reencode(preset="ultrafast")
STRICT = Reencode(preset="ultrafast", partial="reject")


def test_the_encoder_has_the_options_of_tsp_with_explicit_defaults(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", size="96x64")
    pictures = find_picture_format(choose_video(path, filters=build_filters(None)))
    assert (pictures.width, pictures.height) == (96, 64)
    joined = " ".join(build_video_command(tmp_path / "o.mp4", Reencode(), pictures, None))
    assert "-r 30 -s 96x64 -i pipe:0" in joined
    for option in ("-c:v libx264", "-pix_fmt yuv420p", "-crf 23 ", "-preset medium ", "-g 250 ", "-threads 1 "):
        assert option in joined


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
def test_reencode_video_gives_30_constant_frames_a_second(
    tmp_path: Path, name: str, fps: str, options: tuple[str, ...], sound: bool
) -> None:
    source = write_video(tmp_path / name, seconds=2, fps=fps, sound=sound, options=options)
    encoded = reencode_video(source, tmp_path / "o.mp4", FAST)
    assert abs(encoded.frames - 60) <= 4
    assert encoded.audio == sound
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
    assert times[0] == 0
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {Fraction(1, 30)}


@pytest.mark.parametrize("late", ["0.033", "0.5", "1.2"])
def test_reencode_video_shifts_a_late_video_stream_to_its_time(tmp_path: Path, late: str) -> None:
    audio = write_video(tmp_path / "audio.mka", seconds=4, sound=True, options=("-map", "1:a"))
    video = write_video(tmp_path / "video.mkv", seconds=2)
    source = tmp_path / "late.mkv"
    command = [str(find_ffmpeg()), "-loglevel", "error", "-i", str(audio), "-itsoffset", late, "-i", str(video)]
    subprocess.run([*command, "-map", "0:a", "-map", "1:v", "-c", "copy", str(source)], check=True)
    encoded = reencode_video(source, tmp_path / "o.mp4", STRICT)
    assert next(iter_frame_times(tmp_path / "o.mp4")) == 0
    assert abs(encoded.frames - (2 + float(late)) * 30) <= 2
    assert sum(1 for _ in read_frames(tmp_path / "o.mp4")) == encoded.frames


@pytest.mark.parametrize("module", ["transcode", "ffmpeg_pipe"])
def test_reencode_video_does_not_reject_a_video_whose_ffmpeg_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    source = write_video(tmp_path / "a.mp4")
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\nkill -9 $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(f"pipeline.video.{module}.find_ffmpeg", lambda: script)
    with pytest.raises(PipelineError, match=r"a\.mp4: ffmpeg was killed \(status -9"):
        reencode_video(source, tmp_path / "o.mp4", FAST)


def test_reencode_video_scales_landscape_and_portrait_to_short_side(tmp_path: Path) -> None:
    config = Reencode(preset="ultrafast", short_side=48)
    for size, expected in (("128x96", (64, 48)), ("96x128", (48, 64))):
        encoded = reencode_video(write_video(tmp_path / "s.mp4", size=size), tmp_path / "o.mp4", config)
        assert (encoded.width, encoded.height) == expected


OPTIONS = {".webm": ("-c:v", "libvpx"), ".avi": ("-c:v", "mpeg4"), ".mp4": ("-movflags", "+faststart")}
TRUNCATED = ["cut.mkv", "cut.webm", "cut.avi", "cut.mp4"]
FLIPPED = ["flipped.mkv", "flipped.mp4", "flipped.avi", "flipped.ts"]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write truncated videos and videos with flipped bytes, of six seconds; return them by name."""
    folder = tmp_path_factory.mktemp("damaged")
    paths = {}
    for name in [*TRUNCATED, *FLIPPED]:
        whole = folder / f"whole{Path(name).suffix}"
        if not whole.exists():
            write_video(whole, seconds=6, sound=True, options=OPTIONS.get(whole.suffix, ()))
        paths[name] = (truncate if name in TRUNCATED else flip_bytes)(whole, folder / name)
    return paths


@pytest.mark.parametrize("name", [*quick_cases(TRUNCATED, 2), *quick_cases(FLIPPED, 1)])
def test_reencode_video_keeps_the_part_of_a_damaged_file_before_the_error(
    damaged: dict[str, Path], tmp_path: Path, name: str
) -> None:
    first, second = (reencode_video(damaged[name], tmp_path / file, FAST) for file in ("first.mp4", "second.mp4"))
    assert first.damage is not None
    assert first.damage.reason in ("cut_short", "decode_error")
    assert first.damage.source_s == pytest.approx(3.6 if name == "cut.avi" else 6, abs=0.1)
    assert 3 < first.frames / 30 < 5.5
    assert first.audio
    assert sum(1 for _ in read_frames(tmp_path / "first.mp4")) == first.frames
    assert first == second
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "second.mp4").read_bytes()


@pytest.mark.parametrize(
    ("config", "detail"),
    [
        pytest.param({"partial": "reject"}, "", marks=pytest.mark.campaign),
        ({"least_share": 0.95}, "of 6.0 s, .*least_share = 0.95"),
        pytest.param({"least_s": 5.9}, "5.9", marks=pytest.mark.campaign),
    ],
)
def test_reencode_video_rejects_damaged_files_if_configured(
    damaged: dict[str, Path], tmp_path: Path, config: dict[str, object], detail: str
) -> None:
    for name in sorted(set(damaged) - {"cut.avi"}):  # its index with the duration is at its end
        with pytest.raises(RejectedError) as error:
            reencode_video(damaged[name], tmp_path / "o.mp4", FAST.model_copy(update=config))
        assert error.value.reason in ("cut_short", "decode_error", "unreadable")
        assert re.search(detail, error.value.detail)
        assert "0x" not in error.value.detail


def test_reencode_video_notices_that_the_last_moment_is_missing(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", seconds=6, options=("-g", "10"))
    encoded = reencode_video(truncate(whole, tmp_path / "cut.mkv", 0.97), tmp_path / "o.mp4", FAST)
    assert encoded.damage is not None
    assert encoded.damage.reason == "cut_short"
    assert 165 < encoded.frames < 180


def test_reencode_video_keeps_all_frames_if_the_audio_has_errors(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", sound=True, options=("-c:a", "flac"))
    source = damage_sound(whole, tmp_path / "a.mkv")
    encoded = reencode_video(source, tmp_path / "o.mp4", FAST)
    assert encoded.damage is not None
    assert encoded.damage.reason == "decode_error"
    assert (encoded.frames, encoded.audio) == (60, True)


def test_reencode_video_keeps_all_frames_if_nothing_of_the_audio_can_be_decoded(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", sound=True, options=("-c:a", "flac"))
    source = damage_sound(whole, tmp_path / "a.mkv", whole=True)
    encoded = reencode_video(source, tmp_path / "o.mp4", FAST)
    assert encoded.damage is not None
    assert encoded.damage.reason == "audio_lost"
    assert (encoded.frames, encoded.audio) == (60, False)
    with pytest.raises(RejectedError, match="sound"):
        reencode_video(source, tmp_path / "o.mp4", STRICT)


def test_reencode_video_rejects_a_video_that_takes_too_long(tmp_path: Path) -> None:
    source = write_video(tmp_path / "long.mp4", seconds=20, size="640x480", options=("-preset", "ultrafast"))
    with pytest.raises(RejectedError, match="timeout"):
        reencode_video(source, tmp_path / "o.mp4", Reencode(preset="slow", timeout_s=0.05))


def test_reencode_video_of_real_videos_gives_the_counted_frames(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "videos"
    assert reencode_video(folder / "v_GGSY1Qvo990.mp4", tmp_path / "g.mp4", FAST).frames in (542, 543)
    assert reencode_video(folder / "v_ZNVhz7ctTq0.mp4", tmp_path / "z.mp4", FAST).frames == 420
    with pytest.raises(RejectedError, match="decode_error"):
        reencode_video(folder / "corrupted.mp4", tmp_path / "c.mp4", STRICT)
    encoded = reencode_video(folder / "corrupted.mp4", tmp_path / "c.mp4", FAST)
    assert encoded.damage is not None
    assert (encoded.damage.reason, encoded.damage.source_s, encoded.frames) == ("decode_error", 5.0, 84)


def test_reencoded_video_duration_is_frames_over_rate() -> None:
    assert ReencodedVideo("v", 45, 30.0, 96, 64, False, path=Path("v.mp4")).duration == 1.5
