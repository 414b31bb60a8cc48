"""Function calls in a worker process, with a time limit: decoders may hang or crash on malicious or damaged files.

One process serves all calls, because it takes long to start. A process that was killed or crashed is replaced at the
next call.
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
"""Spawn, not fork: a forked process has the locks of threaded libraries, but not the threads that release them."""

KILLED_STATUSES = (-2, -9, -15)
"""Exit statuses of a process that was interrupted, killed (for example by the out-of-memory killer) or terminated."""


class TooLongError(Exception):
    """A call exceeded its time limit."""


class CrashedError(Exception):
    """The worker process ended during a call.

    Args:
        status: its exit status, negative for a signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        name = f"signal {signal.Signals(-self.status).name}" if self.status < 0 else f"status {self.status}"
        return f"the process ended with {name}"


class TransportError(Exception):
    """The result or the exception of a call cannot be pickled: a bug of this project. Holds the traceback as text."""


class SubprocessWorker(Generic[P, R]):
    """A function that runs in another process.

    Args:
        function: a function of a module. Its arguments, results and exceptions must be picklable.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        self._process: multiprocessing.context.SpawnProcess | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> "SubprocessWorker[P, R]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def call(self, timeout_s: float, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function.

        Args:
            timeout_s: time limit (seconds), after which the process and its children are killed.
            args: positional arguments of the function.
            kwargs: keyword arguments of the function.

        Raises:
            TooLongError: the call exceeded the limit.
            CrashedError: the process ended during the call.
            TransportError: the result or the exception of the function cannot be pickled.
        """
        connection = self._connection or self._start()
        try:
            connection.send((args, kwargs))
            if not connection.poll(timeout_s):
                self._kill()
                raise TooLongError
            succeeded, answer = connection.recv()
        except (EOFError, ConnectionError):
            process = self._process
            assert process is not None
            process.join()
            status = process.exitcode or 0
            self._kill()
            raise CrashedError(status) from None
        except BaseException:
            self._kill()  # Ctrl-C does not reach the worker, which is in a process group of its own
            raise
        if succeeded:
            result: R = answer
            return result
        raise answer

    def _start(self) -> Connection:
        self._connection, child_end = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(child_end, self._function), daemon=True)
        self._process.start()
        child_end.close()
        try:
            self._connection.recv()  # the start does not count towards the time limit: a busy machine may be slow
        except EOFError:
            self._kill()
            raise TransportError(f"a process for {self._function.__qualname__} did not start") from None
        return self._connection

    def _kill(self) -> None:
        if self._process is None or self._connection is None:
            return
        self._connection.close()
        if self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):  # the whole group has ended already
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join()
        self._process.close()
        self._process = self._connection = None


def _serve(connection: Connection, function: Callable[..., Any]) -> None:
    """Answer calls until the parent closes the connection or ends."""
    os.setpgrp()  # so that the children of the function are killed with it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection.send(None)
    while True:
        try:
            args, kwargs = connection.recv()
        except EOFError:
            return
        try:
            answer = (True, function(*args, **kwargs))
        except Exception as error:
            answer = (False, error)
        try:
            connection.send_bytes(_pickle_answer(answer))
        except BrokenPipeError:
            return  # the parent has ended


def _pickle_answer(answer: tuple[bool, Any]) -> bytes:
    """Pickle an answer; replace one that cannot be pickled or unpickled by a TransportError."""
    try:
        pickled = bytes(ForkingPickler.dumps(answer))
        ForkingPickler.loads(pickled)  # some exceptions can be pickled, but not unpickled
    except Exception as error:
        is_error = isinstance(answer[1], BaseException)
        text = "".join(traceback.format_exception(answer[1])) if is_error else repr(answer)
        pickled = bytes(ForkingPickler.dumps((False, TransportError(f"{text}\n({error})"))))
    return pickled


def _end_with_parent() -> None:
    """Wait for the end of the parent, then kill this process and its children."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)
