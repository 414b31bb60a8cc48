"""Files that downloaders and file managers leave beside videos are no videos."""

import os
from pathlib import Path

import pytest

from pipeline.datasets.video_files import list_folder
from pipeline.errors import PipelineError

SIDE_FILES = {
    "hidden": ["._v_a.mp4", ".DS_Store", ".v_b.mp4.swp"],
    "unfinished": [
        "v_c.mp4.part",
        "v_c.mp4.part-Frag7",
        "v_c.mp4.ytdl",
        "v_c.temp.mp4",
        "v_c.mp4.crdownload",
        "v_c.!qB",
    ],
    "texts": [
        "v_a.info.json",
        "v_a.description",
        "v_a.en.vtt",
        "v_a.srt",
        "v_a.nfo",
        "Thumbs.db",
        "v_a.live_chat.json3",
    ],
    "pictures": ["v_a.jpg", "v_d.jpeg", "v_e.JPG"],
    "thumbnails": ["v_a.webp", "v_a.png", "v_a.m4a", "song.webp"],
    "streams": ["v_a.f137.mp4", "v_a.f140.m4a", "v_a.f251-drc.webm"],
}
VIDEOS = ["animation.gif", "animation2.webp", "song.m4a", "v_a.mp4", "v_b.unknown", "v_f.f137.mp4", "v.1.mkv"]


def write_files(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("any content")
    return folder


def test_side_files_are_passed_over_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [name for names in SIDE_FILES.values() for name in names]
    listing = list_folder(write_files(tmp_path / "videos", *names, *VIDEOS))
    assert list(listing.names) == sorted(VIDEOS)
    assert sorted(map(sorted, listing.passed_over.values())) == sorted(
        [
            sorted(SIDE_FILES["hidden"]),
            sorted(SIDE_FILES["unfinished"]),
            sorted(SIDE_FILES["texts"] + SIDE_FILES["pictures"]),
            sorted(SIDE_FILES["thumbnails"]),
            sorted(SIDE_FILES["streams"]),
        ]
    )
    listing.log_passed_over()
    counts = [f" {len(names)} " for names in listing.passed_over.values()]
    lines = [record.getMessage() for record in caplog.records]
    assert all(count in line for count, line in zip(counts, lines, strict=True))


def test_two_films_of_one_name_are_an_error(tmp_path: Path) -> None:
    listing = list_folder(write_files(tmp_path / "videos", "v_a.mp4", "v_a.mkv"))
    with pytest.raises(PipelineError, match=r"v_a\.mp4.*v_a\.mkv|v_a\.mkv.*v_a\.mp4"):
        listing.by_stem()


def test_folders_and_links_are_told_apart(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "videos", "v_a.mp4")
    (folder / "below.mp4").mkdir()
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "link.mp4").symlink_to(folder / "v_a.mp4")
    os.mkfifo(folder / "pipe.mp4")
    listing = list_folder(folder)
    assert (list(listing.names), list(listing.broken_links)) == (["link.mp4", "v_a.mp4"], ["gone.mp4"])
    assert sorted(map(list, listing.passed_over.values())) == [["below.mp4"], ["pipe.mp4"]]


def test_leftovers_of_a_download_are_no_videos(shared: Path) -> None:
    folder = shared / "cases" / "17_download_leftovers"
    if not folder.is_dir():
        pytest.skip("../shared/cases is not here")
    assert list(list_folder(folder).by_stem()) == ["v_a"]
