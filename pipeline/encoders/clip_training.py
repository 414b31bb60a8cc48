"""What the trainings on clips share: steps of micro-batches, sums over an epoch, checkpoints within an epoch.

A step consists of micro-batches. A micro-batch is what one GPU of a published training saw of a step: its own batch,
normalised by its own batch statistics. The result of a step does not depend on which process computes which
micro-batch: the gradients are averaged over the micro-batches, and the running statistics are those of the first
micro-batch, as in PyTorch's DistributedDataParallel.
"""

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.encoders.clip_loader import ClipBatch, ClipLoader
from pipeline.encoders.sampling import ClipSample
from pipeline.errors import PipelineError
from pipeline.io.progress import Progress
from pipeline.training.distributed import SINGLE_PROCESS, ProcessGroup
from pipeline.training.training_loop import MidEpochCheckpoint

T = TypeVar("T")


@runtime_checkable
class ClipTrainingSettings(Protocol):
    """Settings of a training on clips."""

    @property
    def batch_size(self) -> int:
        """Clips per micro-batch."""

    @property
    def accumulate_steps(self) -> int:
        """Micro-batches per step."""

    @property
    def steps_per_epoch(self) -> int | None:
        """Largest number of steps of an epoch."""

    @property
    def save_every(self) -> int:
        """Steps between two checkpoints."""

    @property
    def max_unreadable(self) -> float:
        """Largest share of unreadable videos."""


def split_microbatches(items: Sequence[T], batch_size: int, accumulate_steps: int) -> list[list[list[T]]]:
    """Split the items of an epoch into the micro-batches of every step, in order.

    The last step is split evenly, into fewer micro-batches if it has too few items.

    Args:
        items: items of the epoch.
        batch_size: items per micro-batch.
        accumulate_steps: micro-batches per step.
    """
    size = batch_size * accumulate_steps
    return [
        _split_step(items[first : first + size], batch_size, accumulate_steps) for first in range(0, len(items), size)
    ]


