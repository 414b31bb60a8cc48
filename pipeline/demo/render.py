"""The file of a demo video: frames and sound encoded with ffmpeg in one of several formats, then damaged if planned."""

import multiprocessing
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from pipeline.config.command import exit_on_sigterm
from pipeline.demo.draw import draw_frames
from pipeline.demo.scene import VideoPlan
from pipeline.demo.sound import write_sound
from pipeline.errors import PipelineError
from pipeline.io.atomic import replace_atomically
from pipeline.io.progress import Progress
from pipeline.video.ffmpeg import find_ffmpeg

PlanT = TypeVar("PlanT", bound=VideoPlan)
DrawFrames = Callable[[Any], Iterator[UInt8[np.ndarray, "times height width 3"]]]
"""Draws the frames of a plan, in chunks."""

_H264 = ("libx264", "-preset", "veryfast", "-crf", "12")


@dataclass(frozen=True)
class ContainerFormat:
    """A container with its codecs.

    Attributes:
        video: ffmpeg's encoder and its options; the quality is high because the frames are small.
        audio: ffmpeg's audio encoder.
        options: options of the container.
        pixels: ffmpeg's pixel format.
        variable: whether the container supports a variable frame rate.
    """

    video: tuple[str, ...]
    audio: str
    options: tuple[str, ...] = ()
    pixels: str = "yuv420p"
    variable: bool = True


FORMATS: dict[str, ContainerFormat] = {
    ".mp4": ContainerFormat(_H264, "aac", ("-movflags", "+faststart")),
    ".mkv": ContainerFormat(_H264, "flac"),
    # A negative -cpu-used fixes the speed of VP8; a positive one depends on how busy the machine is.
    ".webm": ContainerFormat(
        ("libvpx", "-deadline", "realtime", "-cpu-used", "-4", "-crf", "6", "-b:v", "2M"), "libvorbis"
    ),
    ".avi": ContainerFormat(("mpeg4", "-q:v", "2"), "mp2", variable=False),
    ".mov": ContainerFormat(("mjpeg", "-q:v", "2"), "pcm_s16le", pixels="yuvj420p"),
}

# Values of the plans. The frequency of a value in its list is its frequency in the dataset, as mixed as downloads are.
SUFFIXES = (".mp4", ".mp4", ".mp4", ".mkv", ".mkv", ".webm", ".webm", ".avi", ".avi", ".mov")
VARIABLE = "variable"
RATES = ("12", "15", "20", "24000/1001", "25", "25", "30000/1001", "30", "30", VARIABLE)
SIZES = (
    *[(128, 96)] * 7,
    *[(170, 96)] * 2,
    (160, 90),
    (160, 120),
    (228, 128),
    (86, 64),
    (114, 64),
    (96, 128),
    (72, 128),
)


