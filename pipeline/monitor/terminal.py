"""Lines at the bottom of a terminal that are drawn again in place, while other output scrolls above them."""

import os
import re
import threading
from typing import TextIO

COLOUR = re.compile(r"\033\[[0-9;]*m")
"""Escape sequence that sets a colour."""


class LiveTerminal:
    """A terminal with lines at its bottom that can be replaced. Written text goes above them.

    It stands in for the stream in a handler of the logging module: `write` and `flush`.

    Args:
        stream: the terminal.
        has_colour: whether written text keeps its colours.
    """

    def __init__(self, stream: TextIO, *, has_colour: bool) -> None:
        self.stream = stream
        self._has_colour = has_colour
        self._lines: list[str] = []
        self._is_visible = False
        self._lock = threading.RLock()

    def isatty(self) -> bool:
        """Return True, as the terminal does."""
        return True

    def size(self) -> tuple[int, int]:
        """Return the columns and the rows of the terminal; 80 and 24 where it does not tell them."""
        size = os.get_terminal_size(self.stream.fileno())
        return size.columns or 80, size.lines or 24

    def write(self, text: str) -> None:
        """Write text above the lines; the next `flush` shows the lines again."""
        with self._lock:
            self._erase()
            self.stream.write(text if self._has_colour else COLOUR.sub("", text))

    def flush(self) -> None:
        """Show what was written, and the lines."""
        with self._lock:
            self.draw(self._lines)

    def draw(self, lines: list[str]) -> None:
        """Replace the lines at the bottom.

        Args:
            lines: none of them wider than the terminal; empty: show none.
        """
        with self._lock:
            self._erase()
            self._lines = lines
            self.stream.write("".join(f"{line}\n" for line in lines))
            self._is_visible = bool(lines)
            self.stream.flush()

    def _erase(self) -> None:
        """Erase the visible lines; the cursor stands where the first one was."""
        if self._is_visible:
            columns, _ = self.size()  # after a change of the width, a line may take several rows
            rows = sum(max(1, -(-len(line) // columns)) for line in self._lines)
            self.stream.write(f"\033[{rows}A\r\033[J")
            self._is_visible = False
