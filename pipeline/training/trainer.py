"""The loop over epochs: seeded per epoch, resumable after each, keeping the weights that selection wants."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.config.base import Section
from pipeline.io.atomic import sha256
from pipeline.provenance.code_hash import stamp
from pipeline.training.checkpoints import Saves
from pipeline.training.log import MetricsLog, Progress
from pipeline.training.seeds import seed_all

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Selected:
    """The weights that are kept.

    Attributes:
        epoch: after how many epochs; 0 is before the first.
        score: what they scored, None where the last epoch is kept whatever it scores.
        weights: the module's state, on the CPU.
    """

    epoch: int
    score: float | None
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Validation:
    """How a module is looked at between epochs.

    Attributes:
        measure: gives metrics; leaves the module as it was.
        every: epochs between two looks; the last epoch is always looked at.
        select: the metric whose largest value decides which epoch is kept (the earliest of equals), None
            keeps the last epoch.
        before: whether to look before the first epoch too, as a candidate.
    """

    measure: Callable[[], Metrics]
    every: int = 1
    select: str | None = None
    before: bool = False


def identity(stage: str, section: Section, inputs: list[Path], **others: str | int) -> dict[str, str]:
    """What a training run depends on: its settings, its code, its inputs, and what else is given (a seed)."""
    digest = hashlib.sha256("\n".join(sha256(path) for path in inputs).encode()).hexdigest()
    code = stamp(f"pipeline.{stage}")
    return {"config": section.digest(), "code": code, "inputs": digest} | {
        name: str(value) for name, value in others.items()
    }


class Within:
    """The state of an epoch that is not over: what a long one keeps, so that a kill costs steps and no epoch.

    Args:
        epochs: the run.
        epoch: the number of the epoch.
        begun: what the epoch had kept when the run was stopped.
    """

    def __init__(self, epochs: "Epochs", epoch: int, begun: dict[str, Any] | None) -> None:
        self._epochs, self._epoch, self._begun = epochs, epoch, begun

    def load(self) -> dict[str, Any] | None:
        """What was last kept of this epoch, None at its start. Module, optimizer and torch's generator are as then."""
        return self._begun

    def save(self, kept: dict[str, Any]) -> None:
        """Keep the module, the optimizer, torch's generator, and besides what the epoch needs to go on from here.

        Args:
            kept: tensors and plain data.
        """
        self._epochs.keep({"epoch": self._epoch, "generator": torch.get_rng_state(), "kept": kept})


class Epochs:
    """A training run.

    Args:
        module: what is trained; holds the weights of the last epoch afterwards.
        optimizer: over its parameters.
        state: where the run is kept after each epoch; a run found there is gone on with.
        metrics: the JSON-lines file of metrics; None in processes that only help the first.
        seeds: keys that every epoch's randomness is derived from, together with the epoch's number.
        before: metrics of earlier runs of the same search, which stand first in the file.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        state: Saves,
        metrics: Path | None,
        seeds: tuple[str | int, ...],
        before: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.module, self.optimizer, self.state, self.seeds = module, optimizer, state, seeds
        self.log = MetricsLog(metrics, before)
        self.done = 0
        self.selected: Selected | None = None
        self._began, self._before_s = time.monotonic(), 0.0
        self.within = Within(self, 1, None)
        self._begun: dict[str, Any] | None = None
        self._resume()

    def run(self, epochs: int, train: Callable[[int], Metrics], validation: Validation | None = None) -> Selected:
        """Train up to `epochs` epochs.

        Args:
            epochs: numbered from 1.
            train: trains the epoch of that number and gives its metrics; randomness from torch's global
                generator or derived from the epoch, so that an epoch depends on nothing but the state before
                it. A long one keeps its state by `within` on the way, and begins from what that holds.
            validation: how to look at the module.
        """
        if validation and validation.before and self.selected is None and self.done == 0:
            self._close(0, {}, validation)
        progress = Progress("epochs", epochs - self.done)
        for epoch in range(self.done + 1, epochs + 1):
            seed_all(*self.seeds, epoch)
            self.within = Within(self, epoch, self._restored())
            row = train(epoch)
            look = validation and (epoch % validation.every == 0 or epoch == epochs)
            self._close(epoch, row, validation if look else None, keep=not (validation and validation.select))
            progress.step()
        assert self.selected is not None
        return self.selected

    @property
    def seconds(self) -> float:
        """Time that the run has taken, in all the jobs that it took; what a killed job did in vain is not counted."""
        return self._before_s + time.monotonic() - self._began

    def _close(self, epoch: int, row: Metrics, validation: Validation | None, *, keep: bool = False) -> None:
        """End an epoch: look, select, log, save."""
        found = validation.measure() if validation else {}
        score = found[validation.select] if validation and validation.select else None
        if keep or (score is not None and self._better(score)):
            self.selected = Selected(epoch, score, copy_of(self.module))
        self.done = epoch
        self.log.append({"epoch": epoch, **row, **found})
        self.keep(None)

    def keep(self, within: dict[str, Any] | None) -> None:
        """Save the run, and with it the state of the epoch that it is in, if it is in one."""
        self.state.save(self._packed() | {"within": within})

    def _restored(self) -> dict[str, Any] | None:
        """What the epoch that was interrupted had kept, once; the generator goes on where it was."""
        begun, self._begun = self._begun, None
        if begun is None:
            return None
        torch.set_rng_state(begun["generator"])
        kept: dict[str, Any] = begun["kept"]
        return kept

    def _better(self, score: float) -> bool:
        return self.selected is None or self.selected.score is None or score > self.selected.score

    def _packed(self) -> dict[str, Any]:
        kept = self.selected
        return {
            "epoch": self.done,
            "module": copy_of(self.module),
            "optimizer": self.optimizer.state_dict(),
            "rows": self.log.rows,
            "seconds": self.seconds,
            "selected": kept and {"epoch": kept.epoch, "score": kept.score, "weights": kept.weights},
        }

    def _resume(self) -> None:
        saved = self.state.load()
        if saved is None:
            return
        self.done = saved["epoch"]
        self.module.load_state_dict(saved["module"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.selected = Selected(**saved["selected"]) if saved["selected"] else None
        self._begun, self._before_s = saved["within"], saved["seconds"]
        logging.info("resuming %s epoch %d", *(("in", self.done + 1) if self._begun else ("after", self.done)))
        self.log.restore(saved["rows"])


def copy_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's state on the CPU, detached from what training does next."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