def render_videos(videos: Sequence[PlanT], folder: Path, workers: int, draw: DrawFrames = draw_frames) -> list[Path]:
    """Draw and encode all videos in `workers` processes; the first failure stops all.

    Args:
        videos: the plans.
        folder: folder of the files.
        workers: number of processes.
        draw: draws the frames of a plan; a function of a module, because processes import it.

    Returns:
        The files, in the order in which they were finished.

    Raises:
        PipelineError: a process was killed, or ffmpeg failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Spawned on every system: forked processes would inherit the parent's threads and locks.
    context = multiprocessing.get_context("spawn")
    files, progress = [], Progress("videos", len(videos))
    with ProcessPoolExecutor(min(workers, len(videos)), context, initializer=exit_on_sigterm) as pool:
        pending = [pool.submit(render_video, video, folder, draw) for video in videos]
        try:
            for future in as_completed(pending):
                files.append(future.result())
                progress.step()
        except BrokenProcessPool:
            raise PipelineError(
                f"{folder}: a process that draws videos was killed, probably because memory is short; free memory and "
                "run again, or set workers = 1 in the section of this stage"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return files


def render_video(video: PlanT, folder: Path, draw: DrawFrames = draw_frames) -> Path:
    """Draw, encode and, if planned, damage one video.

    Args:
        video: the plan.
        folder: where `<name>.<suffix>` is written atomically; files of the same name with another suffix are removed.
        draw: draws the frames of the plan.

    Returns:
        The file.

    Raises:
        PipelineError: ffmpeg failed: an encoder is missing, or the disk is full.
    """
    path = folder / f"{video.name}{video.suffix}"
    with tempfile.TemporaryDirectory() as scratch, replace_atomically(path) as temporary:
        sound = Path(scratch) / "sound.wav"
        if video.audio:
            write_sound(video, sound)
        command = build_render_command(video, temporary, sound if video.audio else None)
        _encode(command, (chunk.tobytes() for chunk in draw(video)), video)
        if video.damage:
            DAMAGES[video.damage](temporary, random.Random(f"damage {video.id}"))
    for other in folder.glob(f"{video.name}.*"):
        if other != path:  # an earlier run made it in another format
            other.unlink()
    return path


def build_render_command(video: VideoPlan, target: Path, sound: Path | None) -> list[str]:
    """Return the ffmpeg command: frames from standard input, sound from a file, and the same bytes in every run."""
    encoding = FORMATS[video.suffix]
    command = [str(find_ffmpeg()), "-hide_banner", "-loglevel", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{video.width}x{video.height}"]
    command += ["-framerate", str(video.rate), "-i", "pipe:0"]
    command += ["-i", f"file:{sound}", "-map", "0:v", "-map", "1:a", "-c:a", encoding.audio] if sound else ["-an"]
    if video.variable:
        command += ["-vf", f"select='{frame_select_expression(video.frames)}'"]
    command += ["-c:v", *encoding.video, "-pix_fmt", encoding.pixels, "-threads", "1", *encoding.options]
    command += ["-flags:v", "+bitexact", "-flags:a", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1"]
    return [*command, f"file:{target}"]


def frame_select_expression(frames: int) -> str:
    """Return the frames of the grid that a video of variable rate keeps, as an expression for ffmpeg's `select`.

    The first half keeps frames at uneven distances, the second half every second frame, as a phone does in low light.
    The last frame is always kept, because it defines the end of the video.
    """
    return f"if(lt(n,{frames // 2}),lt(mod(n*7,11),8),not(mod(n,2)))+eq(n,{frames - 1})"


def _encode(command: list[str], frames: Iterator[bytes], video: VideoPlan) -> None:
    """Run ffmpeg and feed it the frames."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                for chunk in frames:
                    pipe.write(chunk)
        except BrokenPipeError:
            pass  # ffmpeg ended early; its status and its log say why
        except BaseException:
            process.kill()
            raise
        finally:
            status = process.wait()
        if status != 0:
            log.seek(0)
            reason = " ".join(log.read().decode(errors="replace").split()) or f"status {status}"
            raise PipelineError(f"{video.name}{video.suffix}: ffmpeg could not encode it: {reason}")


def _truncate(path: Path, rng: random.Random) -> None:
    """Cut off the second half, as an interrupted download; the index at the front lists more than there is."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * rng.uniform(0.4, 0.6))])


def _flip_bytes(path: Path, rng: random.Random) -> None:
    """Flip bytes in the second half, which holds the frames."""
    content = bytearray(path.read_bytes())
    for position in rng.sample(range(len(content) // 2, len(content)), len(content) // 100):
        content[position] ^= 0xFF
    path.write_bytes(content)


def _remove_video(path: Path, rng: random.Random) -> None:  # noqa: ARG001 - all damages have one signature
    """Keep the audio track only."""
    audio = path.with_name(f"{path.stem}.sound{path.suffix}")
    command = [str(find_ffmpeg()), "-nostdin", "-loglevel", "error", "-i", f"file:{path}", "-vn", "-c:a", "copy"]
    command += ["-map_metadata", "-1", "-fflags", "+bitexact", "-y", f"file:{audio}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    audio.replace(path)


def _write_error_page(path: Path, rng: random.Random) -> None:  # noqa: ARG001
    """Replace the video by the error page of a server."""
    path.write_text("<html><body><h1>404 Not Found</h1>This video is no longer available.</body></html>\n")


def _empty(path: Path, rng: random.Random) -> None:  # noqa: ARG001
    """Leave an empty file."""
    path.write_bytes(b"")


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "cut short": _truncate,
    "flipped bytes": _flip_bytes,
    "audio only": _remove_video,
    "text": _write_error_page,
    "empty": _empty,
}
"""Typical damages of downloaded videos. Each changes an intact MP4 with its index at the front, in place."""
