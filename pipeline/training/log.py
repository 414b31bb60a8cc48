"""Metrics of a training run: a JSON line per epoch, and TensorBoard."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.io.atomic import write_text


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


def _tensorboard_writer(path: Path) -> Any:
    """Return a TensorBoard writer for a file of metrics, None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(path.with_suffix(".tensorboard")))
