"""One video of the demo, from its plan to its file: drawn, encoded with its sound, broken where planned."""

import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.demo.damage import damage
from pipeline.demo.draw import draw
from pipeline.demo.formats import FORMATS
from pipeline.demo.scene import Video
from pipeline.demo.sound import write_sound
from pipeline.errors import PipelineError
from pipeline.io.atomic import replacing
from pipeline.video.tools import ffmpeg


def film(video: Video, folder: Path) -> Path:
    """Make the file of one video.

    Args:
        video: its plan.
        folder: where `v_<id>.<suffix>` is written, atomically; the same id with another suffix is removed.

    Returns:
        the file.

    Raises:
        PipelineError: ffmpeg failed: it lacks an encoder, or the disk is full.
    """
    path = folder / f"{video.name}{video.suffix}"
    with tempfile.TemporaryDirectory() as scratch, replacing(path) as temporary:
        sound = Path(scratch) / "sound.wav"
        if video.audio:
            write_sound(video, sound)
        _encode(command_line(video, temporary, sound if video.audio else None), _pictures(video), video)
        if video.broken:
            damage(temporary, video.broken, random.Random(f"damage {video.id}"))
    for other in folder.glob(f"{video.name}.*"):
        if other != path:  # of an earlier making, in another format
            other.unlink()
    return path


def command_line(video: Video, target: Path, sound: Path | None) -> list[str]:
    """The ffmpeg command: frames from standard input, sound from a file, always the same bytes."""
    kind = FORMATS[video.suffix]
    words = [str(ffmpeg()), "-hide_banner", "-loglevel", "error", "-y"]
    words += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{video.width}x{video.height}"]
    words += ["-framerate", str(video.rate), "-i", "pipe:0"]
    words += ["-i", f"file:{sound}", "-map", "0:v", "-map", "1:a", "-c:a", kind.audio] if sound else ["-an"]
    if video.variable:
        words += ["-vf", f"select='{kept_frames(video.frames)}'"]
    words += ["-c:v", *kind.video, "-pix_fmt", kind.pixels, "-threads", "1", *kind.options]
    words += ["-flags:v", "+bitexact", "-flags:a", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1"]
    return [*words, f"file:{target}"]


def kept_frames(frames: int) -> str:
    """Which frames of the grid a video of variable rate keeps, as an expression for ffmpeg's `select`.

    At uneven distances first, then every second one, as from a phone when the light fades; the last one
    always, since it carries the video's end.
    """
    return f"if(lt(n,{frames // 2}),lt(mod(n*7,11),8),not(mod(n,2)))+eq(n,{frames - 1})"


def _pictures(video: Video) -> Iterator[bytes]:
    return (chunk.tobytes() for chunk in draw(video))


def _encode(words: list[str], pictures: Iterator[bytes], video: Video) -> None:
    """Run ffmpeg, feeding it pictures."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                for picture in pictures:
                    pipe.write(picture)
        except BrokenPipeError:
            pass  # ffmpeg has ended early; its status and its words tell why
        except BaseException:
            process.kill()
            raise
        finally:
            status = process.wait()
        if status != 0:
            said.seek(0)
            why = " ".join(said.read().decode(errors="replace").split()) or f"status {status}"
            raise PipelineError(f"{video.name}{video.suffix}: ffmpeg could not encode it: {why}")
