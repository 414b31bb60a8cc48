"""Atomic writes: a file is written under a temporary name in its folder, then renamed, so it is complete or absent."""

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

REMEDIES = {
    errno.ENOSPC: "free space there and run again",
    errno.EDQUOT: "free some of the quota there and run again",
    errno.EROFS: "make it writable and run again",
}
"""What the user can do when the file system accepts no more data."""


@contextlib.contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds, remove it otherwise.

    The temporary name keeps the suffix, because ffmpeg and matplotlib choose the format by it. Temporary files of
    killed writers of the same file are removed first.

    Raises:
        PipelineError: the file cannot be written.
    """
    with _reporting_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(path)
    temporary = temporary_path(path)
    try:
        with reporting_disk_errors(path):
            yield temporary
        with _reporting_os_errors(path):
            temporary.replace(path)
    finally:
        with _reporting_os_errors(path):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def reporting_disk_errors(path: Path) -> Iterator[None]:
    """Convert errors of a full or read-only disk inside the block into an error that names `path`.

    Raises:
        PipelineError: the disk is full or read-only.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        reason = os.strerror(error.errno)
        raise PipelineError(f"{path}: cannot be written ({reason}); {REMEDIES[error.errno]}") from None


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes `path` before the rename."""
    return path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")


def remove_stale_temporaries(path: Path) -> None:
    """Remove temporary files and folders that dead writers of `path` left behind."""
    pattern = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.tmp{re.escape(path.suffix)}")
    for entry in os.scandir(path.parent) if path.parent.is_dir() else []:
        match = pattern.fullmatch(entry.name)
        if match and not _is_alive(int(match[1])):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # the process of another user
    return True


@contextlib.contextmanager
def _reporting_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = f"; {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
        raise PipelineError(f"{path}: cannot be written ({error.strerror or error}){remedy}") from None


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name by a hard link, or copy it. The time stamp becomes the present.

    Args:
        source: the file.
        target: the second name; a file of this name is replaced atomically.

    Raises:
        PipelineError: the disk is full or read-only.
    """
    with replace_atomically(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # not every file system has hard links; what else is wrong fails again in the copy
            shutil.copyfile(source, temporary)
        os.utime(temporary)


def flush(path: Path) -> None:
    """Flush a file, and its name in its folder, to the disk.

    Raises:
        PipelineError: the disk is full or read-only.
    """
    with reporting_disk_errors(path):
        for place in (path, path.parent):
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write text atomically as UTF-8."""
    with replace_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically: indented, keys in their order, with a final newline.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str = "file") -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        what: the noun for the file in error messages ("annotations", "predictions").

    Raises:
        PipelineError: the file is absent, not UTF-8, malformed (names line and column), or has a duplicate key.
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
        return json.loads(text, object_pairs_hook=_refuse_duplicate_keys(path))
    except RecursionError:
        raise PipelineError(f"{path}: {what} is nested too deeply") from None
    except json.JSONDecodeError as error:
        truncated = " (the file seems to be truncated)" if error.pos >= len(text.rstrip()) - 1 else ""
        where = f"line {error.lineno} column {error.colno}"
        raise PipelineError(f"{path}: {what} is not valid JSON at {where}: {error.msg}{truncated}") from None


def sha256(path: Path) -> str:
    """Return the sha256 of a file as a hexadecimal string."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_duplicate_keys(path: Path) -> Any:
    """Return a JSON hook that refuses duplicate keys, because it is unknown which value is meant."""

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise PipelineError(f"{path}: key {duplicate!r} occurs twice in one object; remove one")
        return result

    return build
