"""Re-encoding to a constant frame rate, and the checks that ffmpeg's exit status does not make.

ffmpeg ends with status 0 on a file that is cut short or has flipped bytes. So it is told to stop at the first error,
and what it wrote is decoded to its end and compared with the times of the frames that were decoded, and those with what
the source's packets promise. A file that does not pass is tried again with its errors passed over, and marked.
"""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.reencode import Reencode
from pipeline.video.decode import DecodeError, NoVideoError, Probe, UntimedError, good_part, probe, times
from pipeline.video.transcode import Part, Transcoded, transcode

CUT_S = 1.0
"""Headers are this vague about a whole file's length (seconds), more than any frame's duration."""

CUT_WORDS = ("File ended prematurely", "partial file", "Truncating packet")
"""How ffmpeg's demuxers say, with status 0, that a file ends before it should."""


class RejectedError(Exception):
    """A video that is left out, by its own fault.

    Args:
        reason: a code to count by; docs/reencoding.md lists them.
        detail: what was seen.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Damage:
    """Why a video is only partly there.

    Attributes:
        source_s: how long the source should be, seconds.
        reason: the code that it would have been rejected with.
        detail: what was seen.
    """

    source_s: float
    reason: str
    detail: str


@dataclass(frozen=True)
class Encoded:
    """A re-encoded video.

    Attributes:
        frames: their number.
        width: pixels.
        height: pixels.
        audio: whether it has an audio track.
        damage: what is wrong with it; None if it is whole.
    """

    frames: int
    width: int
    height: int
    audio: bool
    damage: Damage | None


def reencode_video(source: Path, target: Path, config: Reencode) -> Encoded:
    """Re-encode one video and check the result.

    Args:
        source: any video.
        target: the .mp4 to write; a temporary name that the caller renames.
        config: how.

    Raises:
        RejectedError: with the reason.
        PipelineError: the machine failed, not the video.
    """
    until = time.monotonic() + config.timeout_s
    found = _look(source)
    try:
        return _strictly(source, target, config, found, until)
    except RejectedError as error:
        if config.partial == "reject" or error.reason == "timeout":
            raise
        return _leniently(source, target, config, found, until, error)


def _look(source: Path) -> Probe:
    """Find out what a file holds.

    Raises:
        RejectedError: nothing that could be re-encoded.
    """
    try:
        found = probe(source)
    except NoVideoError as error:
        raise RejectedError("no_video", str(error)) from None
    except UntimedError as error:
        raise RejectedError("no_times", str(error)) from None
    except DecodeError as error:
        empty = source.is_file() and source.stat().st_size == 0
        raise RejectedError("empty" if empty else "unreadable", str(error)) from None
    if found.frames == 1:
        raise RejectedError("still_image", f"holds a single picture ({found.codec})")
    return found


def _strictly(source: Path, target: Path, config: Reencode, found: Probe, until: float) -> Encoded:
    """Re-encode a whole video, up to its first error."""
    if found.error:
        raise RejectedError("unreadable", f"cannot be read to its end ({found.error})")
    if found.cut_s > config.tolerance_s + CUT_S:
        raise RejectedError("cut_short", f"its header promises {found.cut_s:.1f} s more than there is")
    done = _run(source, target, config, found, until)
    if done.status != 0 or not done.times:
        raise RejectedError("decode_error", done.complaint)
    cut = next((line for line in done.said.splitlines() if any(words in line for words in CUT_WORDS)), None)
    if cut:
        raise RejectedError("cut_short", cut)
    made = _check(target, config)
    frame = 1 / found.fps
    slack = config.tolerance_s + frame  # of AVI, a frame's time is known to a frame
    decoded, covered = max(done.times) + frame, made.frames / config.fps
    if min(decoded, covered) < found.end - slack or covered < decoded - slack:
        raise RejectedError("too_short", f"{found.end:.2f} s, decoded up to {decoded:.2f} s, became {covered:.2f} s")
    if covered > max(found.end, decoded) + slack:
        raise RejectedError("too_long", f"{found.end:.2f} s, decoded up to {decoded:.2f} s, became {covered:.2f} s")
    if found.sound_s - made.sound_s > slack:
        raise RejectedError("audio_lost", f"{found.sound_s:.2f} s of sound became {made.sound_s:.2f} s")
    return Encoded(made.frames, made.width, made.height, made.audio, None)


def _leniently(
    source: Path, target: Path, config: Reencode, found: Probe, until: float, strict: RejectedError
) -> Encoded:
    """Re-encode a damaged video up to its first error, passing over those of its sound.

    Args:
        source: the video.
        target: the .mp4.
        config: how.
        found: what it holds.
        until: when the time is over.
        strict: what is wrong with it.

    Raises:
        RejectedError: of what was wrong already, if too little of it decodes.
    """
    count, end = good_part(source)
    whole = max(found.end, found.declared_s)
    if count == 0 or end < max(config.least_s, config.least_share * whole):
        raise RejectedError(
            strict.reason,
            f"{strict.detail}; of {whole:.1f} s, {end:.1f} s decode before the first error, less than "
            f"config: reencode.least_share = {config.least_share:g} or reencode.least_s = {config.least_s:g}",
        )
    done = _run(source, target, config, found, until, Part(count, end))
    if done.status != 0 or len(done.times) != count:
        raise strict
    made = _check(target, config)
    if end - made.frames / config.fps > config.tolerance_s:
        raise strict
    return Encoded(made.frames, made.width, made.height, made.audio, Damage(whole, strict.reason, strict.detail))


def _run(
    source: Path, target: Path, config: Reencode, found: Probe, until: float, part: Part | None = None
) -> Transcoded:
    """Run ffmpeg within the time that is left.

    Raises:
        RejectedError: it took too long.
    """
    try:
        return transcode(source, target, config, found, part, limit_s=max(0.001, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise RejectedError("timeout", f"took longer than {config.timeout_s:g} s") from None


def _check(target: Path, config: Reencode) -> Probe:
    """Decode what was written: frame i must be at i / fps, and nothing but frames in it.

    Raises:
        RejectedError: it is not so.
    """
    try:
        made, shown = probe(target), list(times(target))
    except DecodeError as error:
        raise RejectedError("decode_error", f"what came out cannot be read: {error}") from None
    if made.error or len(shown) != made.frames:
        raise RejectedError("decode_error", f"of {made.frames} frames that came out, {len(shown)} can be read")
    for number, shown_at in enumerate(shown):
        if abs(shown_at - number / config.fps) > 1e-3:
            raise RejectedError("uneven", f"frame {number} came out at {shown_at:.3f} s")
    return made
