"""Calls in a process of their own, which may take too long or crash: decoders do both on files that are made for it.

One process serves all calls, so that it starts once; a new one takes the place of one that had to be ended.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_SPAWN = multiprocessing.get_context("spawn")
"""Not forked: a fork copies the locks, but not the threads, of libraries that have some."""


class TooLongError(Exception):
    """A call took longer than it may."""


class CrashedError(Exception):
    """The process ended during a call.

    Args:
        status: its exit status, negative for a signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        name = f"signal {signal.Signals(-self.status).name}" if self.status < 0 else f"status {self.status}"
        return f"the process ended with {name}"


class ForeignError(Exception):
    """What a call raised or returned cannot be sent from process to process; says what it was. Our own fault."""


class Apart(Generic[P, R]):
    """A function that runs in another process, together with all that it starts.

    Args:
        function: of a module; it, its arguments, what it returns and raises are sent from process to process.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        self._process: multiprocessing.context.SpawnProcess | None = None
        self._line: Connection | None = None

    def __enter__(self) -> "Apart[P, R]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def call(self, limit_s: float, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function.

        Args:
            limit_s: seconds after which the process and its children are killed.
            args: the function's.
            kwargs: the function's.

        Raises:
            TooLongError: it was killed.
            CrashedError: it ended otherwise.
            ForeignError: what the function raised or returned cannot be told in another way.
        """
        line = self._line or self._start()
        try:
            line.send((args, kwargs))
            if not line.poll(limit_s):
                self._end()
                raise TooLongError
            good, answer = line.recv()
        except (EOFError, ConnectionError):
            process = self._process
            assert process is not None
            process.join()
            status = process.exitcode or 0
            self._end()
            raise CrashedError(status) from None
        except BaseException:
            self._end()  # by Ctrl-C, say: the process is of another group and does not see it
            raise
        if good:
            result: R = answer
            return result
        raise answer

    def _start(self) -> Connection:
        self._line, other = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(other, self._function), daemon=True)
        self._process.start()
        other.close()
        try:
            self._line.recv()  # starting may take long on a busy machine and is nobody's fault
        except EOFError:
            self._end()
            raise ForeignError(f"a process for {self._function.__qualname__} did not start") from None
        return self._line

    def _end(self) -> None:
        if self._process is None or self._line is None:
            return
        self._line.close()
        if self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it and its children are gone
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join()
        self._process.close()
        self._process = self._line = None


def _serve(line: Connection, function: Callable[..., Any]) -> None:
    """Answer calls until the other side closes the line or ends."""
    os.setpgrp()  # so that what the function starts can be killed with it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    line.send(None)
    while True:
        try:
            args, kwargs = line.recv()
        except EOFError:
            return
        try:
            answer = (True, function(*args, **kwargs))
        except Exception as error:
            answer = (False, error)
        try:
            line.send_bytes(_packed(answer))
        except BrokenPipeError:
            return  # nobody waits for it any more


def _packed(answer: tuple[bool, Any]) -> bytes:
    """An answer that can be read on the other side: what cannot is told in words, with where it came from."""
    try:
        packed = bytes(ForkingPickler.dumps(answer))
        ForkingPickler.loads(packed)  # some errors can be written, but not read again
    except Exception as trouble:
        told = "".join(traceback.format_exception(answer[1])) if isinstance(answer[1], BaseException) else repr(answer)
        packed = bytes(ForkingPickler.dumps((False, ForeignError(f"{told}\n({trouble})"))))
    return packed


def _end_with_parent() -> None:
    """Kill this process and what it started, once nobody is there who would look at the result."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)
