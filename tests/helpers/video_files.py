"""Small videos for tests, made on the spot with the ffmpeg that the pipeline uses."""

import random
import subprocess
from pathlib import Path

from pipeline.video.tools import ffmpeg


def film(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: str = "25",
    size: str = "96x64",
    sound: bool = False,
    options: tuple[str, ...] = (),
) -> Path:
    """A moving test picture (and a tone), in whatever container the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [str(ffmpeg()), "-y", "-nostdin", "-loglevel", "error"]
    words += ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}:duration={seconds}"]
    if sound:
        words += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
    subprocess.run([*words, *options, f"file:{path}"], check=True)
    return path


def cut(path: Path, target: Path, share: float = 0.6) -> Path:
    """The first part of a file's bytes."""
    whole = path.read_bytes()
    target.write_bytes(whole[: int(len(whole) * share)])
    return target


def flipped(path: Path, target: Path, places: int = 30) -> Path:
    """A copy with flipped bytes spread over its last third."""
    damaged = bytearray(path.read_bytes())
    draw = random.Random(0)
    for _ in range(places):
        damaged[draw.randrange(2 * len(damaged) // 3, len(damaged) - 2000)] ^= 0xFF
    target.write_bytes(damaged)
    return target
