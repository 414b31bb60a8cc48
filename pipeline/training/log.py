"""What a training run says while it runs: a line a minute for people, a JSON line per epoch for machines."""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.store.atomic import write_text


class MetricsLog:
    """Metrics as JSON lines, one per epoch; rewritten whole so that it never holds half a line.

    Args:
        path: the file; None writes nothing, in processes that only help.
        before: rows of earlier runs, which stand first in the file.
    """

    def __init__(self, path: Path | None, before: Sequence[dict[str, Any]] = ()) -> None:
        self.path, self._before = path, before
        self.rows: list[dict[str, Any]] = []

    def append(self, row: dict[str, Any]) -> None:
        """Add one epoch's metrics and say them in the log."""
        self.restore([*self.rows, row])
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
    """Says how far a long loop is, at most once in `every_s` seconds."""

    def __init__(self, what: str, total: int, every_s: float = 60.0) -> None:
        self.what, self.total, self.every_s = what, total, every_s
        self.done = 0
        self._start = self._said = time.monotonic()

    def step(self, count: int = 1) -> None:
        """Count items that are done; log a line when it is time for one."""
        self.done += count
        now = time.monotonic()
        if now - self._said >= self.every_s and self.done:
            self._said = now
            left = (now - self._start) / self.done * (self.total - self.done)
            logging.info("%s: %d of %d, about %.0f s left", self.what, self.done, self.total, left)
