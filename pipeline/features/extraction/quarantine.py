"""Re-encoded videos that an earlier run died on: which video it was, and a check of it in a subprocess.

Re-encoded videos are decoded in this process, and a decoder that crashes takes its process with it. The id of the video
that is being decoded is therefore always on disk. If it is still there at the start of the next run, that video is
first decoded in a subprocess. Raw videos need no check: ffmpeg decodes each in a process of its own.
"""

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.extraction.windows import Rejection
from pipeline.io.worker import KILLED_STATUSES, CrashedError, SubprocessWorker
from pipeline.video.decode import DecodeError
from pipeline.video.reencoded_stream import iter_needed_frames, iter_reencoded_audio

MARKER = "reading.txt"
"""Name of the file with the id of the video that is being decoded."""
_SAMPLE_RATE = 16_000
"""Samples per second."""
_MAX_CALL_S = 24 * 3600.0
"""Longest time to decode one video, seconds. A decoder that hangs is stopped much sooner."""


class InProgressMarker:
    """The id of the video that is being decoded, in a file in each of some folders; a context manager.

    The files are removed at the end of the block, also after an exception. They remain if the process is killed.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._files = [folder / MARKER for folder in folders]

    def __enter__(self) -> "InProgressMarker":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.unlink(missing_ok=True)

    def leftovers(self) -> set[str]:
        """Return the videos that an earlier run was decoding when it was killed."""
        return {file.read_text(encoding="utf-8") for file in self._files if file.is_file()}

    def set(self, source: VideoSource) -> None:
        """Note the video that is decoded from now on."""
        with contextlib.suppress(OSError):  # a full disk is reported where features are written
            for file in self._files:
                file.write_text(source.video, encoding="utf-8")


def timeout_rejection(path: Path, timeout_s: float) -> Rejection:
    """Return the rejection of a video whose decoder hangs."""
    return Rejection("timeout", f"{path}: decoding timed out after {timeout_s:g} s")


def check_in_subprocess(source: VideoSource, timeout_s: float) -> Rejection | None:
    """Decode a video in a subprocess.

    Args:
        source: the video.
        timeout_s: longest time without a new frame, seconds.

    Returns:
        why the video must be left out; None if its decoder neither hangs nor crashes (other errors are found when it
        is read).

    Raises:
        PipelineError: the subprocess was killed from outside, for example because memory ran out.
    """
    with SubprocessWorker(decode_all) as worker:
        try:
            worker.call(_MAX_CALL_S, source.path, timeout_s)
        except CrashedError as error:
            if error.status == -signal.SIGALRM:
                return timeout_rejection(source.path, timeout_s)
            if error.status in KILLED_STATUSES:
                raise PipelineError(f"{source.path}: {error} during decoding; free memory and run again") from None
            return Rejection("crash", f"{source.path}: the decoder crashed: {error}")
    return None


def decode_all(path: Path, timeout_s: float) -> None:
    """Decode the frames and the sound of a file; SIGALRM ends the process if nothing comes for `timeout_s` seconds."""
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    with contextlib.suppress(DecodeError):
        for _ in iter_needed_frames(path, lambda _: True):
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
    with contextlib.suppress(DecodeError):
        for _ in iter_reencoded_audio(path, _SAMPLE_RATE):
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
    signal.setitimer(signal.ITIMER_REAL, 0)
