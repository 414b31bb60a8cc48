"""The training loop: seeded per epoch, resumable after each epoch, with selection of the best checkpoint.

`TrainingLoop.run` is the loop over epochs; `train_on_batches` is the loop over the batches of one epoch.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.io.progress import Progress
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.log import MetricsLog
from pipeline.training.seeds import seed_all

Metrics = Mapping[str, float]

B = TypeVar("B")


@dataclass(frozen=True)
class BestCheckpoint:
    """The weights that selection keeps.

    Attributes:
        epoch: number of epochs after which they were taken; 0 is before the first epoch.
        score: value of the selection metric; None where the last epoch is kept without selection.
        weights: state dict of the module, on the CPU.
    """

    epoch: int
    score: float | None
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class ValidationPlan:
    """How a module is validated between epochs.

    Attributes:
        run: computes the metrics; leaves the module's weights unchanged.
        interval: epochs between two validations; the last epoch is always validated.
        metric: name of the metric to maximise; the earliest of equal epochs is kept. None keeps the last epoch.
        at_start: whether to validate before the first epoch too, and to consider the initial weights for selection.
    """

    run: Callable[[], Metrics]
    interval: int = 1
    metric: str | None = None
    at_start: bool = False


class MidEpochCheckpoint:
    """Saves the state inside an epoch, so that an interrupted long epoch loses steps, not the whole epoch.

    Args:
        loop: the run.
        epoch: number of the epoch, from 1.
        epoch_state: what the epoch saved last before the run was interrupted.
    """

    def __init__(self, loop: "TrainingLoop", epoch: int, epoch_state: dict[str, Any] | None) -> None:
        self._loop, self._epoch, self._epoch_state = loop, epoch, epoch_state

    def epoch_state(self) -> dict[str, Any] | None:
        """Return what `save` stored last in this epoch, None at its start.

        The module, the optimizer and torch's generator are already restored to that moment.
        """
        return self._epoch_state

    def save(self, epoch_state: dict[str, Any]) -> None:
        """Save the module, the optimizer, torch's generator and `epoch_state`.

        Args:
            epoch_state: what else the epoch needs to continue; tensors and plain data.
        """
        generator = torch.get_rng_state()
        self._loop.save({"epoch": self._epoch, "generator": generator, "epoch_state": epoch_state})


class TrainingLoop:
    """The loop of a training run over epochs.

    Args:
        module: the module to train; holds the weights of the last epoch afterwards.
        optimizer: the optimizer of its parameters.
        store: keeps the state after each epoch; a state that it holds is resumed.
        metrics: JSON-lines file of metrics; None in processes other than the first.
        seed_keys: keys that each epoch's seed is derived from, together with the epoch's number.
        earlier_rows: metrics of earlier runs of the same sweep, which come first in the file.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        store: CheckpointStore,
        metrics: Path | None,
        seed_keys: tuple[str | int, ...],
        earlier_rows: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.module, self.optimizer, self.store, self.seed_keys = module, optimizer, store, seed_keys
        self.log = MetricsLog(metrics, earlier_rows)
        self.num_epochs_done = 0
        self.best: BestCheckpoint | None = None
        self._start_time, self._earlier_seconds = time.monotonic(), 0.0
        self.mid_epoch = MidEpochCheckpoint(self, 1, None)
        self._interrupted: dict[str, Any] | None = None
        self._resume()

    def run(
        self, epochs: int, train: Callable[[int], Metrics], validation: ValidationPlan | None = None
    ) -> BestCheckpoint:
        """Train up to `epochs` epochs.

        Args:
            epochs: number of epochs; they are numbered from 1.
            train: trains the epoch of the given number and returns its metrics. Its randomness comes from torch's
                global generator, or is derived from the epoch's number. A long epoch saves its state by `mid_epoch`
                and starts from what that holds.
            validation: how validation metrics are computed and select the epoch; None: no validation.

        Returns:
            the selected checkpoint, or that of the last epoch.
        """
        if validation and validation.at_start and self.best is None and self.num_epochs_done == 0:
            self._end_epoch(0, {}, validation)
        progress = Progress("epochs", epochs, self.num_epochs_done)
        for epoch in range(self.num_epochs_done + 1, epochs + 1):
            seed_all(*self.seed_keys, epoch)
            self.mid_epoch = MidEpochCheckpoint(self, epoch, self._restore_epoch())
            train_metrics = train(epoch)
            is_due = validation and (epoch % validation.interval == 0 or epoch == epochs)
            keep_last = not (validation and validation.metric)
            self._end_epoch(epoch, train_metrics, validation if is_due else None, keep=keep_last)
            progress.step()
        assert self.best is not None
        return self.best

    @property
    def seconds(self) -> float:
        """Training time, summed over the jobs of an interrupted run; steps that a kill undid do not count."""
        return self._earlier_seconds + time.monotonic() - self._start_time

    def _end_epoch(
        self, epoch: int, train_metrics: Metrics, validation: ValidationPlan | None, *, keep: bool = False
    ) -> None:
        """Validate, select, log and save."""
        val_metrics = validation.run() if validation else {}
        score = val_metrics[validation.metric] if validation and validation.metric else None
        if keep or (score is not None and self._is_better(score)):
            self.best = BestCheckpoint(epoch, score, cpu_state_dict(self.module))
        self.num_epochs_done = epoch
        self.log.append({"epoch": epoch, **train_metrics, **val_metrics})
        self.save(None)

    def save(self, interrupted: dict[str, Any] | None) -> None:
        """Save the run, and the state of the current epoch if it has not ended."""
        self.store.save(self._state() | {"interrupted": interrupted})

    def _restore_epoch(self) -> dict[str, Any] | None:
        """Return the state of the interrupted epoch, once, and restore torch's generator."""
        interrupted, self._interrupted = self._interrupted, None
        if interrupted is None:
            return None
        torch.set_rng_state(interrupted["generator"])
        epoch_state: dict[str, Any] = interrupted["epoch_state"]
        return epoch_state

    def _is_better(self, score: float) -> bool:
        return self.best is None or self.best.score is None or score > self.best.score

    def _state(self) -> dict[str, Any]:
        best = self.best
        return {
            "epoch": self.num_epochs_done,
            "module": cpu_state_dict(self.module),
            "optimizer": self.optimizer.state_dict(),
            "rows": self.log.rows,
            "seconds": self.seconds,
            "best": best and {"epoch": best.epoch, "score": best.score, "weights": best.weights},
        }

    def _resume(self) -> None:
        state = self.store.load()
        if state is None:
            return
        self.num_epochs_done = state["epoch"]
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = BestCheckpoint(**state["best"]) if state["best"] else None
        self._interrupted, self._earlier_seconds = state["interrupted"], state["seconds"]
        if self._interrupted:
            logging.info("resuming in epoch %d", self.num_epochs_done + 1)
        else:
            logging.info("resuming after epoch %d", self.num_epochs_done)
        self.log.restore(state["rows"])


