from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.config.make_demo import MakeDemo
from pipeline.config.reencode import Reencode
from pipeline.demo import film as film_module
from pipeline.demo.damage import WAYS
from pipeline.demo.film import film
from pipeline.demo.formats import FORMATS
from pipeline.demo.scene import COLOURS, Video
from pipeline.demo.world import make_world
from pipeline.errors import PipelineError
from pipeline.video.encode import RejectedError, reencode_video


@pytest.fixture(scope="module")
def plan() -> Video:
    videos = make_world(MakeDemo(train_videos=24, val_videos=3, broken_videos=0))
    shortest = min(videos, key=lambda video: video.duration)
    return replace(shortest, width=128, height=96, audio=True, rate=Fraction(20), frames=round(20 * shortest.duration))


def decode(path: Path) -> tuple[list[float], list[np.ndarray], bool]:
    """Times of the frames in seconds, the frames, and whether there is sound."""
    with av.open(f"file:{path}") as container:
        times, pictures = [], []
        for frame in container.decode(video=0):
            times.append(float(frame.time))
            pictures.append(frame.to_ndarray(format="rgb24"))
        return times, pictures, bool(container.streams.audio)


@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_decodes_to_the_pictures_planned(plan: Video, suffix: str, audio: bool, tmp_path: Path) -> None:
    video = replace(plan, suffix=suffix, audio=audio)
    path = film(video, tmp_path)
    times, pictures, heard = decode(path)
    assert path.name == f"v_{video.id}{suffix}"
    assert len(times) == video.frames
    assert np.allclose(np.diff(times), 0.05, atol=0.002)
    assert heard == audio
    event = video.events[0]
    drawn = np.concatenate(list(film_module.draw(video)))
    middle = round(float((event.start + event.end) / 2 * video.rate))
    seen = np.abs(drawn[middle].astype(int) - COLOURS[event.group.colour]).max(axis=-1) <= 2
    decoded = np.median(pictures[middle][seen], axis=0)
    nearest = min(COLOURS, key=lambda colour: float(np.abs(decoded - COLOURS[colour]).sum()))
    assert nearest == event.group.colour
    error = np.mean((pictures[middle].astype(float) - drawn[middle]) ** 2)
    assert 10 * np.log10(255**2 / error) > 27  # dB; chroma at half resolution alone costs that much at sharp edges


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
def test_a_variable_rate_is_really_variable_and_ends_at_the_same_time(plan: Video, suffix: str, tmp_path: Path) -> None:
    video = replace(plan, suffix=suffix, variable=True, rate=Fraction(30), frames=round(30 * plan.duration))
    times, _, _ = decode(film(video, tmp_path))
    gaps = {round(gap * 30) for gap in np.diff(times)}
    assert {1, 2} <= gaps
    assert times[0] == 0
    assert times[-1] == pytest.approx((video.frames - 1) / 30, abs=0.002)


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_video_decodes_with_an_error_or_ends_early(plan: Video, way: str, tmp_path: Path) -> None:
    path = film(replace(plan, suffix=".mp4", broken=way), tmp_path)
    try:
        times, _, _ = decode(path)
    except (av.FFmpegError, IndexError):
        return
    assert way == "cut short"
    assert times[-1] < 0.7 * plan.duration


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_video_is_rejected_by_re_encoding_wherever_it_is_broken(plan: Video, way: str, tmp_path: Path) -> None:
    for name in ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"):  # the places of the damage follow from the id
        path = film(replace(plan, id=name, suffix=".mp4", broken=way), tmp_path)
        with pytest.raises(RejectedError):
            reencode_video(path, tmp_path / "reencoded.mp4", Reencode(preset="ultrafast", partial="reject"))


def test_the_same_id_in_another_format_is_replaced(plan: Video, tmp_path: Path) -> None:
    film(replace(plan, suffix=".avi"), tmp_path)
    film(replace(plan, suffix=".mp4"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"v_{plan.id}.mp4"]


def test_a_failing_ffmpeg_is_an_error_that_names_the_video_and_leaves_nothing(
    plan: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = replace(FORMATS[".mp4"], video=("no_such_encoder",))
    monkeypatch.setitem(FORMATS, ".mp4", lacking)
    with pytest.raises(PipelineError, match=rf"v_{plan.id}\.mp4: ffmpeg could not encode it: .*no_such_encoder"):
        film(replace(plan, suffix=".mp4"), tmp_path)
    assert not list(tmp_path.iterdir())
