"""A process that decodes re-encoded videos, one after the other, and sends frames and samples.

A decoder that crashes or hangs takes its process with it, but not ours: it costs its video, and the next video gets a
new process. The process is this module, run as a script. Messages and samples come through a pipe, frames through
shared memory.
"""

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from av.video.reformatter import VideoReformatter

import pipeline
from pipeline.io.pipe_reader import PipeReader
from pipeline.io.shared_slots import NUM_SLOTS, SharedSlots, create_shared_file
from pipeline.io.worker import KILLED_STATUSES
from pipeline.video.decode import DecodeError, Frame, NoVideoError
from pipeline.video.ffmpeg_pipe import CrashedDecoderError, DamagedError, KilledDecoderError, StalledDecoderError
from pipeline.video.media_streams import NoAudioError
from pipeline.video.reencoded_stream import iter_decoded_frames, iter_reencoded_audio
from pipeline.video.stream import Samples, TimedFrame

COMMAND = (sys.executable, "-m", "pipeline.video.decoder_process")
"""How the process is started; the descriptor of the shared file follows."""
ERRORS: Mapping[str, type[DecodeError]] = {
    kind.__name__: kind for kind in (DecodeError, NoVideoError, NoAudioError, DamagedError)
}
"""Errors that the process reports; all others are reported as damage."""
LENGTH_BYTES = 4
"""Size of the number before each message: its length."""
SLOT_IS_FREE = b"."
"""What is sent after a frame was taken from its slot."""

Message = dict[str, Any]


