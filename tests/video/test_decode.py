"""Frames by index."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.video_files import write_video

from pipeline.video.decode import DecodeError, read_frames


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "m.mp4", seconds=3, fps="30", options=("-g", "20"))


@pytest.mark.parametrize(("start", "stop", "step"), [(0, None, 1), (7, 31, 2), (40, 45, 1), (61, 200, 4), (89, 90, 1)])
def test_read_frames_of_a_part_equal_those_of_the_whole(video: Path, start: int, stop: int | None, step: int) -> None:
    whole = list(read_frames(video))
    part = list(read_frames(video, start=start, stop=stop, step=step))
    expected = whole[start:stop:step]
    assert len(part) == len(expected)
    assert all(np.array_equal(frame, same) for frame, same in zip(part, expected, strict=True))


def test_read_frames_counts_the_frames_of_a_real_video(shared: Path) -> None:
    folder = shared / "data" / "videos"
    recorded = json.loads((folder / "nasa_13013.mp4.stream0.all_frames_info.json").read_text())
    assert sum(1 for _ in read_frames(folder / "nasa_13013.mp4")) == len(recorded)


@pytest.mark.parametrize("name", ["text.mp4", "empty.mp4", "tone.m4a", "absent.mp4"])
def test_read_frames_names_a_file_without_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "text.mp4":
        path.write_text("hello")
    elif name == "empty.mp4":
        path.write_bytes(b"")
    elif name == "tone.m4a":
        write_video(path, sound=True, options=("-map", "1:a"))
    with pytest.raises(DecodeError, match=name):
        list(read_frames(path))


@pytest.mark.parametrize("name", ["-rf.mp4", "with space.mp4", "quo'te\".mp4", "ünïcode 録画.mp4", "http:x.mp4"])
def test_read_frames_accepts_odd_file_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / name, seconds=0.4)
    monkeypatch.chdir(tmp_path)
    assert sum(1 for _ in read_frames(Path(name))) == 10
