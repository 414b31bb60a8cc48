"""Which names can be video ids, and the id of a video that an annotation names by its file."""

import re
from pathlib import Path, PurePath
from typing import Any

from pipeline.errors import PipelineError

MAX_BYTES = 200
"""Longest id in UTF-8; file systems allow 255 bytes with suffixes."""
FORBIDDEN = re.compile(r"[/\\\x00-\x1f\ud800-\udfff]")
"""Separators of paths, control characters, and lone surrogates: Python's stand-in for bytes that are not UTF-8."""

VIDEO_SUFFIXES = frozenset(
    {
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv"),
        *(".ts", ".vob", ".webm", ".wmv"),
    }
)
"""Suffixes that are removed where an annotation names a video by its file. Videos themselves may have any suffix."""


def check_id(video: Any, path: Path) -> str:
    """Return a video id if it is a plain file name, because ids become file names.

    Raises:
        PipelineError: it is empty, too long, not UTF-8, `.`, `..`, or has a path separator or a control character.
    """
    is_plain = (
        isinstance(video, str)
        and not FORBIDDEN.search(video)
        and 0 < len(video.encode()) <= MAX_BYTES
        and video not in {".", ".."}
    )
    if not is_plain:
        raise PipelineError(f"{path}: {video!r} cannot be a video id: it must be a plain file name")
    return str(video)


def strip_video_suffix(name: str) -> str:
    """Return a file's name, which may have folders, as an id: without folders, and without the suffix of a video."""
    name = name.replace("\\", "/").rpartition("/")[2]
    path = PurePath(name)
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else name
