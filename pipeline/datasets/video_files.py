"""Find the video files of a folder."""

import os
from pathlib import Path, PurePath

from pipeline.errors import PipelineError

SIDECARS = frozenset({".ass", ".csv", ".json", ".md", ".srt", ".txt", ".vtt"})
"""Suffixes of files that are kept next to videos and are not videos."""


def list_video_names(folder: Path) -> list[str]:
    """List the names of the video files of a folder, sorted, without hidden files and `SIDECARS`.

    Every plan lists the folder, which may have 200,000 videos, so each entry is examined once and makes no `Path`.

    Raises:
        PipelineError: there is no such folder.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder of videos (config: build_corpus.videos)")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
    return [name for name in names if PurePath(name).suffix.lower() not in SIDECARS]


def find_videos(folder: Path) -> dict[str, Path]:
    """Find the video files of a folder by stem, with any suffix; see `list_video_names`.

    Raises:
        PipelineError: there is no such folder, or two files have the same stem.
    """
    files: dict[str, Path] = {}
    for path in map(folder.joinpath, list_video_names(folder)):
        if path.stem in files:
            raise PipelineError(f"{path}: {files[path.stem].name} has the same name up to the suffix; keep one")
        files[path.stem] = path
    return files
