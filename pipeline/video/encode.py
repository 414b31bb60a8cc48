"""Re-encoding to a constant frame rate with ffmpeg, and the checks that its exit status does not make.

ffmpeg ends with status 0 on a file that is cut short or has flipped bytes. So it is told to stop at the first error,
writes under a temporary name, and what it wrote is compared with what the source's packets promise.
"""

import re
import subprocess
from pathlib import Path

import ffmpeg

from pipeline.config.errors import PipelineError
from pipeline.config.reencode import Reencode
from pipeline.video.decode import DecodeError, Probe, probe
from pipeline.video.tools import ffmpeg as ffmpeg_binary

CUT_S = 1.0
"""Headers are this vague about a whole file's length (seconds), more than any frame's duration."""


class RejectedError(Exception):
    """A video that is left out, by its own fault.

    Args:
        reason: a code to count by: unreadable, cut_short, decode_error, timeout, late_start or too_short.
        detail: what was seen.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def command_line(source: Path, target: Path, config: Reencode, *, audio: bool) -> list[str]:
    """The ffmpeg command, as a list: TSP's `-filter:v fps=fps=30` with its silent defaults made explicit.

    Args:
        source: any video.
        target: an .mp4.
        config: frame rate, quality, size.
        audio: whether the source has sound to keep.
    """
    opened = ffmpeg.input(f"file:{source}", err_detect="explode")
    # Where the picture starts later than the sound, its first frame stands for the time before: frame i is at i / fps.
    picture = opened.video.filter("fps", fps=config.fps, start_time=0)
    if config.short_side:
        # -2 keeps the aspect ratio with an even number of pixels, which 4:2:0 needs.
        picture = picture.filter(
            "scale",
            w=f"if(gt(iw,ih),-2,{config.short_side})",
            h=f"if(gt(iw,ih),{config.short_side},-2)",
        )
    else:
        picture = picture.filter("scale", w="trunc(iw/2)*2", h="trunc(ih/2)*2")
    options = {
        "c:v": "libx264",
        "pix_fmt": "yuv420p",
        "crf": config.crf,
        "preset": config.preset,
        "g": config.gop,
        "threads": config.encoder_threads,
        "map_metadata": -1,
        "movflags": "+faststart",
    }
    streams = [picture, opened["a:0"]] if audio else [picture]
    if audio:
        options["c:a"] = "aac"
    output = ffmpeg.output(*streams, f"file:{target}", **options).global_args(
        "-xerror", "-nostdin", "-hide_banner", "-loglevel", "error", "-y"
    )
    words: list[str] = output.compile(cmd=str(ffmpeg_binary()))
    return words


def reencode_video(source: Path, target: Path, config: Reencode) -> Probe:
    """Re-encode one video and check the result.

    Args:
        source: any video.
        target: the .mp4 to write; a temporary name that the caller renames.
        config: how.

    Returns:
        what the new file holds.

    Raises:
        RejectedError: with the reason.
        PipelineError: the machine failed, not the video.
    """
    try:
        before = probe(source)
    except DecodeError as error:
        raise RejectedError("unreadable", str(error)) from None
    if before.cut_s > config.tolerance_s + CUT_S:
        raise RejectedError("cut_short", f"its header promises {before.cut_s:.1f} s more than there is")
    try:
        done = subprocess.run(
            command_line(source, target, config, audio=before.audio),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=config.timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RejectedError("timeout", f"ffmpeg took longer than {config.timeout_s:g} s") from None
    if done.returncode < 0 or b"No space left on device" in done.stderr:
        # Killed from outside, or a full disk: no fault of the video, which must not vanish for it.
        raise PipelineError(
            f"{source}: ffmpeg was stopped (status {done.returncode}: {_first_line(done.stderr) or 'no word'}); "
            "free memory or disk space and run again"
        )
    if done.returncode != 0:
        raise RejectedError("decode_error", _first_line(done.stderr) or f"ffmpeg ended with status {done.returncode}")
    try:
        after = probe(target)
    except DecodeError as error:
        raise RejectedError("decode_error", str(error)) from None
    if after.start != 0:
        raise RejectedError("late_start", f"its first frame came out at {after.start:.3f} s")
    lost = before.start + before.duration - after.frames / config.fps
    if lost > config.tolerance_s:
        raise RejectedError("too_short", f"{before.duration:.2f} s became {after.frames / config.fps:.2f} s")
    return after


def _first_line(said: bytes) -> str:
    """First complaint of ffmpeg, without the memory address in it, which differs from run to run."""
    lines = said.decode(errors="replace").strip().splitlines()
    return re.sub(r" @ 0x[0-9a-f]+", "", lines[0]) if lines else ""
