"""Ways in which downloaded videos are broken, done on purpose to good files."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from pipeline.video.tools import ffmpeg


def _cut(path: Path, rng: random.Random) -> None:
    """A download that stopped on its way: the index at the front promises more than there is."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * rng.uniform(0.4, 0.6))])


def _flip(path: Path, rng: random.Random) -> None:
    """Flipped bytes throughout the second half, where the pictures are."""
    data = bytearray(path.read_bytes())
    for place in rng.sample(range(len(data) // 2, len(data)), len(data) // 100):
        data[place] ^= 0xFF
    path.write_bytes(data)


def _audio_only(path: Path, rng: random.Random) -> None:  # noqa: ARG001 - one signature for all ways
    """The sound without the picture."""
    silent = path.with_name(f"{path.stem}.sound{path.suffix}")
    words = [str(ffmpeg()), "-nostdin", "-loglevel", "error", "-i", f"file:{path}", "-vn", "-c:a", "copy"]
    words += ["-map_metadata", "-1", "-fflags", "+bitexact", "-y", f"file:{silent}"]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    silent.replace(path)


def _text(path: Path, rng: random.Random) -> None:  # noqa: ARG001
    """The page that a server sends instead of a video."""
    path.write_text("<html><body><h1>404 Not Found</h1>This video is no longer available.</body></html>\n")


def _empty(path: Path, rng: random.Random) -> None:  # noqa: ARG001
    """Nothing at all."""
    path.write_bytes(b"")


WAYS: dict[str, Callable[[Path, random.Random], None]] = {
    "cut short": _cut,
    "flipped bytes": _flip,
    "audio only": _audio_only,
    "text": _text,
    "empty": _empty,
}


def damage(path: Path, way: str, rng: random.Random) -> None:
    """Break a good MP4 whose index stands at its front.

    Args:
        path: the file, changed in place.
        way: key of `WAYS`.
        rng: decides where.
    """
    WAYS[way](path, rng)
