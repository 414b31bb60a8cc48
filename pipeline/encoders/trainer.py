"""Train an encoder for one epoch, and validate it.

A step consists of micro-batches. A micro-batch is what one GPU of the published training saw of a step: its own batch,
normalised by its own batch statistics. The result of a step does not depend on which process computes which
micro-batch: the gradients are averaged over the micro-batches, and the running statistics are those of the first
micro-batch, as in PyTorch's DistributedDataParallel.
"""

import bisect
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.clip_loader import ClipBatch, ClipLoader
from pipeline.encoders.losses import CountedMean, LossTerm, Targets, pretraining_loss, selection_score
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.sampling import ClipSample
from pipeline.errors import PipelineError
from pipeline.io.progress import Progress
from pipeline.training.distributed import SINGLE_PROCESS, ProcessGroup
from pipeline.training.precision import autocast
from pipeline.training.training_loop import MidEpochCheckpoint

T = TypeVar("T")

WARMUP_START = 1e-5
"""Factor on the learning rates at the first step of the warm-up (TSP's code)."""


def build_optimizer(model: PretrainingModel, config: EncoderEntry, head_lr: float) -> torch.optim.SGD:
    """Build SGD with one learning rate for the backbone and one for the heads.

    A frozen stem keeps its weights; its batch statistics are still updated, as in TSP.
    """
    model.encoder.stem.requires_grad_(not config.freeze_stem)
    layers = (model.encoder.layer1, model.encoder.layer2, model.encoder.layer3, model.encoder.layer4)
    backbone: list[nn.Module] = [*layers] if config.freeze_stem else [model.encoder.stem, *layers]
    groups = [
        {"params": [weight for part in backbone for weight in part.parameters()], "peak": config.backbone_lr},
        {"params": list(model.heads.parameters()), "peak": head_lr},
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, weight_decay=config.weight_decay)


def lr_factor(step: int, steps_per_epoch: int, config: EncoderEntry) -> float:
    """Return the factor on the peak learning rates: linear warm-up, then a decay at each milestone, both in steps.

    Args:
        step: number of earlier steps, over all epochs.
        steps_per_epoch: steps in an epoch.
        config: the schedule, in epochs.
    """
    warmup_steps = config.warmup_epochs * steps_per_epoch
    warmup = 1.0 if step >= warmup_steps else WARMUP_START + (1 - WARMUP_START) * step / warmup_steps
    num_decays = bisect.bisect_right([milestone * steps_per_epoch for milestone in sorted(config.milestones)], step)
    return float(warmup * config.decay**num_decays)


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
class EncoderTrainer:
    """Trains and validates a model.

    Attributes:
        model: the model, on the device.
        optimizer: the optimizer of its weights.
        config: section of the stage.
        loader: loads the clips.
        device: device of the model.
        group: the processes that train the model.
    """

    model: PretrainingModel
    optimizer: torch.optim.SGD
    config: EncoderEntry
    loader: ClipLoader
    device: torch.device
    group: ProcessGroup = SINGLE_PROCESS

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
        metrics = self._epoch_metrics(state["sums"] if state else None)
        progress = Progress("steps", len(steps), first)
        batches = self._batches([part for step in of_rank[first:] for part in step])
        for number, microbatches in enumerate(steps[first:], start=first):
            factor = lr_factor((epoch - 1) * len(steps) + number, len(steps), config) * config.accumulate_steps
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            self.optimizer.zero_grad(set_to_none=True)
            for index, batch in enumerate(itertools.islice(batches, len(of_rank[number]))):
                self._accumulate_gradients(batch, metrics, len(microbatches), update_bn=self._is_first(index))
            self.group.sum_gradients(self.model.parameters())
            self.optimizer.step()
            progress.step()
            if mid_epoch and (number + 1) % config.save_every == 0:
                self._share_unreadable()
                mid_epoch.save({"steps": number + 1, "sums": metrics.state()})
        self._share_unreadable()
        self.loader.check_unreadable(samples, config.max_unreadable)
        means = metrics.means("train")
        if not np.isfinite(means["train_loss"]):
            raise PipelineError(f"pretrain_encoder: the loss of epoch {epoch} is not finite; lower the learning rates")
        return means

    def _is_first(self, index: int) -> bool:
        """Whether a micro-batch of this process is the first one of the step."""
        return self.group.is_first and index == 0

    def _accumulate_gradients(
        self, batch: ClipBatch, metrics: "EpochMetrics", num_microbatches: int, *, update_bn: bool
    ) -> None:
        with track_bn_stats(self.model, enabled=update_bn):
            logits, targets, num_clips = self._forward(batch)
        if num_clips == 0:  # no clip of the batch is readable
            return
        loss = metrics.update(logits, targets, num_clips)
        (loss / num_microbatches).backward()

    @torch.no_grad()
    def validate(self, samples: list[ClipSample]) -> dict[str, float]:
        """Compute losses and metrics on the samples, and `val_score`, which selects the epoch."""
        self.model.eval()
        self.group.broadcast(self.model.buffers())  # the running statistics are those of the first process
        metrics = self._epoch_metrics()
        terms = self.model.loss_terms
        rows = {name: [self._empty_rows(term)] for name, term in terms.items()}
        size = self.config.batch_size
        parts = [samples[first : first + size] for first in range(0, len(samples), size)]
        parts = parts[self.group.rank :: self.group.world_size]
        progress = Progress("validation batches", len(parts))
        for batch in self._batches(parts):
            progress.step()
            logits, targets, num_clips = self._forward(batch)
            if num_clips == 0:
                continue
            metrics.update(logits, targets, num_clips)
            for name, term in terms.items():
                rows[name].append(term.validation_rows(logits[name], targets[name]))
        self._share_unreadable()
        values = metrics.means("val")
        for name, term in terms.items():
            columns = [self.group.all_gather_rows(torch.cat(column)) for column in zip(*rows[name], strict=True)]
            of_term = term.validation_metrics(*(column.cpu().numpy() for column in columns))
            values |= {f"val_{name}_{metric}": value for metric, value in of_term.items()}
        return {**values, "val_score": selection_score(values, terms)}

    def _empty_rows(self, term: LossTerm) -> tuple[Tensor, ...]:
        """Return the validation rows of no clips, for a process without validation clips."""
        logits = torch.zeros(0, term.num_outputs, device=self.device)
        return term.validation_rows(logits, term.targets([], self.device))

    def _epoch_metrics(self, state: Float[Tensor, "processes names 2"] | None = None) -> "EpochMetrics":
        return EpochMetrics(self.model.loss_terms, self.device, self.group, state)

    def _batches(self, parts: list[list[ClipSample]]) -> Iterator[ClipBatch]:
        samples = [sample for part in parts for sample in part]
        return self.loader.batches(samples, [len(part) for part in parts])

    def _share_unreadable(self) -> None:
        """Share the unreadable videos among the processes: an error that one process raises, all must raise."""
        self.loader.unreadable.update(self.group.gather_messages(self.loader.unreadable, self.device))

    def _forward(self, batch: ClipBatch) -> tuple[dict[str, Tensor], dict[str, Targets], int]:
        """Return logits and targets of the readable clips of a batch, and their number."""
        with autocast(self.device, self.config.precision):
            logits: dict[str, Tensor] = self.model(batch.pixels, batch.global_features)
        terms = self.model.loss_terms.items()
        targets = {name: term.targets(batch.samples, self.device) for name, term in terms}
        if batch.is_complete:
            return logits, targets, len(batch.samples)
        mask = batch.is_readable
        return (
            {name: values[mask] for name, values in logits.items()},
            {name: {key: values[mask] for key, values in of_term.items()} for name, of_term in targets.items()},
            int(mask.sum()),
        )


