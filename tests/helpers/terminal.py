"""Programs that run in a terminal, and what its screen shows."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

TOKEN = re.compile(r"\033\[(\d*)([A-Za-z])|\r|\n|[^\033\r\n]+|\033\[[0-9;]*[A-Za-z]")


class Screen:
    """A terminal of a width, as high as its content: text, lines, the cursor up, and what is erased.

    Args:
        columns: its width.

    Attributes:
        lines: the text of each line.
        num_wrapped: number of lines that did not fit into the width and were continued on the next line.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.num_wrapped = 0
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        """Show the output of a program."""
        for match in TOKEN.finditer(text):
            token, number, command = match[0], match[1], match[2]
            if token == "\r":
                self._column = 0
            elif token == "\n":
                self._next_line()
            elif command == "A":
                self._row = max(0, self._row - int(number or 1))
            elif command == "J":
                self.lines[self._row :] = [self.lines[self._row][: self._column]]
            elif command == "K":
                self.lines[self._row] = self.lines[self._row][: self._column]
            elif not token.startswith("\033"):
                for character in token:
                    self._put(character)

    def _put(self, character: str) -> None:
        if self._column == self.columns:
            self.num_wrapped += 1
            self._next_line()
            self._column = 0
        line = self.lines[self._row].ljust(self._column)
        self.lines[self._row] = f"{line[: self._column]}{character}{line[self._column + 1 :]}"
        self._column += 1

    def _next_line(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")


class TerminalProgram:
    """A program in a terminal of its own, which receives Ctrl-C as from a keyboard.

    Args:
        command: the program and its arguments.
        folder: its working folder.
        columns: width of the terminal.
        rows: height of the terminal.
        environment: its environment.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, columns: int, rows: int, environment: dict[str, str]
    ) -> None:
        self._main, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        self.output = ""
        self.columns = columns

    def __enter__(self) -> "TerminalProgram":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._main)

    def screen(self) -> Screen:
        """Return what the terminal shows."""
        screen = Screen(self.columns)
        screen.feed(self.output)
        return screen

    def wait_for(self, condition: Callable[[Screen], bool], timeout_s: float = 60.0) -> Screen:
        """Wait until the screen fulfils a condition; return the screen.

        Raises:
            AssertionError: it does not within the time, or the program has ended.
        """
        end = time.monotonic() + timeout_s
        while not condition(screen := self.screen()):
            assert time.monotonic() < end, f"the screen shows after {timeout_s} s:\n" + "\n".join(screen.lines)
            assert self._read(), "the program has ended; the screen shows:\n" + "\n".join(screen.lines)
        return screen

    def wait(self) -> Screen:
        """Wait for the end of the program; return the last screen."""
        while self._read():
            pass
        self.process.wait(timeout=60)
        return self.screen()

    def interrupt(self) -> None:
        """Press Ctrl-C: all programs of the terminal receive SIGINT."""
        os.killpg(self.process.pid, signal.SIGINT)

    def _read(self) -> bool:
        """Read more output, at most for a second; return False at its end."""
        if select.select([self._main], [], [], 1.0)[0]:
            try:
                chunk = os.read(self._main, 1 << 16)
            except OSError:  # on Linux, the end of the program is an error
                return False
            self.output += chunk.decode()
            return bool(chunk)
        return self.process.poll() is None
