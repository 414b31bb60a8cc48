"""What a video id may be."""

from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError


def check_id(video: Any, path: Path) -> str:
    """A video id becomes a file name, so it must be a plain one.

    Raises:
        PipelineError: empty, too long, not UTF-8, with a path separator or control character, or `.` or `..`.
    """
    bad = (
        not isinstance(video, str)
        or not _plain_text(video)
        or not 0 < len(video.encode()) <= 200
        or video in {".", ".."}
        or any(sign in "/\\" or ord(sign) < 32 for sign in video)
    )
    if bad:
        raise PipelineError(f"{path}: {video!r} cannot be a video id: it must be a plain file name")
    return str(video)


def _plain_text(name: str) -> bool:
    """Whether a name is text; Python keeps the bytes of file names that are not as lone surrogates."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)