def train_on_batches(
    batches: Sequence[B],
    step: Callable[[B], tuple[Float[Tensor, ""], Mapping[str, float]]],
    optimizer: torch.optim.Optimizer,
    *,
    clip_gradient: float | None = None,
    clip_norm: float | None = None,
    max_steps: int | None = None,
) -> dict[str, float]:
    """Train on the batches of one epoch, in one process.

    Args:
        batches: the batches, in order.
        step: computes the loss of a batch, and the metrics to report.
        optimizer: the optimizer of the parameters.
        clip_gradient: gradients are clipped to this absolute value; None does not clip.
        clip_norm: all gradients together are scaled down to this norm; None does not scale.
        max_steps: largest number of steps; None uses all batches.

    Returns:
        the mean of each metric over the steps.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values: dict[str, list[float]] = defaultdict(list)
    batches = batches[:max_steps]
    progress = Progress("steps", len(batches))
    for batch in batches:
        loss, metrics = step(batch)
        optimizer.zero_grad()
        loss.backward()
        if clip_gradient is not None:
            nn.utils.clip_grad_value_(parameters, clip_gradient)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        for name, value in metrics.items():
            values[name].append(value)
        progress.step()
    return {name: sum(of_metric) / len(of_metric) for name, of_metric in values.items()}


def cpu_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """Copy a module's state dict to the CPU; later training steps do not change the copy."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
