"""Small and read-only disks for tests."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mount_small_disk(path: Path, size: int, *options: str) -> Iterator[None]:
    """Mount a small disk at a folder; skip the test if nothing can be mounted.

    Args:
        path: the folder.
        size: bytes, rounded up to whole pages.
        options: mount options (`ro`).
    """
    path.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(path)]
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("the command mount is missing")
    if process.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {process.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def enlarge_disk(path: Path) -> None:
    """Enlarge a small disk to 256 MiB and make it writable."""
    subprocess.run(["mount", "-o", "remount,rw,size=256m", str(path)], check=True)
