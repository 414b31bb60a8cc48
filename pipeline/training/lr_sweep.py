"""Trying several settings one after another, of which the best run is kept; a search that is stopped goes on."""

from typing import Any

from pipeline.training.checkpoints import TrainingState
from pipeline.training.trainer import Selected


class Search:
    """Runs that are tried in turn, with the state of all of them in one place.

    It stands before the state folder: each run saves and loads through it. Of runs that are over it keeps their
    metrics, and the weights of the best.

    Args:
        state: where the search is kept.
        notes: what the runs note on their way, by key; kept with the state, and put back here.
    """

    def __init__(self, state: TrainingState, notes: dict[str, str]) -> None:
        self._state, self._notes = state, notes
        saved = state.load() or {"number": 0, "rows": [], "seconds": 0.0, "best": None, "run": None, "notes": {}}
        notes.update(saved["notes"])
        self.number: int = saved["number"]
        self.rows: list[dict[str, Any]] = saved["rows"]
        self.seconds: float = saved["seconds"]
        self._best: dict[str, Any] | None = saved["best"]
        self._run: dict[str, Any] | None = saved["run"]

    def load(self) -> dict[str, Any] | None:
        """The state of the run that is being tried, None at its beginning."""
        return self._run

    def save(self, run: dict[str, Any]) -> None:
        """Keep the state of the run that is being tried."""
        over = {"number": self.number, "rows": self.rows, "seconds": self.seconds, "best": self._best}
        self._state.save({**over, "run": run, "notes": dict(self._notes)})

    def close(self, selected: Selected, rows: list[dict[str, Any]], seconds: float) -> None:
        """End a run; of equals the earlier is kept.

        Args:
            selected: of its epochs.
            rows: its metrics.
            seconds: that it took.
        """
        row = next(row for row in rows if row["epoch"] == selected.epoch)
        if self._best is None or (selected.score or 0.0) > (self._best["score"] or 0.0):
            self._best = {"score": selected.score, "weights": selected.weights, "row": row}
        self.number, self.rows, self._run = self.number + 1, [*self.rows, *rows], None
        self.seconds += seconds

    @property
    def best(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Weights and metrics of the best epoch of all runs that are over, at least one."""
        assert self._best is not None
        return self._best["weights"], self._best["row"]
