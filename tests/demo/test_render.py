"""Files of demo videos."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.config.make_demo import MakeDemo
from pipeline.config.reencode import Reencode
from pipeline.demo.draw import draw_frames
from pipeline.demo.plan import plan_videos
from pipeline.demo.render import DAMAGES, FORMATS, render_video
from pipeline.demo.scene import COLOURS, VideoPlan
from pipeline.errors import PipelineError
from pipeline.video.encode import RejectedError, reencode_video


@pytest.fixture(scope="module")
def plan() -> VideoPlan:
    videos = plan_videos(MakeDemo(train_videos=24, val_videos=3, broken_videos=0))
    shortest = min(videos, key=lambda video: video.duration)
    return replace(shortest, width=128, height=96, audio=True, rate=Fraction(20), frames=round(20 * shortest.duration))


def decode(path: Path) -> tuple[list[float], list[np.ndarray], bool]:
    """Return the times of the frames (seconds), the frames, and whether there is an audio track."""
    with av.open(f"file:{path}") as container:
        times, frames = [], []
        for frame in container.decode(video=0):
            times.append(float(frame.time))
            frames.append(frame.to_ndarray(format="rgb24"))
        return times, frames, bool(container.streams.audio)


@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.parametrize("suffix", FORMATS)
def test_render_video_in_every_format_decodes_to_the_drawn_frames(
    plan: VideoPlan, suffix: str, audio: bool, tmp_path: Path
) -> None:
    video = replace(plan, suffix=suffix, audio=audio)
    path = render_video(video, tmp_path)
    times, frames, has_audio = decode(path)
    assert path.name == f"v_{video.id}{suffix}"
    assert len(times) == video.frames
    assert np.allclose(np.diff(times), 0.05, atol=0.002)
    assert has_audio == audio
    event = video.events[0]
    drawn = np.concatenate(list(draw_frames(video)))
    middle = round(float((event.start + event.end) / 2 * video.rate))
    mask = np.abs(drawn[middle].astype(int) - COLOURS[event.group.colour]).max(axis=-1) <= 2
    decoded = np.median(frames[middle][mask], axis=0)
    nearest = min(COLOURS, key=lambda colour: float(np.abs(decoded - COLOURS[colour]).sum()))
    assert nearest == event.group.colour
    error = np.mean((frames[middle].astype(float) - drawn[middle]) ** 2)
    assert 10 * np.log10(255**2 / error) > 27  # dB; chroma at half resolution alone costs that much at sharp edges


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
def test_render_video_with_a_variable_rate_has_uneven_times_and_the_same_end(
    plan: VideoPlan, suffix: str, tmp_path: Path
) -> None:
    video = replace(plan, suffix=suffix, variable=True, rate=Fraction(30), frames=round(30 * plan.duration))
    times, _, _ = decode(render_video(video, tmp_path))
    gaps = {round(gap * 30) for gap in np.diff(times)}
    assert {1, 2} <= gaps
    assert times[0] == 0
    assert times[-1] == pytest.approx((video.frames - 1) / 30, abs=0.002)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_video_decodes_with_an_error_or_ends_early(plan: VideoPlan, damage: str, tmp_path: Path) -> None:
    path = render_video(replace(plan, suffix=".mp4", damage=damage), tmp_path)
    try:
        times, _, _ = decode(path)
    except (av.FFmpegError, IndexError):
        return
    assert damage == "cut short"
    assert times[-1] < 0.7 * plan.duration


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_video_is_rejected_by_re_encoding(plan: VideoPlan, damage: str, tmp_path: Path) -> None:
    for name in ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"):  # the positions of the damage depend on the id
        path = render_video(replace(plan, id=name, suffix=".mp4", damage=damage), tmp_path)
        with pytest.raises(RejectedError):
            reencode_video(path, tmp_path / "reencoded.mp4", Reencode(preset="ultrafast", partial="reject"))


def test_render_video_replaces_the_same_id_in_another_format(plan: VideoPlan, tmp_path: Path) -> None:
    render_video(replace(plan, suffix=".avi"), tmp_path)
    render_video(replace(plan, suffix=".mp4"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"v_{plan.id}.mp4"]


def test_render_video_names_the_video_when_ffmpeg_fails_and_leaves_no_file(
    plan: VideoPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing_encoder = replace(FORMATS[".mp4"], video=("no_such_encoder",))
    monkeypatch.setitem(FORMATS, ".mp4", missing_encoder)
    with pytest.raises(PipelineError, match=rf"v_{plan.id}\.mp4: ffmpeg could not encode it: .*no_such_encoder"):
        render_video(replace(plan, suffix=".mp4"), tmp_path)
    assert not list(tmp_path.iterdir())
