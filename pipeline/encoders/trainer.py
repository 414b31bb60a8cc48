"""One epoch of pretraining, and one look at the validation clips."""

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.clips import Sample
from pipeline.encoders.heads import Logits
from pipeline.encoders.loader import Batch, Loader
from pipeline.encoders.losses import BACKGROUND, FOREGROUND, NO_ACTION, Labels, Losses, pretraining_loss
from pipeline.encoders.microbatches import dealt, own, statistics
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.validation_metrics import mean_accuracy, mean_average_precision
from pipeline.errors import PipelineError
from pipeline.training.distributed import ALONE, Group
from pipeline.training.log import Progress
from pipeline.training.precision import autocast
from pipeline.training.trainer import Within

T = TypeVar("T", Logits, Labels)

WARMUP_START = 1e-5
"""Factor on the rates before the first step (TSP's code)."""


def optimiser(model: PretrainingModel, config: PretrainEncoder, head_lr: float) -> torch.optim.SGD:
    """SGD with a rate for each part; a frozen stem keeps its weights, not its batch statistics, as in TSP."""
    model.encoder.stem.requires_grad_(not config.freeze_stem)
    layers = (model.encoder.layer1, model.encoder.layer2, model.encoder.layer3, model.encoder.layer4)
    backbone: list[nn.Module] = [*layers] if config.freeze_stem else [model.encoder.stem, *layers]
    groups = [
        {"params": [weight for part in backbone for weight in part.parameters()], "peak": config.backbone_lr},
        {"params": list(model.heads.parameters()), "peak": head_lr},
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, weight_decay=config.weight_decay)


def rate_factor(step: int, steps: int, config: PretrainEncoder) -> float:
    """Factor on the peak rates: linear warm-up, then a decay at each milestone, all counted in steps.

    Args:
        step: how many steps were made before, in all epochs.
        steps: in an epoch.
        config: the schedule, in epochs.
    """
    warmup = config.warmup_epochs * steps
    rise = 1.0 if step >= warmup else WARMUP_START + (1 - WARMUP_START) * step / warmup
    passed = bisect.bisect_right([milestone * steps for milestone in sorted(config.milestones)], step)
    return float(rise * config.decay**passed)


@dataclass(frozen=True)
class Fitting:
    """What an epoch works with.

    Attributes:
        model: on the device.
        optimiser: of its weights.
        config: the stage's section.
        concepts: number of concepts that labels know.
        loader: of the clips.
        device: where the model is.
        group: the processes that train it.
    """

    model: PretrainingModel
    optimiser: torch.optim.SGD
    config: PretrainEncoder
    concepts: int
    loader: Loader
    device: torch.device
    group: Group = ALONE

    def train(self, epoch: int, samples: list[Sample], within: Within | None = None) -> dict[str, float]:
        """Train on the samples in their order.

        Args:
            epoch: its number, from 1; decides the rates.
            samples: the clips.
            within: keeps the state every `save_every` steps; the epoch goes on from what it holds.

        Returns:
            mean losses and accuracies met on the way.

        Raises:
            PipelineError: too many videos that cannot be read, or a loss that is not finite.
        """
        self.model.train()
        config = self.config
        steps = dealt(samples, config.batch_size, config.replicas)[: config.steps_per_epoch]
        ours = [own(parts, config.replicas, self.group) for parts in steps]
        begun = within.load() if within else None
        first = begun["steps"] if begun else 0
        means = _Means(self.device, self.group, begun["means"] if begun else None)
        progress = Progress(f"epoch {epoch}, steps", len(steps) - first)
        batches = self._batches([part for parts in ours[first:] for part in parts])
        for number, parts in enumerate(steps[first:], start=first):
            factor = rate_factor((epoch - 1) * len(steps) + number, len(steps), config) * config.replicas
            for group in self.optimiser.param_groups:
                group["lr"] = group["peak"] * factor
            self.optimiser.zero_grad(set_to_none=True)
            for place, batch in enumerate(itertools.islice(batches, len(ours[number]))):
                with statistics(self.model, moving=self.group.first and place == 0):
                    logits, labels = self._forward(batch)
                if len(labels.action) == 0:  # none of its clips could be read
                    continue
                losses = pretraining_loss(logits, labels, config)
                (losses.total / len(parts)).backward()
                means.count(logits, labels, losses)
            self.group.add_gradients(self.model.parameters())
            self.optimiser.step()
            progress.step()
            if within and (number + 1) % config.save_every == 0:
                self._tell_unreadable()
                within.save({"steps": number + 1, "means": means.packed()})
        self._tell_unreadable()
        self.loader.check(samples, config.max_unreadable)
        found = means.all("train")
        if not np.isfinite(found["train_loss"]):
            raise PipelineError(f"pretrain_encoder: the loss of epoch {epoch} is not finite; lower the rates")
        return found

    @torch.no_grad()
    def validate(self, samples: list[Sample]) -> dict[str, float]:
        """Losses and scores on the samples; `val_score` is what an epoch is chosen by.

        The action and region heads are scored by accuracy, the semantic head by its mean average precision.
        """
        self.model.eval()
        self.group.spread(self.model.buffers())  # the running statistics are the first process's
        means = _Means(self.device, self.group)
        size = self.config.batch_size
        parts = [samples[first : first + size] for first in range(0, len(samples), size)]
        scores = [torch.zeros(0, self.concepts, device=self.device)]
        shown = [torch.zeros(0, self.concepts, device=self.device)]
        for batch in self._batches(parts[self.group.rank :: self.group.world]):
            logits, labels = self._forward(batch)
            if len(labels.action) == 0:
                continue
            means.count(logits, labels, pretraining_loss(logits, labels, self.config))
            if logits.semantic is not None:
                scores.append(logits.semantic[labels.covered].float())
                shown.append(labels.concepts[labels.covered])
        self._tell_unreadable()
        found = means.all("val")
        if self.model.heads.semantic is not None:
            said, truth = (self.group.rows(torch.cat(rows)).cpu().numpy() for rows in (scores, shown))
            found["val_concept_map"] = mean_average_precision(said, truth > 0)
        return {**found, "val_score": mean_accuracy(found)}

    def _batches(self, parts: list[list[Sample]]) -> Iterator[Batch]:
        samples = [sample for part in parts for sample in part]
        return self.loader.batches(samples, [len(part) for part in parts])

    def _tell_unreadable(self) -> None:
        """Every process comes to know of all unreadable videos: what one raises, all must."""
        self.loader.unreadable.update(self.group.notes(self.loader.unreadable, self.device))

    def _forward(self, batch: Batch) -> tuple[Logits, Labels]:
        """What the heads say of a batch, and what is true: of the clips that could be read."""
        with autocast(self.device, self.config.precision):
            logits: Logits = self.model(batch.clips, batch.globals)
        labels = self._labels(batch.samples)
        if batch.complete:
            return logits, labels
        return _rows(logits, batch.readable), _rows(labels, batch.readable)

    def _labels(self, batch: list[Sample]) -> Labels:
        concepts = torch.zeros(len(batch), self.concepts)
        for row, sample in enumerate(batch):
            concepts[row, list(sample.concepts or ())] = 1.0
        actions = [sample.action for sample in batch]
        return Labels(
            action=torch.tensor(actions, device=self.device),
            region=torch.tensor([BACKGROUND if a == NO_ACTION else FOREGROUND for a in actions], device=self.device),
            concepts=concepts.to(self.device),
            covered=torch.tensor([sample.concepts is not None for sample in batch], device=self.device),
        )


