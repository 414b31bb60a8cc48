"""Videos that a run ended on: which one it was, and whether the decoder can be trusted with it.

A decoder that crashes takes the whole process with it. The video that is being decoded is therefore always written
down; where that is still there when the next run begins, the video is first played in a process of its own.
"""

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.features.extraction.sources import Source
from pipeline.features.extraction.window_reader import Reason
from pipeline.io.worker import Apart, CrashedError
from pipeline.video.decode import DecodeError
from pipeline.video.stream import Pixels, sound, timed
from pipeline.video.transcode import FROM_OUTSIDE

NAME = "reading.txt"
_HEARD = 16_000
"""Samples per second."""
_LONGEST_S = 24 * 3600.0
"""Of a film that is played. One that gives nothing is ended much sooner."""


class Marker:
    """The id of the video that is being decoded, in a file in each of some folders, in a `with` block.

    Whoever leaves the block, by an error too, takes the files along; who is killed does not.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._files = [folder / NAME for folder in folders]

    def __enter__(self) -> "Marker":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.unlink(missing_ok=True)

    def left(self) -> set[str]:
        """Videos that an earlier run was reading when it was ended."""
        return {file.read_text(encoding="utf-8") for file in self._files if file.is_file()}

    def set(self, source: Source) -> None:
        """This is the video that is decoded now."""
        with contextlib.suppress(OSError):  # a full disk is told where features are written
            for file in self._files:
                file.write_text(source.video, encoding="utf-8")


def suspicion(source: Source, timeout_s: float) -> Reason | None:
    """Play a video in a process of its own.

    Args:
        source: the video.
        timeout_s: as for `play`.

    Returns:
        why it must be left out; None if it is not to blame (what else may be wrong with it is found when it is read).

    Raises:
        PipelineError: the process was killed from outside, by the system when memory ends, say.
    """
    with Apart(play) as apart:
        try:
            apart.call(_LONGEST_S, source.path, timeout_s)
        except CrashedError as error:
            if error.status == -signal.SIGALRM:
                return Reason("timeout", f"{source.path}: the decoder gives nothing for {timeout_s:g} s")
            if error.status in FROM_OUTSIDE:
                raise PipelineError(f"{source.path}: {error} while it was read; free memory and run again") from None
            return Reason("crash", f"{source.path}: the decoder crashes: {error}")
    return None


def play(path: Path, timeout_s: float) -> None:
    """Decode a video, picture and sound; the process is ended if nothing comes for so many seconds."""
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    with contextlib.suppress(DecodeError):
        pixels = Pixels()
        for frame in timed(path):
            pixels(frame.picture)
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
    with contextlib.suppress(DecodeError):
        for _ in sound(path, [_HEARD]):
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
    signal.setitimer(signal.ITIMER_REAL, 0)