def _split_step(items: Sequence[T], batch_size: int, accumulate_steps: int) -> list[list[T]]:
    if len(items) == batch_size * accumulate_steps:
        edges = [index * batch_size for index in range(accumulate_steps + 1)]
    else:
        count = min(accumulate_steps, len(items))
        edges = [index * len(items) // count for index in range(count + 1)]
    return [list(items[start:end]) for start, end in itertools.pairwise(edges)]


def microbatches_of_rank(microbatches: Sequence[T], accumulate_steps: int, group: ProcessGroup) -> list[T]:
    """Return the micro-batches of a step that this process computes: an equal number of consecutive ones for each."""
    per_process = accumulate_steps // group.world_size
    return list(microbatches[group.rank * per_process : (group.rank + 1) * per_process])


@contextlib.contextmanager
def track_bn_stats(model: nn.Module, *, enabled: bool) -> Iterator[None]:
    """Enable or disable updates of the BatchNorm running statistics; the forward pass in training mode is the same."""
    norms = [] if enabled else [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@dataclass(frozen=True)
class ClipTrainer(ABC):
    """Trains a network on clips; what a step is, the derived class defines.

    Attributes:
        model: the model, on the device.
        optimizer: the optimizer of its weights; its gradients are summed over the micro-batches.
        config: settings of the training.
        loader: loads the clips.
        device: device of the model.
        group: the processes that train the model.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    config: ClipTrainingSettings
    loader: ClipLoader
    device: torch.device
    group: ProcessGroup = SINGLE_PROCESS

    @abstractmethod
    def epoch_means(self, state: Float[Tensor, "processes names 2"] | None = None) -> Any:
        """Return the sums of an epoch, an `EpochMeans`, from those of an interrupted one."""

    @abstractmethod
    def set_learning_rates(self, epoch: int, step: int, num_steps: int) -> None:
        """Set the learning rates of a step.

        Args:
            epoch: number of the epoch, from 1.
            step: number of the step in the epoch, from 0.
            num_steps: steps of the epoch.
        """

    def seed_microbatch(self, epoch: int, step: int, index: int) -> None:  # noqa: B027  # most networks draw nothing
        """Seed the random numbers of a network that draws some, so that no process draws other ones than another would.

        Args:
            epoch: number of the epoch, from 1.
            step: number of the step in the epoch, from 0.
            index: number of the micro-batch in the step, from 0.
        """

    @abstractmethod
    def compute_loss(self, batch: ClipBatch, means: Any, epoch: int) -> Float[Tensor, ""] | None:
        """Compute the loss of a batch, and add it and its metrics to the sums.

        Args:
            batch: the clips.
            means: what `epoch_means` returned.
            epoch: number of the epoch, from 1.

        Returns:
            the loss, for the gradient; None if no clip of the batch is readable.
        """

    def train_epoch(
        self, epoch: int, samples: list[ClipSample], mid_epoch: MidEpochCheckpoint | None = None
    ) -> dict[str, float]:
        """Train on the samples in their order.

        Args:
            epoch: number of the epoch, from 1; determines the learning rates.
            samples: the clips.
            mid_epoch: saves the state every `save_every` steps; the epoch resumes from the state it holds.

        Returns:
            means over the epoch of the losses and of the batch metrics.

        Raises:
            PipelineError: too many videos are unreadable, or the loss is not finite.
        """
        self.model.train()
        config = self.config
        steps = split_microbatches(samples, config.batch_size, config.accumulate_steps)[: config.steps_per_epoch]
        of_rank = [microbatches_of_rank(step, config.accumulate_steps, self.group) for step in steps]
        state = mid_epoch.epoch_state() if mid_epoch else None
        first = state["steps"] if state else 0
        metrics = self.epoch_means(state["sums"] if state else None)
        progress = Progress("steps", len(steps), first)
        batches = self.batches([part for step in of_rank[first:] for part in step])
        for number, microbatches in enumerate(steps[first:], start=first):
            self.set_learning_rates(epoch, number, len(steps))
            self.optimizer.zero_grad(set_to_none=True)
            first_index = self.group.rank * config.accumulate_steps // self.group.world_size
            for index, batch in enumerate(itertools.islice(batches, len(of_rank[number]))):
                self.seed_microbatch(epoch, number, first_index + index)
                with track_bn_stats(self.model, enabled=self.group.is_first and index == 0):
                    loss = self.compute_loss(batch, metrics, epoch)
                if loss is not None:
                    (loss / len(microbatches)).backward()
            self.group.sum_gradients(self.model.parameters())
            self.optimizer.step()
            progress.step()
            if mid_epoch and (number + 1) % config.save_every == 0:
                self.share_unreadable()
                mid_epoch.save({"steps": number + 1, "sums": metrics.state()})
        self.share_unreadable()
        self.loader.check_unreadable(samples, config.max_unreadable)
        means: Mapping[str, float] = metrics.means("train")
        if not np.isfinite(means["train_loss"]):
            raise PipelineError(
                f"{self.loader.stage}: the loss of epoch {epoch} is not finite; lower the learning rates"
            )
        return dict(means)

    def batches(self, parts: list[list[ClipSample]]) -> Iterator[ClipBatch]:
        """Yield the batches of clips."""
        samples = [sample for part in parts for sample in part]
        return self.loader.batches(samples, [len(part) for part in parts])

    def batches_of_rank(self, samples: Sequence[ClipSample]) -> Iterator[ClipBatch]:
        """Yield the batches of this process, of clips that all processes share."""
        size = self.config.batch_size
        parts = [list(samples[first : first + size]) for first in range(0, len(samples), size)]
        parts = parts[self.group.rank :: self.group.world_size]
        progress = Progress("validation batches", len(parts))
        for batch in self.batches(parts):
            progress.step()
            yield batch

    def share_unreadable(self) -> None:
        """Share the unreadable videos among the processes: an error that one process raises, all must raise."""
        self.loader.unreadable.update(self.group.gather_messages(self.loader.unreadable, self.device))
