"""Small videos for tests, encoded with the ffmpeg that the pipeline uses."""

import random
import subprocess
from pathlib import Path

import av

from pipeline.video.ffmpeg import find_ffmpeg


def write_video(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: str = "25",
    size: str = "96x64",
    sound: bool = False,
    options: tuple[str, ...] = (),
) -> Path:
    """Write a moving test pattern, with a tone if `sound`, in the container that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [str(find_ffmpeg()), "-y", "-nostdin", "-loglevel", "error"]
    command += ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}:duration={seconds}"]
    if sound:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
    subprocess.run([*command, *options, f"file:{path}"], check=True)
    return path


def truncate(path: Path, target: Path, fraction: float = 0.6) -> Path:
    """Write the first part of the bytes of a file."""
    content = path.read_bytes()
    target.write_bytes(content[: int(len(content) * fraction)])
    return target


def flip_bytes(path: Path, target: Path, count: int = 30) -> Path:
    """Write a copy with `count` flipped bytes in its last third."""
    damaged = bytearray(path.read_bytes())
    rng = random.Random(0)
    for _ in range(count):
        damaged[rng.randrange(2 * len(damaged) // 3, len(damaged) - 2000)] ^= 0xFF
    target.write_bytes(damaged)
    return target


def damage_sound(path: Path, target: Path, *, whole: bool = False) -> Path:
    """Write a copy with zeros in the first packet of the sound after one second, or in all of them."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    late = (packet for packet in packets if float((packet.pts or 0) * packet.time_base) > 1)
    position = 0
    for packet in packets if whole else [next(late)]:
        position = content.index(bytes(packet), position)
        last = position + packet.size if whole else position + 60
        content[position + (0 if whole else 20) : last] = bytes(last - position - (0 if whole else 20))
    target.write_bytes(content)
    return target
