"""One epoch of pretraining, and one look at the validation clips."""

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from pipeline.config.errors import PipelineError
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.clips import Sample
from pipeline.encoders.geometry import prepare, stack
from pipeline.encoders.heads import Logits
from pipeline.encoders.losses import BACKGROUND, FOREGROUND, NO_ACTION, Labels, Losses, pretraining_loss
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.reading import ClipReader, NativeFrames, batches
from pipeline.encoders.scores import mean_accuracy, mean_average_precision
from pipeline.training.epochs import Within
from pipeline.training.log import Progress

WARMUP_START = 1e-5
"""Factor on the rates before the first step (TSP's code)."""


def optimiser(model: PretrainingModel, config: PretrainEncoder) -> torch.optim.SGD:
    """SGD with a rate for each part; a frozen stem keeps its weights, not its batch statistics, as in TSP."""
    model.encoder.stem.requires_grad_(not config.freeze_stem)
    layers = (model.encoder.layer1, model.encoder.layer2, model.encoder.layer3, model.encoder.layer4)
    backbone: list[nn.Module] = [*layers] if config.freeze_stem else [model.encoder.stem, *layers]
    groups = [
        {"params": [weight for part in backbone for weight in part.parameters()], "peak": config.backbone_lr},
        {"params": list(model.heads.parameters()), "peak": config.head_lr},
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
        reader: of the clips.
        device: where the model is.
    """

    model: PretrainingModel
    optimiser: torch.optim.SGD
    config: PretrainEncoder
    concepts: int
    reader: ClipReader
    device: torch.device

    def train(self, epoch: int, samples: list[Sample], within: Within | None = None) -> dict[str, float]:
        """Train on the samples in their order.

        Args:
            epoch: its number, from 1; decides the rates.
            samples: the clips.
            within: keeps the state every `save_every` steps; the epoch goes on from what it holds.

        Returns:
            mean losses and accuracies met on the way.

        Raises:
            PipelineError: a clip that cannot be read, or a loss that is not finite.
        """
        self.model.train()
        size = self.config.batch_size
        steps = -(-len(samples) // size)
        begun = within and within.load()
        first = begun["steps"] if begun else 0
        means = _Means(begun["means"] if begun else {}, self.device)
        progress = Progress(f"epoch {epoch}, clips", len(samples) - first * size)
        for number, (batch, frames) in enumerate(self._batches(samples[first * size :]), start=first):
            factor = rate_factor((epoch - 1) * steps + number, steps, self.config)
            for group in self.optimiser.param_groups:
                group["lr"] = group["peak"] * factor
            labels = self._labels(batch)
            logits = self.model(self._clips(batch, frames))
            losses = pretraining_loss(logits, labels, self.config)
            self.optimiser.zero_grad(set_to_none=True)
            losses.total.backward()
            self.optimiser.step()
            _count(means, logits, labels, losses)
            progress.step(len(batch))
            if within and (number + 1) % self.config.save_every == 0:
                within.save({"steps": number + 1, "means": means.packed()})
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
        means = _Means({}, self.device)
        ranked: list[tuple[np.ndarray, np.ndarray]] = []
        for batch, frames in self._batches(samples):
            labels = self._labels(batch)
            logits = self.model(self._clips(batch, frames))
            _count(means, logits, labels, pretraining_loss(logits, labels, self.config))
            if logits.semantic is not None:
                kept = labels.covered
                ranked.append((logits.semantic[kept].float().cpu().numpy(), labels.concepts[kept].cpu().numpy()))
        found = means.all("val")
        if ranked:
            scores, shown = (np.concatenate(arrays) for arrays in zip(*ranked, strict=True))
            found["val_concept_map"] = mean_average_precision(scores, shown > 0)
        return {**found, "val_score": mean_accuracy(found)}

    def _batches(self, samples: list[Sample]) -> Iterable[tuple[list[Sample], list[NativeFrames]]]:
        return batches(self.reader, samples, self.config.batch_size, self.config.workers, self.device)

    def _clips(self, batch: list[Sample], frames: list[NativeFrames]) -> Float[Tensor, "batch 3 frames crop crop"]:
        clip = self.config.clip
        return stack(
            [
                prepare(native, clip, (sample.top, sample.left), flip=sample.flip)
                for sample, native in zip(batch, frames, strict=True)
            ]
        )

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


class _Means:
    """Means over the clips of an epoch, added up on the device so that no step waits for a number.

    Args:
        packed: what had been added up before, by name: sum and count.
        device: where to add up.
    """

    def __init__(self, packed: Mapping[str, Float[Tensor, "2"]], device: torch.device) -> None:
        self._sums = {name: sums.to(device) for name, sums in packed.items()}

    def add(self, name: str, mean: Float[Tensor, ""], clips: Int64[Tensor, ""]) -> None:
        """Add a mean over so many clips."""
        found = torch.stack([mean.detach().double() * clips, clips.double()])
        self._sums[name] = self._sums[name] + found if name in self._sums else found

    def packed(self) -> dict[str, Float[Tensor, "2"]]:
        """What was added up so far, to go on from."""
        return {name: sums.cpu() for name, sums in self._sums.items()}

    def all(self, prefix: str) -> dict[str, float]:
        """Every mean that any clip has a say in."""
        counted = {name: sums.tolist() for name, sums in self._sums.items()}
        return {f"{prefix}_{name}": total / count for name, (total, count) in counted.items() if count}


def _count(means: _Means, logits: Logits, labels: Labels, losses: Losses) -> None:
    foreground = (labels.action != NO_ACTION).sum()
    clips = torch.full_like(foreground, len(labels.action))
    means.add("loss", losses.total, clips)
    if logits.action is not None and losses.action is not None:
        means.add("action_loss", losses.action, foreground)
        means.add("action_accuracy", _share(logits.action.argmax(1) == labels.action, foreground), foreground)
    if logits.region is not None and losses.region is not None:
        means.add("region_loss", losses.region, clips)
        means.add("region_accuracy", _share(logits.region.argmax(1) == labels.region, clips), clips)
    if losses.semantic is not None:
        means.add("semantic_loss", losses.semantic, labels.covered.sum())


def _share(right: Bool[Tensor, "batch"], of: Int64[Tensor, ""]) -> Float[Tensor, ""]:
    return right.sum() / of.clamp(min=1)
