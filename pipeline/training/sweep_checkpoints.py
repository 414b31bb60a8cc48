"""Checkpoints of a sweep over learning rates: one run after another, of which the best is kept."""

from typing import Any

from pipeline.training.checkpoints import CheckpointManager
from pipeline.training.training_loop import BestCheckpoint


class SweepCheckpoints:
    """The state of all runs of a sweep in one checkpoint folder, from which an interrupted sweep resumes.

    It is the `CheckpointStore` of each run: it wraps the state of the current run together with the metrics of the
    finished runs and the weights of the best one.

    Args:
        checkpoints: the checkpoint folder of the sweep.
        unreadable: error messages by video, which the runs fill; saved with the state, and restored into this mapping.
    """

    def __init__(self, checkpoints: CheckpointManager, unreadable: dict[str, str]) -> None:
        self._checkpoints, self._unreadable = checkpoints, unreadable
        empty: dict[str, Any] = {"rows": [], "best": None, "run": None, "unreadable": {}}
        empty |= {"num_finished": 0, "seconds": 0.0}
        state = checkpoints.load() or empty
        unreadable.update(state["unreadable"])
        self.num_finished: int = state["num_finished"]
        self.rows: list[dict[str, Any]] = state["rows"]
        self.seconds: float = state["seconds"]
        self._best: dict[str, Any] | None = state["best"]
        self._run: dict[str, Any] | None = state["run"]

    def load(self) -> dict[str, Any] | None:
        """Return the state of the current run, None at its start."""
        return self._run

    def save(self, run: dict[str, Any]) -> None:
        """Save the state of the current run."""
        finished = {"num_finished": self.num_finished, "rows": self.rows, "seconds": self.seconds, "best": self._best}
        self._checkpoints.save({**finished, "run": run, "unreadable": dict(self._unreadable)})

    def finish_run(self, best: BestCheckpoint, rows: list[dict[str, Any]], seconds: float) -> None:
        """End the current run; keep its weights if its score exceeds that of all earlier runs.

        Args:
            best: the selected checkpoint of the run.
            rows: metrics of the run, by epoch.
            seconds: training time of the run.
        """
        row = next(row for row in rows if row["epoch"] == best.epoch)
        if self._best is None or (best.score or 0.0) > (self._best["score"] or 0.0):
            self._best = {"score": best.score, "weights": best.weights, "row": row}
        self.num_finished, self.rows, self._run = self.num_finished + 1, [*self.rows, *rows], None
        self.seconds += seconds

    @property
    def best(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Weights and metrics of the best epoch of all finished runs, of which there must be one."""
        assert self._best is not None
        return self._best["weights"], self._best["row"]
