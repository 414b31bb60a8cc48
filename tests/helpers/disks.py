"""Disks that are small or cannot be written to, for the tests that need one."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(path: Path, size: int, *options: str) -> Iterator[None]:
    """Have a disk of its own at a folder for a while; skips the test where nothing can be mounted.

    Args:
        path: the folder.
        size: bytes; rounded up to whole pages.
        options: of the mount (`ro`).
    """
    path.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(path)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def enlarge(path: Path) -> None:
    """Give a small disk room enough."""
    subprocess.run(["mount", "-o", "remount,rw,size=256m", str(path)], check=True)
