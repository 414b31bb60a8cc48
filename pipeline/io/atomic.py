"""Files that are either whole or absent: written under a temporary name in the same folder, then renamed."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

CURES = {
    errno.ENOSPC: "free space there and run again",
    errno.EDQUOT: "free some of the quota there and run again",
    errno.EROFS: "make it writable and run again",
}
"""What helps where a file system takes no more."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, remove it otherwise.

    The temporary name keeps the suffix, since ffmpeg and matplotlib choose their format by it. What a killed writer of
    the same file has left is removed first.

    Raises:
        PipelineError: there can be no such file.
    """
    with _telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
    temporary = temporary_of(path)
    try:
        with writing(path):
            yield temporary
        with _telling(path):
            temporary.replace(path)
    finally:
        with _telling(path):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell of a file system that takes no more, in the course of the block, as of a fault of `path`.

    Raises:
        PipelineError: the disk is full, or read-only.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in CURES:
            raise
        why = os.strerror(error.errno)
        raise PipelineError(f"{path}: cannot be written ({why}); {CURES[error.errno]}") from None


def temporary_of(path: Path) -> Path:
    """Where this process writes what is to be `path`."""
    return path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")


def sweep(path: Path) -> None:
    """Remove temporary files and folders of writers of `path` that are no more."""
    names = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.tmp{re.escape(path.suffix)}")
    for entry in os.scandir(path.parent) if path.parent.is_dir() else []:
        left = names.fullmatch(entry.name)
        if left and not _alive(int(left[1])):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cure = f"; {CURES[error.errno]}" if error.errno in CURES else ""
        raise PipelineError(f"{path}: cannot be written ({error.strerror or error}){cure}") from None


def write_text(path: Path, text: str) -> None:
    """Write text atomically, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically: indented, in the order given, ending with a newline; NaN is refused."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str = "file") -> Any:
    """Read JSON.

    Args:
        path: the file.
        what: what the file is, for the error ("annotations", "predictions").

    Raises:
        PipelineError: absent, not UTF-8, cut short or malformed (with line and column), or with a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such {what}") from None
    except OSError as error:
        raise PipelineError(f"{path}: {what} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path}: {what} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    try:
        return json.loads(text, object_pairs_hook=_unique(path))
    except RecursionError:
        raise PipelineError(f"{path}: {what} is nested too deeply to be read") from None
    except json.JSONDecodeError as error:
        cut = " (the file seems cut short)" if error.pos >= len(text.rstrip()) - 1 else ""
        where = f"line {error.lineno} column {error.colno}"
        raise PipelineError(f"{path}: {what} is not valid JSON at {where}: {error.msg}{cut}") from None


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unique(path: Path) -> Any:
    """A hook that refuses objects naming a key twice: which of the two is meant cannot be known."""

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise PipelineError(f"{path}: key {twice!r} stands twice in one object; remove one")
        return built

    return build
