"""One run of ffmpeg, whose output is read while it works.

A process of its own keeps the crashes and hangs of decoders away from ours. Its messages hold the time of each frame,
and what is wrong with the file. A thread reads them, so that ffmpeg never waits until we do.
"""

import io
import math
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from pipeline.errors import PipelineError
from pipeline.io.pipe_reader import PipeReader
from pipeline.io.worker import KILLED_STATUSES
from pipeline.video.decode import DecodeError
from pipeline.video.ffmpeg import find_ffmpeg

MAX_LINES = 1000
"""Number of messages of each kind that are kept: a damaged file may cause millions."""
ERROR_RATE_STATUS = 69
"""Exit status of ffmpeg if more packets than `-max_error_rate` allows are refused by their decoder."""

_FRAME_TEXTS = (" pts_time:", " config in time_base:", "color_range:")
"""Texts in what the filters `showinfo` and `ashowinfo` print, each printed at once, but without the end of the line."""
_DECODER_ERRORS = ("Error submitting packet to decoder", "Decoding error:", "Error while decoding stream")
"""Messages of ffmpeg, of different versions, for a packet that its decoder refuses."""
_TRUNCATED = ("File ended prematurely", "partial file", "Truncating packet")
"""Messages of ffmpeg's demuxers for a truncated file."""
_READING_ERRORS = ("Error during demuxing",)
_INVALID = ("Invalid data found",)
_TOO_OLD = ("Unrecognized option", "Option not found")
_PROBLEMS = {
    "moov atom not found": "it has no index, so it is incomplete or no video",
    "Invalid data found": "ffmpeg recognises no video in it",
    "No such file": "there is no such file",
    "Permission denied": "there is no permission to read it",
    "Is a directory": "it is a folder",
    "reinitializing filters": "its format changes",
    "exceeds specified max pixel count": "its frames are too large",
}
"""What messages of ffmpeg mean for a user."""
_NO_DECODER = re.compile(r"(?:no decoder found for: |Decoder \(codec )(\w+)")
_ERROR = re.compile(r"\[(?:error|fatal)\] (.*)")


class DamagedError(DecodeError):
    """A file that starts well but has errors or is truncated."""


class TruncatedError(DamagedError):
    """A file that ends before its header says."""


class StalledDecoderError(DecodeError):
    """A file whose decoder hangs."""


class CrashedDecoderError(DecodeError):
    """A file whose decoder crashes."""


class KilledDecoderError(DecodeError):
    """A file whose decoder was killed from outside, for example because memory ran out."""


