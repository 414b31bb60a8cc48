"""The videos of files and folders are found; what is passed over is logged."""

import os
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.features.extraction.sources import find_sources


def test_find_sources_logs_what_it_passes_over_in_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "videos"
    (folder / "below").mkdir(parents=True)
    for name in ("f0.mp4", "f1.mp4", "below/other.mp4", "notes.txt"):
        (folder / name).write_text("any content")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    os.mkfifo(folder / "pipe")
    assert [source.video for source in find_sources([folder])] == ["f0", "f1", "gone"]
    warnings = {record.getMessage().rpartition(": ")[2]: record.getMessage() for record in caplog.records}
    assert warnings.keys() == {"below", "notes.txt", "pipe"}
    assert all(message.startswith(f"{folder}: passed over 1 ") for message in warnings.values())
    assert "subfolders" in warnings["below"]


def test_find_sources_names_two_videos_of_one_id(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "v.mp4" for folder in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    with pytest.raises(PipelineError) as raised:
        find_sources(paths)
    assert all(str(path) in str(raised.value) for path in paths)


def test_find_sources_without_any_video_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no video found"):
        find_sources([tmp_path])
