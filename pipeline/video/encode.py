"""Re-encoding to a constant frame rate, with checks of the result.

ffmpeg exits with status 0 on a file that is truncated or has flipped bytes. The option `-xerror` therefore stops it at
the first error. Then its output is decoded completely and compared with the times of the decoded frames, and those with
what the packets of the source announce. A file that fails is encoded again up to its first error and marked as partial.
"""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.reencode import Reencode
from pipeline.video.decode import (
    DecodeError,
    NoTimestampsError,
    NoVideoError,
    VideoContents,
    decodable_prefix,
    iter_frame_times,
    read_contents,
)
from pipeline.video.transcode import FfmpegRun, KeptPrefix, transcode

MAX_MISSING_S = 1.0
"""Largest inaccuracy of a declared duration (seconds); longer than any frame."""

TRUNCATED_MESSAGES = ("File ended prematurely", "partial file", "Truncating packet")
"""Messages of ffmpeg's demuxers for a truncated file; the exit status is 0."""


class RejectedError(Exception):
    """A video that is rejected because of its own contents.

    Args:
        reason: a code; docs/reencoding.md lists all of them.
        detail: what exactly is wrong.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Damage:
    """Why only a part of a video was kept.

    Attributes:
        source_s: duration that the source should have (seconds).
        reason: the code with which the whole video failed.
        detail: what exactly is wrong.
    """

    source_s: float
    reason: str
    detail: str


@dataclass(frozen=True)
class EncodedVideo:
    """A re-encoded video.

    Attributes:
        frames: number of frames.
        width: pixels.
        height: pixels.
        audio: whether it has an audio track.
        damage: what is wrong with the source; None if it was encoded as a whole.
    """

    frames: int
    width: int
    height: int
    audio: bool
    damage: Damage | None


def reencode_video(source: Path, target: Path, config: Reencode) -> EncodedVideo:
    """Re-encode one video and check the result.

    Args:
        source: any video.
        target: the .mp4 to write; a temporary name that the caller renames.
        config: settings.

    Raises:
        RejectedError: the video is unusable; names the reason.
        PipelineError: the machine failed, not the video.
    """
    deadline = time.monotonic() + config.timeout_s
    contents = _read_contents(source)
    try:
        return _encode_whole(source, target, config, contents, deadline)
    except RejectedError as error:
        if config.partial == "reject" or error.reason == "timeout":
            raise
        return _encode_prefix(source, target, config, contents, deadline, error)


def _read_contents(source: Path) -> VideoContents:
    """Read the contents of a file.

    Raises:
        RejectedError: it holds no video that could be re-encoded.
    """
    try:
        contents = read_contents(source)
    except NoVideoError as error:
        raise RejectedError("no_video", str(error)) from None
    except NoTimestampsError as error:
        raise RejectedError("no_times", str(error)) from None
    except DecodeError as error:
        is_empty = source.is_file() and source.stat().st_size == 0
        raise RejectedError("empty" if is_empty else "unreadable", str(error)) from None
    if contents.frames == 1:
        raise RejectedError("still_image", f"holds a single frame ({contents.codec})")
    return contents


def _encode_whole(
    source: Path, target: Path, config: Reencode, contents: VideoContents, deadline: float
) -> EncodedVideo:
    """Re-encode a video that must have no error.

    Raises:
        RejectedError: it has one.
    """
    if contents.error:
        raise RejectedError("unreadable", f"cannot be read to its end ({contents.error})")
    if contents.missing_s > config.tolerance_s + MAX_MISSING_S:
        raise RejectedError("cut_short", f"truncated: its last {contents.missing_s:.1f} s are missing")
    run = _transcode(source, target, config, contents, deadline)
    if run.status != 0 or not run.frame_times:
        raise RejectedError("decode_error", run.first_error)
    lines = run.stderr.splitlines()
    truncated = next((line for line in lines if any(message in line for message in TRUNCATED_MESSAGES)), None)
    if truncated:
        raise RejectedError("cut_short", truncated)
    encoded = _verify(target, config)
    frame_s = 1 / contents.fps
    tolerance_s = config.tolerance_s + frame_s  # AVI states times only to within a frame
    decoded_s, encoded_s = max(run.frame_times) + frame_s, encoded.frames / config.fps
    durations = f"source {contents.end:.2f} s, decoded {decoded_s:.2f} s, encoded {encoded_s:.2f} s"
    if min(decoded_s, encoded_s) < contents.end - tolerance_s or encoded_s < decoded_s - tolerance_s:
        raise RejectedError("too_short", durations)
    if encoded_s > max(contents.end, decoded_s) + tolerance_s:
        raise RejectedError("too_long", durations)
    if contents.audio_end_s - encoded.audio_end_s > tolerance_s:
        raise RejectedError(
            "audio_lost", f"source audio {contents.audio_end_s:.2f} s, encoded audio {encoded.audio_end_s:.2f} s"
        )
    return EncodedVideo(encoded.frames, encoded.width, encoded.height, encoded.audio, None)


def _encode_prefix(
    source: Path, target: Path, config: Reencode, contents: VideoContents, deadline: float, failure: RejectedError
) -> EncodedVideo:
    """Re-encode a damaged video up to the first error of its video stream, ignoring errors of its audio.

    Args:
        source: the video.
        target: the .mp4 to write.
        config: settings.
        contents: the streams of the source.
        deadline: time (monotonic seconds) at which the video is rejected.
        failure: why the whole video failed.

    Raises:
        RejectedError: too little of it decodes; has the reason of `failure`.
    """
    num_frames, prefix_s = decodable_prefix(source)
    source_s = max(contents.end, contents.declared_s)
    if num_frames == 0 or prefix_s < max(config.least_s, config.least_share * source_s):
        raise RejectedError(
            failure.reason,
            f"{failure.detail}; of {source_s:.1f} s, {prefix_s:.1f} s decode before the first error, less than "
            f"config: reencode.least_share = {config.least_share:g} or reencode.least_s = {config.least_s:g}",
        )
    run = _transcode(source, target, config, contents, deadline, KeptPrefix(num_frames, prefix_s))
    if run.status != 0 or len(run.frame_times) != num_frames:
        raise failure
    encoded = _verify(target, config)
    if prefix_s - encoded.frames / config.fps > config.tolerance_s:
        raise failure
    damage = Damage(source_s, failure.reason, failure.detail)
    return EncodedVideo(encoded.frames, encoded.width, encoded.height, encoded.audio, damage)


def _transcode(
    source: Path,
    target: Path,
    config: Reencode,
    contents: VideoContents,
    deadline: float,
    prefix: KeptPrefix | None = None,
) -> FfmpegRun:
    """Run ffmpeg within the remaining time.

    Raises:
        RejectedError: it took too long.
    """
    try:
        return transcode(source, target, config, contents, prefix, timeout_s=max(0.001, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise RejectedError("timeout", f"took longer than {config.timeout_s:g} s") from None


def _verify(target: Path, config: Reencode) -> VideoContents:
    """Decode the output completely and check that frame i is shown at i / fps seconds.

    Raises:
        RejectedError: it cannot be decoded, or a frame has another time.
    """
    try:
        encoded, frame_times = read_contents(target), list(iter_frame_times(target))
    except DecodeError as error:
        raise RejectedError("decode_error", f"the output cannot be read: {error}") from None
    if encoded.error or len(frame_times) != encoded.frames:
        raise RejectedError("decode_error", f"{len(frame_times)} of {encoded.frames} frames of the output can be read")
    for index, frame_time in enumerate(frame_times):
        if abs(frame_time - index / config.fps) > 1e-3:
            raise RejectedError("uneven", f"frame {index} of the output is shown at {frame_time:.3f} s")
    return encoded