class FfmpegPipe:
    """A run of ffmpeg; a context manager, which kills ffmpeg at its end.

    Args:
        path: the file that ffmpeg reads, for messages.
        arguments: arguments of ffmpeg; what it writes to `pipe:1` is read here.
        timeout_s: longest time to wait for the next output, seconds.
        strict: kill ffmpeg when a decoder refuses a packet.
    """

    def __init__(
        self, path: Path, arguments: Sequence[str], *, timeout_s: float = math.inf, strict: bool = False
    ) -> None:
        self._path, self._timeout_s, self._strict = path, timeout_s, strict
        self.header: list[str] = []
        """Lines about the file and its streams."""
        self.errors: list[str] = []
        """Messages of errors."""
        self.has_decoder_error = False
        """Whether a decoder refused a packet."""
        self._frame_lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        command = [str(find_ffmpeg()), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        assert isinstance(self._process.stdout, io.FileIO)
        assert isinstance(self._process.stderr, io.FileIO)
        self._output = self._process.stdout
        self._reader = PipeReader(self._output, timeout_s)
        self._thread = threading.Thread(target=self._sort_messages, args=(self._process.stderr,), daemon=True)
        self._thread.start()

    def __enter__(self) -> "FfmpegPipe":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._output.close()
        self._finish()

    def next_frame_line(self) -> str | None:
        """Return the next line of `showinfo` or `ashowinfo`; None after the last one.

        Raises:
            StalledDecoderError: nothing came in time.
        """
        try:
            return self._frame_lines.get(timeout=None if math.isinf(self._timeout_s) else self._timeout_s)
        except queue.Empty:
            raise self._stalled() from None

    def read_into(self, buffer: memoryview) -> bool:
        """Fill a buffer with output; return whether there was enough.

        Raises:
            StalledDecoderError: nothing came in time.
        """
        try:
            return self._reader.read_into(buffer)
        except TimeoutError:
            raise self._stalled() from None

    def check_no_output(self) -> None:
        """Check that there is no output that no line of `showinfo` or `ashowinfo` announced.

        Raises:
            PipelineError: there is some, so its time is not known.
        """
        if not self._process.poll() and self._output.read(1):
            raise PipelineError(f"{self._path}: {find_ffmpeg()} prints other messages than expected; install ffmpeg 9")

    def read_lines(self) -> list[str]:
        """Read the whole output as text.

        Raises:
            StalledDecoderError: nothing came in time.
        """
        try:
            output = b"".join(iter(self._reader.read_part, b""))
        except TimeoutError:
            raise self._stalled() from None
        return output.decode(errors="replace").splitlines()

    def check_end(self, medium: str, end: Fraction) -> None:
        """Wait for the end of ffmpeg, and check that it read the whole file; see also `has_decoder_error`.

        Args:
            medium: what is decoded, for messages: `picture` or `sound`.
            end: how far it was decoded, seconds.

        Raises:
            CrashedDecoderError: ffmpeg crashed.
            KilledDecoderError: ffmpeg was killed from outside.
            TruncatedError: the file is truncated.
            DamagedError: it cannot be read to its end.
            PipelineError: ffmpeg is too old.
        """
        status = self._finish()
        if self._strict and self.has_decoder_error:
            return  # it was killed here
        if status in KILLED_STATUSES:
            raise KilledDecoderError(f"{self._path}: ffmpeg was killed (status {status}); free memory and run again")
        if status < 0:
            raise CrashedDecoderError(f"{self._path}: ffmpeg crashed on this file ({signal.Signals(-status).name})")
        if too_old := self._find_error(_TOO_OLD):
            raise PipelineError(f"{find_ffmpeg()}: is too old ({too_old}); install ffmpeg 5.1 or newer, or remove it")
        self.check_not_truncated()
        if self._strict and status == ERROR_RATE_STATUS:
            self.has_decoder_error = True
            return
        if status or self._find_error(_READING_ERRORS):
            problem = "its data are damaged" if self._find_error(_INVALID) else self.describe_error()
            raise DamagedError(f"{self._path}: its {medium} cannot be read beyond {float(end):.1f} s ({problem})")

    def check_not_truncated(self) -> None:
        """Wait for the end of ffmpeg, and check that the file does not end too early.

        Raises:
            TruncatedError: it does.
        """
        self._finish()
        if self._find_error(_TRUNCATED):
            raise TruncatedError(f"{self._path}: truncated; download or copy it again")

    def describe_error(self) -> str:
        """Return what is wrong with the file, in words; call it after the end."""
        for line in self.errors:
            if codec := _NO_DECODER.search(line):
                return f"ffmpeg has no decoder for {codec[1]}"
        texts = (text for message, text in _PROBLEMS.items() if self._find_error([message]))
        return next(texts, self.errors[-1] if self.errors else f"ffmpeg ended with status {self._process.returncode}")

    def _find_error(self, messages: Sequence[str]) -> str | None:
        return next((line for line in self.errors if any(message in line for message in messages)), None)

    def _finish(self) -> int:
        status = self._process.wait()
        self._thread.join()
        return status

    def _stalled(self) -> StalledDecoderError:
        return StalledDecoderError(f"{self._path}: decoding timed out after {self._timeout_s:g} s")

    def _sort_messages(self, messages: io.FileIO) -> None:
        """Read the messages until ffmpeg ends.

        Several threads of ffmpeg print. What a thread prints at once is never torn apart. But another thread may end
        its line, or leave out the start of the next line. So texts are looked for anywhere in a line.
        """
        with io.BufferedReader(messages) as lines:
            for raw_line in lines:
                line = raw_line.decode(errors="replace").rstrip()
                if any(text in line for text in _FRAME_TEXTS):
                    self._frame_lines.put(line)
                elif len(self.header) < MAX_LINES:
                    self.header.append(line.split("] ", 1)[-1])
                if match := _ERROR.search(line):
                    self._add_error(match[1])
                elif any(text in line for text in (*_DECODER_ERRORS, *_TRUNCATED, *_READING_ERRORS)):
                    self._add_error(line)
        self._frame_lines.put(None)

    def _add_error(self, message: str) -> None:
        if len(self.errors) < MAX_LINES:
            self.errors.append(message)
        if any(text in message for text in _DECODER_ERRORS):
            self.has_decoder_error = True
            if self._strict:
                self._process.kill()
