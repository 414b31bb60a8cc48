"""Re-encoding to a constant frame rate, with checks of the result.

The source is read as `pipeline.video.stream` reads it, so that a raw and a re-encoded video are the same: the streams
that ffmpeg chooses, upright frames at their times, sound at its times. A file with an error is encoded again up to its
first error and marked as partial. The output is decoded completely.
"""

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

from pipeline.config.reencode import Reencode
from pipeline.errors import PipelineError
from pipeline.video.constant_rate import count_repeats
from pipeline.video.decode import DecodeError, decodable_prefix, iter_frame_times
from pipeline.video.ffmpeg_pipe import DamagedError, KilledDecoderError
from pipeline.video.media_streams import (
    MediaStream,
    NoAudioError,
    choose_audio,
    choose_video,
    read_expected_end,
)
from pipeline.video.pixel_format import Yuv420p
from pipeline.video.reasons import SOUND_LOST, LostSoundError, StillImageError, find_reason
from pipeline.video.stream import TimedPixels, iter_channels, iter_pixels
from pipeline.video.transcode import (
    EncoderError,
    EncoderTimeoutError,
    FfmpegEncoder,
    build_filters,
    build_sound_command,
    build_video_command,
    find_picture_format,
    find_sound_format,
)

TIME_TOLERANCE_S = 1e-3
"""Largest difference of the time of a frame of the output (seconds)."""


MAX_STALL_S = 60.0
"""Longest time to wait for a decoder (seconds), so that a sound that hangs does not cost the video."""


