"""One run of ffmpeg that re-encodes a video, as TSP does (`-filter:v fps=fps=30`, with its defaults made explicit).

The filter `metadata` prints the time of each decoded frame before frames are duplicated or dropped. So the output can
be compared with what was decoded, at no cost.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.io.worker import KILLED_STATUSES
from pipeline.video.decode import VideoContents
from pipeline.video.ffmpeg import find_ffmpeg

DISK_FULL_MESSAGES = ("No space left on device", "Disk quota exceeded")
"""Messages of ffmpeg for a full disk."""
MIN_GAP_S = 0.05
"""Longer gaps in the audio (seconds) are filled with silence, as in `pipeline.video.stream`."""

_TIME = re.compile(rb"pts_time:(-?[\d.]+(?:e[-+]?\d+)?)")


@dataclass(frozen=True)
class FfmpegRun:
    """The outcome of one run of ffmpeg.

    Attributes:
        status: exit status.
        stderr: its messages.
        frame_times: times of the decoded frames (seconds from the start of the file), rounded to six digits.
    """

    status: int
    stderr: str
    frame_times: list[float]

    @property
    def first_error(self) -> str:
        """The first error message, or the exit status if there is none.

        For messages of a component of ffmpeg, such as a decoder, only the name of the component. Its messages about
        damaged data vary between runs (see `pipeline.video.decode.decodable_prefix`), but the rejects table must not.
        """
        message = (self.stderr.splitlines() or [f"ffmpeg ended with status {self.status}"])[0]
        component = re.match(r"\[(\w+)[^]]*\]", message)
        return f"ffmpeg's {component[1]} found errors" if component else message


@dataclass(frozen=True)
class KeptPrefix:
    """The part of a damaged video, from its start, that is kept.

    Attributes:
        frames: number of source frames.
        seconds: duration (seconds).
    """

    frames: int
    seconds: float


def build_transcode_command(
    source: Path, target: Path, config: Reencode, contents: VideoContents, prefix: KeptPrefix | None = None
) -> list[str]:
    """Return the ffmpeg command as a list of arguments.

    Args:
        source: any video.
        target: the .mp4 to write.
        config: frame rate, quality and size.
        contents: the streams of the source.
        prefix: the part of a damaged video to encode, with errors in its audio ignored. None encodes the whole video
            and stops at the first error.
    """
    # One decoder thread, so that the first error is always the same.
    opened = ffmpeg.input(f"file:{source}", threads=1, **({} if prefix else {"err_detect": "explode"}))
    video = opened[str(contents.video_index)]
    if prefix:
        video = video.filter("trim", end_frame=prefix.frames)
    video = video.filter("metadata", mode="add", key="t", value=1)
    video = video.filter("metadata", mode="print", key="t", file="-")
    # If the video starts later than the audio, its first frame is repeated: frame i is shown at i / fps.
    video = video.filter("fps", fps=config.fps, start_time=0)
    if config.short_side:
        # -2 keeps the aspect ratio with an even number of pixels, which 4:2:0 needs.
        video = video.filter(
            "scale",
            w=f"if(gt(iw,ih),-2,{config.short_side})",
            h=f"if(gt(iw,ih),{config.short_side},-2)",
        )
    else:
        video = video.filter("scale", w="trunc(iw/2)*2", h="trunc(ih/2)*2")
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
    streams = [video]
    if contents.audio_index is not None:
        # Fill gaps with silence; otherwise all later audio would come too early.
        audio = opened[str(contents.audio_index)]
        streams.append(audio.filter("aresample", **{"async": 1, "min_hard_comp": MIN_GAP_S}))
        options["c:a"] = "aac"
    flags = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    if prefix:
        flags += ["-max_error_rate", "1"]
        options["t"] = round(prefix.seconds, 3)
    else:
        flags.append("-xerror")
    output = ffmpeg.output(*streams, f"file:{target}", **options).global_args(*flags)
    compiled: list[str] = output.compile(cmd=str(find_ffmpeg()))
    return compiled


def transcode(
    source: Path,
    target: Path,
    config: Reencode,
    contents: VideoContents,
    prefix: KeptPrefix | None = None,
    *,
    timeout_s: float,
) -> FfmpegRun:
    """Run ffmpeg.

    Args:
        source: any video.
        target: the .mp4 to write.
        config: frame rate, quality and size.
        contents: the streams of the source.
        prefix: the part of a damaged video to encode, see `build_transcode_command`.
        timeout_s: time limit (seconds), after which ffmpeg is killed.

    Raises:
        subprocess.TimeoutExpired: ffmpeg exceeded the limit.
        PipelineError: the machine failed (full disk, killed process), so the video must not be rejected.
    """
    process = subprocess.run(
        build_transcode_command(source, target, config, contents, prefix),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    # Remove the memory addresses, which differ between runs.
    stderr = re.sub(r" @ 0x[0-9a-f]+", "", process.stderr.decode(errors="replace").strip())
    disk_full = next((message for message in DISK_FULL_MESSAGES if message in stderr), None)
    if disk_full:
        raise PipelineError(
            f"{target.parent}: cannot re-encode {source.name} to this folder ({disk_full}); free space there and run "
            "again"
        )
    if process.returncode in KILLED_STATUSES:
        message = (stderr.splitlines() or ["no message"])[0]
        raise PipelineError(
            f"{source}: ffmpeg was stopped (status {process.returncode}: {message}); free memory and run again"
        )
    return FfmpegRun(process.returncode, stderr, [float(time) for time in _TIME.findall(process.stdout)])