def _rows(table: T, chosen: Bool[Tensor, "batch"]) -> T:
    """The chosen rows of every column that there is."""
    columns: list[Any] = [getattr(table, field.name) for field in fields(table)]
    chosen_columns: list[Any] = [None if column is None else column[chosen] for column in columns]
    return type(table)(*chosen_columns)


_MEANS = ("loss", "action_loss", "action_accuracy", "region_loss", "region_accuracy", "semantic_loss")


class _Means:
    """Means over the clips of an epoch, added up on the device so that no step waits for a number.

    Args:
        device: where to add up.
        group: the processes whose clips are counted.
        packed: what had been added up before, by process: sum and count of each.
    """

    def __init__(
        self, device: torch.device, group: Group, packed: Float[Tensor, "processes names 2"] | None = None
    ) -> None:
        self._group = group
        self._sums = torch.zeros(len(_MEANS), 2, dtype=torch.float64, device=device)
        if packed is not None and len(packed) == group.world:
            self._sums += packed[group.rank].to(device)
        elif packed is not None and group.first:
            self._sums += packed.sum(0).to(device)

    def count(self, logits: Logits, labels: Labels, losses: Losses) -> None:
        """Add a batch."""
        foreground = (labels.action != NO_ACTION).sum()
        clips = torch.full_like(foreground, len(labels.action))
        self._add("loss", losses.total, clips)
        if logits.action is not None and losses.action is not None:
            self._add("action_loss", losses.action, foreground)
            self._add("action_accuracy", _share(logits.action.argmax(1) == labels.action, foreground), foreground)
        if logits.region is not None and losses.region is not None:
            self._add("region_loss", losses.region, clips)
            self._add("region_accuracy", _share(logits.region.argmax(1) == labels.region, clips), clips)
        if losses.semantic is not None:
            self._add("semantic_loss", losses.semantic, labels.covered.sum())

    def _add(self, name: str, mean: Float[Tensor, ""], clips: Int64[Tensor, ""]) -> None:
        self._sums[_MEANS.index(name)] += torch.stack([mean.detach().double() * clips, clips.double()])

    def packed(self) -> Float[Tensor, "processes names 2"]:
        """What was added up so far, to go on from."""
        return self._group.rows(self._sums[None]).cpu()

    def all(self, prefix: str) -> dict[str, float]:
        """Every mean that any clip has a say in."""
        sums = self.packed().sum(0).tolist()
        return {f"{prefix}_{name}": total / count for name, (total, count) in zip(_MEANS, sums, strict=True) if count}


def _share(right: Bool[Tensor, "batch"], of: Int64[Tensor, ""]) -> Float[Tensor, ""]:
    return right.sum() / of.clamp(min=1)