class RejectedError(Exception):
    """A video that is rejected because of its own contents.

    Args:
        reason: a code; docs/videos.md lists all of them.
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
    job = _Job(source, target, config, time.monotonic() + config.timeout_s)
    try:
        return job.run()
    except EncoderTimeoutError:
        raise RejectedError("timeout", f"took longer than {config.timeout_s:g} s") from None
    except EncoderError as error:
        raise RejectedError("encode_error", str(error)) from None
    except KilledDecoderError as error:
        raise PipelineError(str(error)) from None
    except DecodeError as error:
        raise RejectedError(find_reason(error), str(error)) from None
    finally:
        job.sound.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Job:
    """The re-encoding of one video.

    Attributes:
        source: any video.
        target: the .mp4 to write.
        config: settings.
        deadline: time (monotonic seconds) at which the video is rejected.
    """

    source: Path
    target: Path
    config: Reencode
    deadline: float

    @property
    def sound(self) -> Path:
        """The file with the encoded sound, until it is copied to the output."""
        return self.target.with_suffix(".sound.mp4")

    def run(self) -> EncodedVideo:
        """Re-encode the video; for exceptions, see `reencode_video`."""
        stream = choose_video(self.source, MAX_STALL_S, filters=build_filters(self.config.short_side))
        self._check_not_still(stream)
        has_sound, damage = self._encode_sound_or_rest(stream)
        try:
            encoded = self._encode_frames(stream, has_sound)
        except DamagedError as error:
            failure = RejectedError(find_reason(error), str(error))
            if self.config.partial == "reject":
                raise failure from None
            return self._encode_prefix(stream, failure)
        if damage is None:
            return encoded
        source_s = read_expected_end(self.source, stream.header, MAX_STALL_S)
        return replace(encoded, damage=Damage(source_s, damage.reason, damage.detail))

    def _check_not_still(self, stream: MediaStream) -> None:
        """Check that the video is no picture: several frames, or one that is shown for more than a moment."""
        if stream.num_frames == 1:
            frames = self._read_frames(stream, tolerant=True)
            if sum(count for _, count in count_repeats(frames, Fraction(self.config.fps))) <= 1:
                raise StillImageError(f"{self.source}: holds a single frame")

    @cached_property
    def _audio(self) -> MediaStream | DecodeError:
        """The audio stream, or why there is none."""
        try:
            return choose_audio(self.source, MAX_STALL_S)
        except DecodeError as error:
            return error

    def _encode_sound_or_rest(self, video: MediaStream) -> tuple[bool, RejectedError | None]:
        """Encode the sound, or what is left of it.

        Args:
            video: the video stream.

        Returns:
            whether there is sound; what is wrong with it, or None.

        Raises:
            RejectedError: the sound has an error, and `partial` is "reject".
        """
        try:
            return self._encode_sound(video), None
        except (DamagedError, LostSoundError) as error:
            damage = RejectedError(find_reason(error), str(error))
            if self.config.partial == "reject":
                raise damage from None
        has_sound = self._encode_rest_of_sound(video)
        return has_sound, damage if has_sound else RejectedError(SOUND_LOST, damage.detail)

    def _encode_rest_of_sound(self, video: MediaStream, end: float = math.inf) -> bool:
        """Encode the sound up to a time (seconds), with silence for what has errors; return whether there is any."""
        try:
            return self._encode_sound(video, end, tolerant=True)
        except LostSoundError:
            return False

    def _encode_prefix(self, stream: MediaStream, failure: RejectedError) -> EncodedVideo:
        """Re-encode a damaged video up to the first error of its video stream, ignoring errors of its sound.

        Raises:
            RejectedError: too little of it decodes; has the reason of `failure`.
        """
        config = self.config
        num_frames, prefix_s = decodable_prefix(self.source, stream.index)
        source_s = read_expected_end(self.source, stream.header, MAX_STALL_S)
        if num_frames == 0 or prefix_s < max(config.least_s, config.least_share * source_s):
            raise RejectedError(
                failure.reason,
                f"{failure.detail}; of {source_s:.1f} s, {prefix_s:.1f} s decode before the first error, less than "
                f"config: reencode.least_share = {config.least_share:g} or reencode.least_s = {config.least_s:g}",
            )
        has_sound = self._encode_rest_of_sound(stream, prefix_s)
        encoded = self._encode_frames(stream, has_sound, num_frames)
        return replace(encoded, damage=Damage(source_s, failure.reason, failure.detail))

    def _read_frames(self, stream: MediaStream, *, tolerant: bool) -> Generator[TimedPixels, None, None]:
        companion = None if isinstance(self._audio, DecodeError) else self._audio
        return iter_pixels(
            self.source,
            stream,
            Yuv420p("unknown", "unknown"),
            companion=companion,
            filters=build_filters(self.config.short_side),
            tolerant=tolerant,
            timeout_s=MAX_STALL_S,
        )

    def _encode_frames(
        self, stream: MediaStream, has_sound: bool, num_source_frames: int | None = None
    ) -> EncodedVideo:
        """Write the output.

        Args:
            stream: the video stream.
            has_sound: copy the encoded sound.
            num_source_frames: encode so many frames of the source, before its first error; None encodes all.

        Raises:
            DecodeError: the source has errors.
            EncoderError: the output does not show the frames that were encoded.
        """
        config = self.config
        pictures = find_picture_format(stream)
        command = build_video_command(self.target, config, pictures, self.sound if has_sound else None)
        num_frames = 0
        with (
            closing(self._read_frames(stream, tolerant=num_source_frames is not None)) as frames,
            FfmpegEncoder(self.source, self.target, command, self.deadline) as encoder,
        ):
            for frame, count in count_repeats(islice(frames, num_source_frames), Fraction(config.fps)):
                num_frames += count
                for _ in range(count):
                    encoder.write(frame.pixels)
            encoder.finish()
        _check_output(self.target, num_frames, config.fps)
        return EncodedVideo(num_frames, pictures.width, pictures.height, has_sound, None)

    def _encode_sound(self, video: MediaStream, end: float = math.inf, *, tolerant: bool = False) -> bool:
        """Encode the sound up to a time (seconds); return whether there is any.

        Raises:
            DamagedError: it has an error, and `tolerant` is false.
            LostSoundError: nothing of it can be used.
        """
        try:
            if isinstance(self._audio, DecodeError):
                raise self._audio
            stream = self._audio
            num_channels, rate = find_sound_format(stream)
            channels: Literal[1, 2] = 2 if num_channels == 2 else 1
            samples = iter_channels(
                self.source,
                stream,
                rate,
                companion=video,
                channels=channels,
                tolerant=tolerant,
                timeout_s=MAX_STALL_S,
            )
            command, rest = build_sound_command(self.sound, channels, rate), max(0.0, end) * rate
            with closing(samples), FfmpegEncoder(self.source, self.sound, command, self.deadline) as encoder:
                for part in samples:
                    encoder.write(part if len(part) <= rest else part[: round(rest)])
                    rest -= len(part)
                    if rest <= 0:
                        break
                encoder.finish()
        except NoAudioError:
            return False
        except DecodeError as error:
            is_damage = isinstance(error, DamagedError) and not tolerant
            if is_damage or isinstance(error, KilledDecoderError):
                raise
            raise LostSoundError(str(error)) from None
        return True


def _check_output(target: Path, num_frames: int, fps: int) -> None:
    """Decode the output completely and check that frame i is shown at i / fps seconds.

    Raises:
        EncoderError: it cannot be decoded, or a frame is missing or has another time.
    """
    try:
        frame_times = list(iter_frame_times(target))
    except DecodeError as error:
        raise EncoderError(f"the output cannot be read: {error}") from None
    if len(frame_times) != num_frames:
        raise EncoderError(f"{len(frame_times)} of {num_frames} frames of the output can be read")
    for index, frame_time in enumerate(frame_times):
        if abs(frame_time - index / fps) > TIME_TOLERANCE_S:
            raise EncoderError(f"frame {index} of the output is shown at {frame_time:.3f} s")
