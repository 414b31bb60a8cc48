"""The ffmpeg command that re-encodes, and one run of it: TSP's `-filter:v fps=fps=30`, its silent defaults spelled out.

Every frame that the decoder gives leaves its time behind (the filter `metadata` prints it, before any frame is doubled
or dropped), so that what came out can be compared with what was decoded, at no cost.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.video.decode import Probe
from pipeline.video.tools import ffmpeg as ffmpeg_binary

FROM_OUTSIDE = (-2, -9, -15)
"""Statuses of a process that was interrupted, killed (by the system when memory ends, say) or asked to end."""

FULL = ("No space left on device", "Disk quota exceeded")
"""What ffmpeg says of a disk that takes no more."""
GAP_S = 0.05
"""A longer gap in the sound becomes silence, as `pipeline.video.stream` has it; shorter ones are rounding."""

_TIME = re.compile(rb"pts_time:(-?[\d.]+(?:e[-+]?\d+)?)")


@dataclass(frozen=True)
class Transcoded:
    """One run of ffmpeg.

    Attributes:
        status: its exit status.
        said: what it complained of.
        times: of the frames that were decoded, seconds from the file's beginning, rounded to six digits.
    """

    status: int
    said: str
    times: list[float]

    @property
    def complaint(self) -> str:
        """The first thing that it complained of, or its status.

        Of a part of ffmpeg, such as a decoder, only the name: what it says of damaged data depends on chance (see
        `pipeline.video.decode.good_part`), and the reasons of rejected videos are to be the same in every run.
        """
        first = (self.said.splitlines() or [f"ffmpeg ended with status {self.status}"])[0]
        part = re.match(r"\[(\w+)[^]]*\]", first)
        return f"ffmpeg's {part[1]} found errors" if part else first


@dataclass(frozen=True)
class Part:
    """The part of a damaged video that is taken.

    Attributes:
        frames: of the source, from its beginning.
        seconds: likewise.
    """

    frames: int
    seconds: float


def command_line(source: Path, target: Path, config: Reencode, found: Probe, part: Part | None = None) -> list[str]:
    """The ffmpeg command, as a list.

    Args:
        source: any video.
        target: an .mp4.
        config: frame rate, quality, size.
        found: what the source holds: which streams are taken.
        part: what is taken of a damaged video, in whose sound errors are passed over; None takes the whole video and
            ends at the first error.
    """
    # One decoding thread: then the first error is always the same one.
    opened = ffmpeg.input(f"file:{source}", threads=1, **({} if part else {"err_detect": "explode"}))
    picture = opened[str(found.picture)]
    if part:
        picture = picture.filter("trim", end_frame=part.frames)
    picture = picture.filter("metadata", mode="add", key="t", value=1)
    picture = picture.filter("metadata", mode="print", key="t", file="-")
    # Where the picture starts later than the sound, its first frame stands for the time before: frame i is at i / fps.
    picture = picture.filter("fps", fps=config.fps, start_time=0)
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
    streams = [picture]
    if found.sound is not None:
        # Silence where the sound has a gap: without it, all that follows would come too early.
        streams.append(opened[str(found.sound)].filter("aresample", **{"async": 1, "min_hard_comp": GAP_S}))
        options["c:a"] = "aac"
    words = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    if part:
        words += ["-max_error_rate", "1"]
        options["t"] = round(part.seconds, 3)
    else:
        words.append("-xerror")
    output = ffmpeg.output(*streams, f"file:{target}", **options).global_args(*words)
    compiled: list[str] = output.compile(cmd=str(ffmpeg_binary()))
    return compiled


def transcode(
    source: Path, target: Path, config: Reencode, found: Probe, part: Part | None = None, *, limit_s: float
) -> Transcoded:
    """Run ffmpeg.

    Args:
        source: any video.
        target: an .mp4.
        config: frame rate, quality, size.
        found: what the source holds.
        part: as for `command_line`.
        limit_s: it is killed after so many seconds.

    Raises:
        subprocess.TimeoutExpired: it took longer.
        PipelineError: the machine failed, not the video, which must not vanish for it.
    """
    done = subprocess.run(
        command_line(source, target, config, found, part),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=limit_s,
        check=False,
    )
    # Without the memory addresses in it, which differ from run to run.
    said = re.sub(r" @ 0x[0-9a-f]+", "", done.stderr.decode(errors="replace").strip())
    full = next((words for words in FULL if words in said), None)
    if full:
        raise PipelineError(
            f"{target.parent}: {source.name} cannot be re-encoded to there ({full}); free space there and run again"
        )
    if done.returncode in FROM_OUTSIDE:
        what = (said.splitlines() or ["no word"])[0]
        raise PipelineError(
            f"{source}: ffmpeg was stopped (status {done.returncode}: {what}); free memory and run again"
        )
    return Transcoded(done.returncode, said, [float(found) for found in _TIME.findall(done.stdout)])
