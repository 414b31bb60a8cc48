"""The reasons for which a video is rejected, or only partly kept, when it is read; docs/videos.md explains them."""

from collections.abc import Mapping

from pipeline.video.decode import DecodeError, EmptyFileError, NoVideoError
from pipeline.video.ffmpeg_pipe import (
    CrashedDecoderError,
    DamagedError,
    KilledDecoderError,
    StalledDecoderError,
    TruncatedError,
)
from pipeline.video.media_streams import NoAudioError


class StillImageError(DecodeError):
    """A file of one frame, which is shown for a moment only."""


class LostSoundError(DecodeError):
    """A file of whose sound nothing can be used."""


NO_SOUND = "no_sound"
"""Reason of a video without sound, which is no fault of the file."""
SOUND_LOST = "audio_lost"
"""Reason of a re-encoded video without the sound that its source has."""
REASONS: Mapping[type[DecodeError], str] = {
    NoAudioError: NO_SOUND,
    LostSoundError: SOUND_LOST,
    NoVideoError: "no_video",
    StillImageError: "still_image",
    EmptyFileError: "empty",
    TruncatedError: "cut_short",
    DamagedError: "decode_error",
    StalledDecoderError: "timeout",
    CrashedDecoderError: "crash",
    KilledDecoderError: "killed",
}
"""Reasons of errors, a subclass before its class; that of all others is `unreadable`."""


def find_reason(error: DecodeError | OSError) -> str:
    """Return the reason of an error."""
    return next((reason for kind, reason in REASONS.items() if isinstance(error, kind)), "unreadable")
