"""Train an encoder for one epoch, and validate it. `pipeline.encoders.clip_training` has the loop over the steps."""

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.clip_loader import ClipBatch
from pipeline.encoders.clip_means import CountedMean, EpochMeans
from pipeline.encoders.clip_training import ClipTrainer
from pipeline.encoders.losses import LossTerm, Targets, pretraining_loss, selection_score
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.sampling import ClipSample
from pipeline.training.distributed import ProcessGroup
from pipeline.training.precision import autocast

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


@dataclass(frozen=True)
class EncoderTrainer(ClipTrainer):
    """Trains and validates a model.

    Attributes:
        model: the model, on the device.
        optimizer: the optimizer of its weights.
        config: section of the stage.
    """

    model: PretrainingModel
    optimizer: torch.optim.SGD
    config: EncoderEntry

    def set_learning_rates(self, epoch: int, step: int, num_steps: int) -> None:
        """Set the learning rates of the schedule; those of the config are for one micro-batch."""
        factor = lr_factor((epoch - 1) * num_steps + step, num_steps, self.config) * self.config.accumulate_steps
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor

    def compute_loss(self, batch: ClipBatch, means: "EpochMetrics", epoch: int) -> Float[Tensor, ""] | None:
        """Compute the loss of a batch; None if no clip of it is readable."""
        del epoch
        logits, targets, num_clips = self._forward(batch)
        return means.update(logits, targets, num_clips) if num_clips else None

    @torch.no_grad()
    def validate(self, samples: list[ClipSample]) -> dict[str, float]:
        """Compute losses and metrics on the samples, and `val_score`, which selects the epoch."""
        self.model.eval()
        self.group.broadcast(self.model.buffers())  # the running statistics are those of the first process
        metrics = self.epoch_means()
        terms = self.model.loss_terms
        rows = {name: [self._empty_rows(term)] for name, term in terms.items()}
        for batch in self.batches_of_rank(samples):
            logits, targets, num_clips = self._forward(batch)
            if num_clips == 0:
                continue
            metrics.update(logits, targets, num_clips)
            for name, term in terms.items():
                rows[name].append(term.validation_rows(logits[name], targets[name]))
        self.share_unreadable()
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

    def epoch_means(self, state: Float[Tensor, "processes names 2"] | None = None) -> "EpochMetrics":
        """Return the sums of an epoch, from those of an interrupted one."""
        return EpochMetrics(self.model.loss_terms, self.device, self.group, state)

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


class EpochMetrics(EpochMeans):
    """Means of the losses and of the metrics of an epoch.

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
        super().__init__(["loss", *_metric_names(terms.values())], device, group, state)
        self._terms = terms

    def update(self, logits: Mapping[str, Tensor], targets: Mapping[str, Targets], num_clips: int) -> Float[Tensor, ""]:
        """Compute the loss of a batch, and add it and the batch metrics to the sums.

        Returns:
            the total loss, for the gradient.
        """
        loss = pretraining_loss(logits, targets, self._terms)
        self.add("loss", CountedMean(loss.total, torch.full((), num_clips, dtype=torch.int64, device=self._device)))
        for name, term in self._terms.items():
            self.add(f"{name}_loss", loss.terms[name])
            for metric, mean in term.metrics(logits[name], targets[name]).items():
                self.add(f"{name}_{metric}", mean)
        return loss.total


def _metric_names(terms: Iterable[LossTerm]) -> list[str]:
    return [f"{term.name}_{metric}" for term in terms for metric in ("loss", *term.metric_names)]
