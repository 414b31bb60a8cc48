"""Reading the output of another process, with a time limit for each part."""

import contextlib
import fcntl
import io
import math
import select

PIPE_BYTES = 2**20
"""Size of the pipe: more than the usual 64 KiB saves switches between the processes."""


class PipeReader:
    """The end of a pipe from which the output of a process is read.

    Args:
        pipe: the end of the pipe.
        timeout_s: longest time to wait for the next output, seconds.
    """

    def __init__(self, pipe: io.FileIO, timeout_s: float = math.inf) -> None:
        self.timeout_s = timeout_s
        self._pipe = pipe
        with contextlib.suppress(OSError, AttributeError):  # the system allows less, or is not Linux
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(pipe.fileno(), select.POLLIN)

    def read_into(self, buffer: memoryview) -> bool:
        """Fill a buffer; return whether there was enough.

        Raises:
            TimeoutError: nothing came in time.
        """
        count = 0
        while count < len(buffer):
            self._wait()
            num_read = self._pipe.readinto(buffer[count:])
            if not num_read:
                return False
            count += num_read
        return True

    def read_part(self, size: int = PIPE_BYTES) -> bytes:
        """Read what there is; nothing at the end.

        Args:
            size: at most so many bytes.

        Raises:
            TimeoutError: nothing came in time.
        """
        self._wait()
        return self._pipe.read(size) or b""

    def _wait(self) -> None:
        if not self._poll.poll(None if math.isinf(self.timeout_s) else self.timeout_s * 1000):
            raise TimeoutError