class DecoderProcess:
    """Decodes re-encoded videos in another process; a context manager, which ends the process.

    The process is started for the first video, and anew after a crash.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._file = -1
        self._reader: PipeReader | None = None
        self._slots: SharedSlots | None = None

    def __enter__(self) -> "DecoderProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def iter_frames(
        self,
        path: Path,
        indices: Collection[int],
        fps: Fraction,
        *,
        threads: int = 1,
        timeout_s: float = math.inf,
    ) -> Iterator[TimedFrame]:
        """Yield frames of a re-encoded file in display order; see `iter_decoded_frames`.

        Args:
            path: a re-encoded file.
            indices: indices of the frames.
            fps: frame rate (frames/s).
            threads: number of decoder threads; has no influence on the frames.
            timeout_s: longest time to wait for a frame, seconds.

        Raises:
            DecodeError: the file cannot be opened, or its decoder crashes or hangs.
            DamagedError: the file has an error.
        """
        request = {"path": str(path), "indices": sorted(indices), "fps": str(fps), "threads": threads}
        for message in self._iter_messages(path, request, timeout_s):
            assert self._slots is not None
            shape = message["height"], message["width"], 3
            frame = self._slots.get(message["slot"], math.prod(shape)).reshape(shape).copy()
            self._write(SLOT_IS_FREE)
            yield TimedFrame(Fraction(message["time"]), Fraction(message["duration"]), partial(_return, frame))

    def iter_audio(self, path: Path, rate: int, *, timeout_s: float = math.inf) -> Iterator[Samples]:
        """Yield the audio of a re-encoded file; see `iter_reencoded_audio` and, for more exceptions, `iter_frames`.

        Args:
            path: a re-encoded file.
            rate: sample rate (samples/s).
            timeout_s: longest time to wait for samples, seconds.

        Raises:
            NoAudioError: the file has no audio.
        """
        for message in self._iter_messages(path, {"path": str(path), "rate": rate}, timeout_s):
            samples = np.empty(message["samples"], np.float32)
            self._fill(path, samples.data.cast("B"), timeout_s)
            yield samples

    def _iter_messages(self, path: Path, request: Message, timeout_s: float) -> Iterator[Message]:
        """Send a request; yield the messages of the answer, except the last one."""
        is_complete = False
        try:
            if self._process is None:
                self._start()
            self._write(_encode(request))
            while "end" not in (message := self._receive(path, timeout_s)):
                if "error" in message:
                    is_complete = True
                    raise ERRORS[message["error"]](message["text"])
                yield message
            is_complete = True
        finally:
            if not is_complete:  # the rest of the answer would be taken for that to the next request
                self._end()

    def _start(self) -> None:
        # The package is found even if it is not installed and this process has changed its folder.
        folders = [str(Path(pipeline.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
        self._file = create_shared_file()
        self._process = subprocess.Popen(
            [*COMMAND, str(self._file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            pass_fds=[self._file],
        )
        assert isinstance(self._process.stdout, io.FileIO)
        self._reader, self._slots = PipeReader(self._process.stdout), SharedSlots(self._file)

    def _write(self, data: bytes) -> None:
        assert self._process is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; this is found when its answer is read
            _write_all(self._process.stdin, data)

    def _receive(self, path: Path, timeout_s: float) -> Message:
        length = bytearray(LENGTH_BYTES)
        self._fill(path, memoryview(length), timeout_s)
        text = bytearray(int.from_bytes(length, "big"))
        self._fill(path, memoryview(text), timeout_s)
        message: Message = json.loads(text)
        return message

    def _fill(self, path: Path, buffer: memoryview, timeout_s: float) -> None:
        """Fill a buffer with output of the process.

        Raises:
            StalledDecoderError: nothing came in time.
            CrashedDecoderError: the process has crashed.
            KilledDecoderError: the process was killed from outside.
        """
        assert self._process is not None
        assert self._reader is not None
        self._reader.timeout_s = timeout_s
        try:
            if self._reader.read_into(buffer):
                return
        except TimeoutError:
            raise StalledDecoderError(f"{path}: decoding timed out after {timeout_s:g} s") from None
        status = self._process.wait()
        if status in KILLED_STATUSES:
            raise KilledDecoderError(f"{path}: its decoder was killed (status {status}); free memory and run again")
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise CrashedDecoderError(f"{path}: the decoder crashed on this file ({name})")

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()
        os.close(self._file)
        self._process = self._reader = self._slots = None


class DecoderServer:
    """Answers requests; the other process runs it.

    Args:
        requests: for each request a JSON document after its length; then `SLOT_IS_FREE` for each frame.
        answers: for each frame or part of the sound a JSON document after its length, and the samples; at the end a
            document with the key `end` or `error`.
        slots: shared memory for frames.
    """

    def __init__(self, requests: BinaryIO, answers: io.FileIO, slots: SharedSlots) -> None:
        self._requests, self._answers, self._slots = requests, answers, slots

    def run(self) -> None:
        """Answer requests until there are no more.

        Raises:
            BrokenPipeError: nobody reads the answers.
        """
        while length := self._requests.read(LENGTH_BYTES):
            request = json.loads(self._requests.read(int.from_bytes(length, "big")))
            answer: Message = {"end": True}
            try:
                self._send_sound(request) if "rate" in request else self._send_frames(request)
            except BrokenPipeError:
                raise
            except DecodeError as error:
                name = type(error).__name__
                answer = {"error": name if name in ERRORS else DecodeError.__name__, "text": str(error)}
            except Exception as error:
                text = f"{request['path']}: the decoder failed ({type(error).__name__}: {error})"
                answer = {"error": DamagedError.__name__, "text": text}
            self._send(answer)

    def _send(self, message: Message) -> None:
        _write_all(self._answers, _encode(message))

    def _send_sound(self, request: Message) -> None:
        for samples in iter_reencoded_audio(Path(request["path"]), request["rate"]):
            self._send({"samples": len(samples)})
            _write_all(self._answers, samples.data.cast("B"))

    def _send_frames(self, request: Message) -> None:
        indices, fps = frozenset(request["indices"]), Fraction(request["fps"])
        frames = iter_decoded_frames(
            Path(request["path"]), lambda time: round(time * fps) in indices, threads=request["threads"]
        )
        converter, num_sent, num_taken = VideoReformatter(), 0, 0
        try:
            for decoded in frames:
                if num_sent - num_taken == NUM_SLOTS:
                    num_taken += len(self._requests.read(len(SLOT_IS_FREE)))
                height, width, slot = decoded.frame.height, decoded.frame.width, num_sent % NUM_SLOTS
                [plane] = converter.reformat(decoded.frame, format="rgb24", threads=1).planes
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                pixels = self._slots.get(slot, height * width * 3).reshape(height, width * 3)
                pixels[:] = rows[:height, : width * 3]
                times = {"time": str(decoded.time), "duration": str(decoded.duration)}
                self._send({**times, "slot": slot, "height": height, "width": width})
                num_sent += 1
        finally:
            self._requests.read((num_sent - num_taken) * len(SLOT_IS_FREE))


def _encode(message: Message) -> bytes:
    text = json.dumps(message).encode()
    return len(text).to_bytes(LENGTH_BYTES, "big") + text


def _return(frame: Frame) -> Frame:
    return frame


def _write_all(stream: Any, data: bytes | memoryview) -> None:
    """Write all of some data to an unbuffered stream."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


def main() -> None:
    """Run the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and then there are no more requests
    answers = io.FileIO(sys.stdout.fileno(), "wb", closefd=False)
    with contextlib.suppress(BrokenPipeError):  # the parent has ended
        DecoderServer(sys.stdin.buffer, answers, SharedSlots(int(sys.argv[-1]))).run()


if __name__ == "__main__":
    main()
