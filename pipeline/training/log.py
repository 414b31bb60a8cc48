"""Output of a training run: a progress bar or a log line per minute, and a JSON line of metrics per epoch."""

import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.io.atomic import write_text

BAR_INTERVAL_S = 0.2
"""Seconds between two updates of the bar."""
BAR_WIDTH = 30
"""Width of the bar, characters."""


class MetricsLog:
    """Metrics as JSON lines, one per epoch; the file is rewritten whole, so it never holds half a line.

    Where TensorBoard is installed, it receives the metrics too, in the folder `<name>.tensorboard` next to the file.

    Args:
        path: the file; None writes nothing, for processes other than the first.
        earlier_rows: metrics of earlier runs, which come first in the file.
    """

    def __init__(self, path: Path | None, earlier_rows: Sequence[dict[str, Any]] = ()) -> None:
        self.path, self._earlier_rows = path, earlier_rows
        self._tensorboard: Any = None
        self.rows: list[dict[str, Any]] = []

    def append(self, row: dict[str, Any]) -> None:
        """Write and log the metrics of one epoch."""
        self.restore([*self.rows, row])
        if self.path is None:
            return
        self._tensorboard = self._tensorboard or _tensorboard_writer(self.path)
        if self._tensorboard is not None:
            for name, value in row.items():
                if isinstance(value, float):
                    self._tensorboard.add_scalar(name, value, len(self._earlier_rows) + len(self.rows))
            self._tensorboard.flush()
        logging.info(
            " ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )

    def restore(self, rows: list[dict[str, Any]]) -> None:
        """Set the rows of a resumed run, and write the file, which may have been deleted with the outputs."""
        self.rows = list(rows)
        if self.path is not None:
            lines = [json.dumps(row) + "\n" for row in [*self._earlier_rows, *self.rows]]
            write_text(self.path, "".join(lines))


class Progress:
    """Progress of a long loop: a bar on a terminal, otherwise one log line per interval.

    Args:
        description: what the loop counts.
        total: number of items.
        interval_s: seconds between two lines.
    """

    def __init__(self, description: str, total: int, interval_s: float = 60.0) -> None:
        self.description, self.total = description, total
        self._bar = sys.stderr.isatty() and logging.getLogger().isEnabledFor(logging.INFO)  # in one process of several
        self.interval_s = min(interval_s, BAR_INTERVAL_S) if self._bar else interval_s
        self.num_done = 0
        self._start = self._last_output = time.monotonic()

    def step(self, count: int = 1) -> None:
        """Count finished items; show the progress if the interval has passed."""
        self.num_done += count
        now = time.monotonic()
        if self._bar and self.num_done >= self.total:
            print("\r\033[K", end="", file=sys.stderr, flush=True)  # erase the bar at the end
        elif now - self._last_output >= self.interval_s and self.num_done:
            self._last_output = now
            seconds_left = (now - self._start) / self.num_done * (self.total - self.num_done)
            status = f"{self.num_done} of {self.total}, about {seconds_left:.0f} s left"
            if self._bar:
                filled = BAR_WIDTH * self.num_done // self.total
                bar = "#" * filled + "." * (BAR_WIDTH - filled)
                # The cursor returns to the start of the line, so that the next line of the log overwrites the bar.
                print(f"\r{self.description} [{bar}] {status}\033[K\r", end="", file=sys.stderr, flush=True)
            else:
                logging.info("%s: %s", self.description, status)


def _tensorboard_writer(path: Path) -> Any:
    """Return a TensorBoard writer for a file of metrics, None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(path.with_suffix(".tensorboard")))
