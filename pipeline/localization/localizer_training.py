"""Training of a localizer on annotated actions, and its validation: the loss on the split `val`."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.localizers import LOCALIZERS, LocalizerSettings
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.features.cache import batches
from pipeline.localization.action_segments import action_segments
from pipeline.localization.localizer import LabelledSegment, Localizer, LocalizerInputs
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.device import resolve_device
from pipeline.training.seeds import numpy_generator, seed_all
from pipeline.training.training_loop import BestCheckpoint, Metrics, TrainingLoop, ValidationPlan, train_on_batches

STAGE = "train_localizer"
"""First key of all seeds."""

Actions = Mapping[str, Sequence[LabelledSegment]]


def build_localizer(settings: LocalizerSettings, dim: int, num_classes: int) -> Localizer:
    """Build the localizer that `settings.kind` names, with initial weights from torch's generator.

    Args:
        settings: of the localizer.
        dim: channels of the features.
        num_classes: number of action classes.
    """
    build = LOCALIZERS[settings.kind].load()
    return cast("Localizer", build(settings, dim, num_classes))


def fit_localizer(
    settings: LocalizerSettings,
    corpus: Corpus,
    inputs: LocalizerInputs,
    durations: Mapping[str, float],
    store: CheckpointStore,
    metrics: Path,
) -> tuple[Localizer, BestCheckpoint]:
    """Train a localizer on the actions of some splits.

    Args:
        settings: of the localizer.
        corpus: the annotated actions.
        inputs: the features.
        durations: seconds, of the videos that have features.
        store: keeps the state after each epoch.
        metrics: the JSON-lines file of metrics to write.

    Raises:
        PipelineError: there is nothing to train on, or features are not finite (names the video).
    """
    actions = action_segments(corpus, settings.splits, durations)
    if not actions:
        raise PipelineError(
            f"{corpus.manifest.path}: no video of {' and '.join(settings.splits)} has both actions and features; a "
            "localizer has nothing to train on (see the reasons in rejects.parquet of the corpus)"
        )
    val_actions = action_segments(corpus, ["val"], durations)
    seed_all(STAGE, settings.seed, "weights")
    localizer = build_localizer(settings, inputs.dim, len(corpus.labels))
    if localizer.feature_norm is not None:
        localizer.feature_norm.fit(inputs.features(video) for video in actions)
    localizer.network.to(resolve_device(settings.device))
    optimizer = localizer.build_optimizer()
    items = _training_items(localizer, inputs, actions, corpus)
    val_items = localizer.training_items(inputs, val_actions) if val_actions else []
    logging.info("%d training videos, %d validation videos", len(actions), len(val_actions))

    def train(epoch: int) -> Metrics:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate(epoch) * group.get("lr_factor", 1.0)
        order = numpy_generator(STAGE, settings.seed, epoch).permutation(len(items)).tolist()
        localizer.network.train()

        def step(batch: list[Any]) -> tuple[Float[Tensor, ""], Mapping[str, float]]:
            losses = localizer.compute_losses(inputs, actions, batch)
            parts = {f"loss_{name}": loss.item() for name, loss in losses.parts.items()}
            return losses.total, {"loss": losses.total.item(), **parts}

        return train_on_batches(
            batches([items[index] for index in order], settings.batch_size),
            step,
            optimizer,
            clip_norm=settings.clip_norm,
            max_steps=settings.steps_per_epoch,
        )

    def validate() -> Metrics:
        seed_all(STAGE, settings.seed, "validation")  # the same samples of the map in each epoch
        loss = validation_loss(localizer, inputs, val_actions, val_items, settings.batch_size)
        return {"val_loss": loss, "negative_val_loss": -loss}

    plan = ValidationPlan(validate, metric="negative_val_loss" if settings.selection == "loss" else None)
    loop = TrainingLoop(localizer.network, optimizer, store, metrics, (STAGE, settings.seed))
    checkpoint = loop.run(settings.epochs, train, plan if val_items else None)
    return localizer, checkpoint


@torch.no_grad()
def validation_loss(
    localizer: Localizer, inputs: LocalizerInputs, actions: Actions, items: Sequence[Any], batch_size: int
) -> float:
    """Compute the mean loss of the batches, without dropout; draws from torch's generator."""
    localizer.network.eval()
    losses = [localizer.compute_losses(inputs, actions, batch).total.item() for batch in batches(items, batch_size)]
    return sum(losses) / len(losses)


def _training_items(localizer: Localizer, inputs: LocalizerInputs, actions: Actions, corpus: Corpus) -> list[Any]:
    items = localizer.training_items(inputs, actions)
    if not items:
        raise PipelineError(
            f"{corpus.manifest.path}: none of the {len(actions)} training videos has an action that the localizer can "
            "be trained on: no window holds most of an action; train with longer windows (temporal_scale)"
        )
    return items