class EpochMetrics:
    """Means over the clips of an epoch, summed on the device so that no step waits for a number.

    Args:
        terms: the terms of the loss.
        device: device of the sums.
        group: the processes whose clips count.
        state: earlier sums and counts, by process.
    """

    def __init__(
        self,
        terms: Mapping[str, LossTerm],
        device: torch.device,
        group: ProcessGroup,
        state: Float[Tensor, "processes names 2"] | None = None,
    ) -> None:
        self._terms, self._group, self._device = terms, group, device
        self._names = ["loss", *_metric_names(terms.values())]
        self._sums = torch.zeros(len(self._names), 2, dtype=torch.float64, device=device)
        if state is not None and len(state) == group.world_size:
            self._sums += state[group.rank].to(device)
        elif state is not None and group.is_first:
            self._sums += state.sum(0).to(device)

    def update(self, logits: Mapping[str, Tensor], targets: Mapping[str, Targets], num_clips: int) -> Float[Tensor, ""]:
        """Compute the loss of a batch, and add it and the batch metrics to the sums.

        Returns:
            the total loss, for the gradient.
        """
        loss = pretraining_loss(logits, targets, self._terms)
        self._add("loss", CountedMean(loss.total, torch.full((), num_clips, dtype=torch.int64, device=self._device)))
        for name, term in self._terms.items():
            self._add(f"{name}_loss", loss.terms[name])
            for metric, mean in term.metrics(logits[name], targets[name]).items():
                self._add(f"{name}_{metric}", mean)
        return loss.total

    def _add(self, name: str, mean: CountedMean) -> None:
        total = mean.value.detach().double() * mean.count
        self._sums[self._names.index(name)] += torch.stack([total, mean.count.double()])

    def state(self) -> Float[Tensor, "processes names 2"]:
        """Return sums and counts by process, to resume from."""
        return self._group.all_gather_rows(self._sums[None]).cpu()

    def means(self, prefix: str) -> dict[str, float]:
        """Return every mean that at least one clip contributes to, named `<prefix>_<name>`."""
        sums = self.state().sum(0).tolist()
        return {
            f"{prefix}_{name}": total / count for name, (total, count) in zip(self._names, sums, strict=True) if count
        }


def _metric_names(terms: Iterable[LossTerm]) -> list[str]:
    return [f"{term.name}_{metric}" for term in terms for metric in ("loss", *term.metric_names)]
