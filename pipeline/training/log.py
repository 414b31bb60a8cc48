"""What a training run says: a bar or a line a minute for people, a JSON line per epoch for machines."""

import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.io.atomic import write_text

BAR_EVERY_S = 0.2
BAR_WIDTH = 30
"""Of the bar on a terminal, characters."""


class MetricsLog:
    """Metrics as JSON lines, one per epoch; rewritten whole so that it never holds half a line.

    Where TensorBoard is installed, it gets them too, in the folder `<name>.tensorboard` beside the file.

    Args:
        path: the file; None writes nothing, in processes that only help.
        before: rows of earlier runs, which stand first in the file.
    """

    def __init__(self, path: Path | None, before: Sequence[dict[str, Any]] = ()) -> None:
        self.path, self._before = path, before
        self._board: Any = None
        self.rows: list[dict[str, Any]] = []

    def append(self, row: dict[str, Any]) -> None:
        """Add one epoch's metrics and say them in the log."""
        self.restore([*self.rows, row])
        if self.path is None:
            return
        self._board = self._board or _board(self.path)
        if self._board is not None:
            for name, value in row.items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, len(self._before) + len(self.rows))
            self._board.flush()
        logging.info(
            " ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )

    def restore(self, rows: list[dict[str, Any]]) -> None:
        """Take the rows of a run that is gone on with; the file, which may have gone with the outputs, gets them."""
        self.rows = list(rows)
        if self.path is not None:
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in [*self._before, *self.rows]))


class Progress:
    """Says how far a long loop is: a bar on a terminal, at most one line in `every_s` seconds elsewhere."""

    def __init__(self, what: str, total: int, every_s: float = 60.0) -> None:
        self.what, self.total = what, total
        self._bar = sys.stderr.isatty() and logging.getLogger().isEnabledFor(logging.INFO)  # one process of several
        self.every_s = min(every_s, BAR_EVERY_S) if self._bar else every_s
        self.done = 0
        self._start = self._said = time.monotonic()

    def step(self, count: int = 1) -> None:
        """Count items that are done; say so when it is time to."""
        self.done += count
        now = time.monotonic()
        if self._bar and self.done >= self.total:
            print("\r\033[K", end="", file=sys.stderr, flush=True)  # what is over needs no bar
        elif now - self._said >= self.every_s and self.done:
            self._said = now
            left = (now - self._start) / self.done * (self.total - self.done)
            told = f"{self.done} of {self.total}, about {left:.0f} s left"
            if self._bar:
                full = BAR_WIDTH * self.done // self.total
                drawn = "#" * full + "." * (BAR_WIDTH - full)
                # The cursor goes back to the line's start, where the next line of the log overwrites the bar.
                print(f"\r{self.what} [{drawn}] {told}\033[K\r", end="", file=sys.stderr, flush=True)
            else:
                logging.info("%s: %s", self.what, told)


def _board(path: Path) -> Any:
    """A TensorBoard writer beside a file of metrics, None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(path.with_suffix(".tensorboard")))
