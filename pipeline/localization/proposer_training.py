"""Training of a proposer on the annotated events of the split `train`, and its validation on the split `val`."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config.proposers import PROPOSERS, ProposerSettings
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.tiou import tiou_matrix
from pipeline.errors import PipelineError
from pipeline.features.cache import batches
from pipeline.features.streams import FeatureStreams
from pipeline.localization.proposals import Proposal
from pipeline.localization.proposer import EncoderBorrower, EventTimes, TrainableProposer, open_inputs, propose
from pipeline.provenance.manifest import Manifest
from pipeline.training.checkpoints import CheckpointStore
from pipeline.training.device import resolve_device
from pipeline.training.seeds import numpy_generator, seed_all
from pipeline.training.training_loop import BestCheckpoint, Metrics, TrainingLoop, ValidationPlan, train_on_batches

SEED_KEY = "propose_events"
"""First key of all seeds of the training. It is not the name of the stage: reported results were made with this key,
and another one would give other weights."""

TIOU_THRESHOLDS = (0.5, 0.7)
"""A proposal matches an event above this tIoU."""


def build_proposer(settings: ProposerSettings, dim: int | Mapping[str, int]) -> TrainableProposer:
    """Build the proposer that `settings.kind` names, with initial weights from torch's generator.

    Args:
        settings: of the proposer.
        dim: channels of the features; of a proposer that reads several streams, those of each stream.
    """
    build = PROPOSERS[settings.kind].load()
    return cast("TrainableProposer", build(settings, dim))


def event_times(corpus: Corpus, split: str, videos: Collection[str]) -> dict[str, list[EventTimes]]:
    """Return the events of the captioned videos of a split, by video and annotator.

    Args:
        corpus: the events.
        split: name of the split.
        videos: ids of the videos that have features.
    """
    return {
        video: [[(event.start, event.end) for event in events] for events in annotators.values()]
        for video, annotators in sorted(corpus.events(split).items())
        if video in videos
    }


def fit_proposer(
    settings: ProposerSettings,
    corpus: Corpus,
    features: FeatureStreams,
    store: CheckpointStore,
    metrics: Path,
    captioner: Manifest | None = None,
) -> tuple[TrainableProposer, BestCheckpoint]:
    """Train a proposer on the events of all annotators of the split `train`; the last epoch is kept.

    Args:
        settings: of the proposer.
        corpus: the events.
        features: the features.
        store: keeps the state after each epoch.
        metrics: the JSON-lines file of metrics to write.
        captioner: a trained captioner whose encoder the proposer takes over; None: there is none.

    Raises:
        PipelineError: there are no events to train on; the captioner does not fit.
    """
    videos = features.durations
    train_events = event_times(corpus, "train", videos)
    if not train_events:
        raise PipelineError(
            f"{corpus.manifest.path}: no video of train has both captions and features; a learned proposer has nothing "
            "to train on (see the reasons in rejects.parquet of the corpus)"
        )
    inputs = open_inputs(features, settings.cache_gb)
    all_annotators = {
        video: [event for events in annotators for event in events] for video, annotators in train_events.items()
    }
    seed_all(SEED_KEY, settings.seed, "weights")
    proposer = build_proposer(settings, features.dim)
    proposer.fit(inputs, all_annotators)
    if captioner is not None:
        assert isinstance(proposer, EncoderBorrower)
        proposer.load_encoder(captioner)
    proposer.network.to(resolve_device(settings.device))
    optimizer = torch.optim.Adam(proposer.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    val_events = event_times(corpus, "val", videos)
    logging.info("%d training videos, %d validation videos", len(train_events), len(val_events))

    def train(epoch: int) -> Metrics:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate(epoch)
        videos = numpy_generator(SEED_KEY, settings.seed, epoch).permutation(sorted(train_events)).tolist()
        proposer.network.train()

        def step(batch: list[str]) -> tuple[Float[Tensor, ""], Mapping[str, float]]:
            losses = proposer.compute_losses(inputs, {video: all_annotators[video] for video in batch})
            parts = {f"loss_{name}": loss.item() for name, loss in losses.parts.items()}
            return losses.total, {"loss": losses.total.item(), **parts}

        return train_on_batches(
            batches(videos, settings.batch_size), step, optimizer, max_steps=settings.steps_per_epoch
        )

    def validate() -> Metrics:
        proposals = propose(proposer, inputs, sorted(val_events), settings.validation, settings.batch_size)
        return precision_recall(proposals, val_events)

    loop = TrainingLoop(proposer.network, optimizer, store, metrics, (SEED_KEY, settings.seed))
    checkpoint = loop.run(settings.epochs, train, ValidationPlan(validate) if val_events else None)
    return proposer, checkpoint


def precision_recall(
    proposals: Mapping[str, Sequence[Proposal]], events: Mapping[str, Sequence[EventTimes]]
) -> dict[str, float]:
    """Compute precision and recall as densevid_eval does: the best annotator of each video, then the mean over videos.

    Args:
        proposals: of each video, at least one.
        events: of each video by annotator, at least one event each.

    Returns:
        `proposals`, the mean number per video; for each tIoU threshold t `precision@t`, the fraction of the proposals
        that match an event, and `recall@t`, the fraction of the events that match a proposal.
    """
    precision = np.zeros((len(events), len(TIOU_THRESHOLDS)))
    recall = np.zeros_like(precision)
    for row, (video, annotators) in enumerate(sorted(events.items())):
        proposed = np.array([[proposal.start, proposal.end] for proposal in proposals[video]])
        for annotator in annotators:
            tiou = tiou_matrix(proposed, np.array(annotator, np.float64))
            for column, threshold in enumerate(TIOU_THRESHOLDS):
                matches = tiou > threshold
                precision[row, column] = max(precision[row, column], matches.any(1).mean())
                recall[row, column] = max(recall[row, column], matches.any(0).mean())
    metrics = {"proposals": float(np.mean([len(proposals[video]) for video in events]))}
    for column, threshold in enumerate(TIOU_THRESHOLDS):
        metrics[f"precision@{threshold:g}"] = float(precision[:, column].mean())
        metrics[f"recall@{threshold:g}"] = float(recall[:, column].mean())
    return metrics
