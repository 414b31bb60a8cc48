"""Find the video files of a folder: the one rule of all commands.

Downloaders and file managers leave other files beside videos: hidden files, unfinished downloads, texts, thumbnails.
They are passed over and counted. Everything else counts as a video, whatever its suffix is.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from pipeline.errors import PipelineError

TEXTS = frozenset(
    {
        *(".ass", ".csv", ".db", ".description", ".dfxp", ".eaf", ".html", ".idx", ".ini", ".json", ".json3", ".lnk"),
        *(".log", ".lrc", ".md", ".md5", ".nfo", ".pfsx", ".sbv", ".sha256", ".srt", ".srv1", ".srv2", ".srv3"),
        *(".ssa", ".sub", ".torrent", ".tsv", ".ttml", ".txt", ".url", ".vtt", ".webloc", ".xml"),
    }
)
"""Suffixes of subtitles, descriptions and the like."""
UNFINISHED = frozenset(
    {".!qb", ".aria2", ".crdownload", ".download", ".opdownload", ".part", ".partial", ".temp", ".tmp", ".ytdl"}
)
"""Suffixes of downloads that are not finished."""
STILLS = frozenset({".bmp", ".heic", ".jfif", ".jpeg", ".jpg", ".tif", ".tiff"})
"""Suffixes of pictures that never move."""
SOUNDS = frozenset({".aac", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".opus", ".wav", ".weba", ".wma"})
"""Suffixes of sound: beside a film of the same name it belongs to the film, alone it counts as a video."""
ANIMATIONS = frozenset({".apng", ".avif", ".gif", ".jxl", ".png", ".webp"})
"""Suffixes of pictures that may move: beside a film or sound of the same name they are thumbnails."""
MAX_NAMES = 3
"""Number of files that a log line names."""

SUBFOLDERS = "subfolders (name them to use their videos)"
HIDDEN = "hidden files"
IRREGULAR = "entries that are not regular files"
UNFINISHED_DOWNLOADS = "unfinished downloads"
SIDE_FILES = "texts and pictures"
COMPANIONS = "thumbnails and sounds of videos"
JOINED_STREAMS = "streams that a video of the same name holds"

_UNFINISHED = re.compile(r"\.part-Frag\d+$|\.(temp|part)\.\w+$", re.IGNORECASE)
"""End of the name of an unfinished download whose suffix is not in `UNFINISHED`."""
_STREAM = re.compile(r"(.+)\.f\d+(?:-\w+)?")
"""Stem of a stream that a downloader fetches alone, and joins with others."""


@dataclass(frozen=True)
class FolderListing:
    """What is in a folder of videos.

    Attributes:
        folder: the folder.
        names: names of the videos, sorted.
        broken_links: names of links to files that do not exist, sorted.
        passed_over: names of all other entries, by kind.
    """

    folder: Path
    names: Sequence[str]
    broken_links: Sequence[str]
    passed_over: Mapping[str, Sequence[str]]

    def by_stem(self) -> dict[str, Path]:
        """Return the videos by the stem of their names.

        Raises:
            PipelineError: two videos have the same stem.
        """
        files: dict[str, Path] = {}
        for path in map(self.folder.joinpath, self.names):
            if path.stem in files:
                raise PipelineError(f"{path}: {files[path.stem].name} has the same name up to the suffix; keep one")
            files[path.stem] = path
        return files

    def log_passed_over(self) -> None:
        """Log what is no video: a line with a number and some names for each kind."""
        for kind, names in self.passed_over.items():
            more = ", ..." if len(names) > MAX_NAMES else ""
            named = ", ".join(names[:MAX_NAMES])
            logging.warning("%s: passed over %d %s: %s%s", self.folder, len(names), kind, named, more)


def list_folder(folder: Path) -> FolderListing:
    """Sort the entries of a folder into videos and others.

    Every plan lists the folder, which may have 200,000 videos, so each entry is examined once.

    Raises:
        PipelineError: there is no such folder.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder of videos (config: build_corpus.videos)")
    files: list[str] = []
    broken_links: list[str] = []
    others: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                others[entry.name] = SUBFOLDERS
            elif kind := _kind_by_name(entry.name):
                others[entry.name] = kind
            elif entry.is_file():
                files.append(entry.name)
            elif entry.is_symlink() and not Path(entry.path).exists():
                broken_links.append(entry.name)
            else:
                others[entry.name] = IRREGULAR
    names, companions = _separate_companions(files)
    passed_over: dict[str, list[str]] = {}
    for name, kind in sorted((others | companions).items()):
        passed_over.setdefault(kind, []).append(name)
    return FolderListing(folder, sorted(names), sorted(broken_links), passed_over)


def _kind_by_name(name: str) -> str | None:
    """Return what a file is if its name alone tells that it is no video."""
    suffix = PurePath(name).suffix.lower()
    if name.startswith("."):
        return HIDDEN
    if suffix in UNFINISHED or _UNFINISHED.search(name):
        return UNFINISHED_DOWNLOADS
    return SIDE_FILES if suffix in TEXTS or suffix in STILLS else None


def _separate_companions(files: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Separate the videos from files that belong to a video of the same name.

    A film has companions: sounds and pictures. Without a film, a sound has companions: pictures.

    Returns:
        names of the videos; what the others are, by name.
    """
    paths = {name: PurePath(name) for name in files}
    ranks = {name: _companion_rank(path.suffix.lower()) for name, path in paths.items()}
    best: dict[str, int] = {}
    for name, path in paths.items():
        best[path.stem] = min(best.get(path.stem, ranks[name]), ranks[name])
    videos, companions = [], {}
    for name, path in paths.items():
        stem = path.stem
        stream = _STREAM.fullmatch(stem)
        if stream and best.get(stream[1]) == 0:
            companions[name] = JOINED_STREAMS
        elif ranks[name] > best[stem]:
            companions[name] = COMPANIONS
        else:
            videos.append(name)
    return videos, companions


def _companion_rank(suffix: str) -> int:
    """Return 0 for films, 1 for sounds and 2 for pictures."""
    return 1 if suffix in SOUNDS else 2 if suffix in ANIMATIONS else 0
