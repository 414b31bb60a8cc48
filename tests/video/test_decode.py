"""Frames come in order, at the right index, whatever part is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.video_files import film

from pipeline.video.decode import DecodeError, frames, probe


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "m.mp4", seconds=3, fps="30", options=("-g", "20"))


def test_probe_counts_packets(movie: Path) -> None:
    found = probe(movie)
    assert (found.frames, found.width, found.height, found.audio) == (90, 96, 64, False)
    assert (found.fps, found.duration) == (pytest.approx(30), pytest.approx(3))
    assert abs(found.cut_s) < 0.05


@pytest.mark.parametrize(("start", "stop", "step"), [(0, None, 1), (7, 31, 2), (40, 45, 1), (61, 200, 4), (89, 90, 1)])
def test_any_part_equals_the_same_frames_of_the_whole(movie: Path, start: int, stop: int | None, step: int) -> None:
    whole = list(frames(movie))
    part = list(frames(movie, start=start, stop=stop, step=step))
    expected = whole[start:stop:step]
    assert len(part) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(part, expected, strict=True))


def test_frame_times_of_a_real_video_are_those_recorded(shared: Path) -> None:
    folder = shared / "data" / "videos"
    recorded = json.loads((folder / "nasa_13013.mp4.stream0.all_frames_info.json").read_text())
    assert probe(folder / "nasa_13013.mp4").frames == len(recorded)
    assert sum(1 for _ in frames(folder / "nasa_13013.mp4")) == len(recorded)


@pytest.mark.parametrize("name", ["text.mp4", "empty.mp4", "tone.m4a", "absent.mp4"])
def test_what_is_no_video_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "text.mp4":
        path.write_text("hello")
    elif name == "empty.mp4":
        path.write_bytes(b"")
    elif name == "tone.m4a":
        film(path, sound=True, options=("-map", "1:a"))
    with pytest.raises(DecodeError, match=name):
        probe(path)


@pytest.mark.parametrize("name", ["-rf.mp4", "with space.mp4", "quo'te\".mp4", "ünïcode 録画.mp4", "http:x.mp4"])
def test_odd_names_are_just_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / name, seconds=0.5)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name)).frames == sum(1 for _ in frames(Path(name)))
