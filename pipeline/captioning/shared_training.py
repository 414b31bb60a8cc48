"""Training and validation that cross-entropy and self-critical training share."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pipeline.captioning.base import Captioner
from pipeline.captioning.caption_scorer import CaptionScorer
from pipeline.captioning.decoding import Greedy
from pipeline.captioning.event_sequences import annotated_sequences, sentences_of
from pipeline.captioning.streams import EventBatch, EventSequence, StreamCache
from pipeline.config.training import CaptionerTrainingSettings
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.errors import PipelineError
from pipeline.evaluation.diversity import BAD_ENDINGS
from pipeline.features.cache import batches
from pipeline.features.streams import FeatureStreams
from pipeline.io.progress import Progress
from pipeline.training.training_loop import train_on_batches

TrainStep = Callable[[EventBatch, list[EventSequence]], tuple[Tensor, Mapping[str, float]]]
"""From a batch and its event sequences to a loss and metrics."""

VALIDATION_BATCH = 16
"""Sequences per batch of validation."""


class CaptionerTrainer:
    """Trains a captioner on annotated events, epoch by epoch.

    Args:
        captioner: the captioner.
        optimizer: the optimizer of its parameters.
        sequences: the event sequences to train on.
        cache: their features.
        settings: batch size, gradient clipping, steps per epoch.
        copies: sequences of the same video that stand together and count as one in the batch size.
    """

    def __init__(
        self,
        captioner: Captioner,
        optimizer: torch.optim.Optimizer,
        sequences: Sequence[EventSequence],
        cache: StreamCache,
        settings: CaptionerTrainingSettings,
        copies: int = 1,
    ) -> None:
        self.captioner, self.optimizer = captioner, optimizer
        self.sequences, self.cache = sequences, cache
        self.settings, self.batch_size = settings, settings.batch_videos * copies

    def train_epoch(self, order: Sequence[int], step: TrainStep, *, dropout: bool) -> dict[str, float]:
        """Train on all sequences once, in the given order, with or without dropout.

        Returns:
            the mean over the steps of each metric that `step` returns.
        """
        self.captioner.train(dropout)
        device = next(self.captioner.parameters()).device

        def step_on(sequences: list[EventSequence]) -> tuple[Tensor, Mapping[str, float]]:
            return step(self.cache.collate(sequences).to(device), sequences)

        return train_on_batches(
            batches([self.sequences[index] for index in order], self.batch_size),
            step_on,
            self.optimizer,
            clip_gradient=self.settings.clip_gradient,
            max_steps=self.settings.steps_per_epoch,
        )


def training_sequences(corpus: Corpus, splits: Sequence[str], features: FeatureStreams) -> list[EventSequence]:
    """Return the annotated sequences of the given splits.

    Raises:
        PipelineError: no video has both captions and features.
    """
    sequences = annotated_sequences(corpus, splits, features.durations)
    if not sequences:
        raise PipelineError(
            f"{corpus.manifest.path}: no video of {' or '.join(splits)} has both captions and features; nothing to "
            "train on (see rejects.parquet in the same folder)"
        )
    return sequences


def validation_sequences(corpus: Corpus, features: FeatureStreams, stage: str) -> list[EventSequence]:
    """Return the annotated sequences of the split `val`.

    Raises:
        PipelineError: no video has both captions and features, so that METEOR cannot select an epoch.
    """
    sequences = annotated_sequences(corpus, ["val"], features.durations)
    if not sequences:
        raise PipelineError(
            f"{corpus.manifest.path}: no video of the split val has both captions and features, so METEOR cannot "
            f"select an epoch; set {stage}: selection: last, or add videos to val (build_corpus: fractions, pins)"
        )
    return sequences


def validate(
    captioner: Captioner,
    sequences: Sequence[EventSequence],
    cache: StreamCache,
    scorer: CaptionScorer,
    vocabulary: Vocabulary,
) -> dict[str, float]:
    """Caption annotated events greedily, at their annotated times.

    Returns:
        `meteor`: mean METEOR over the events, each caption against the event's own sentence, in [0, 1];
        `bad_endings`: share of captions with a bad ending.
    """
    device = next(captioner.parameters()).device
    captions: list[list[int]] = []
    progress = Progress("validation videos", len(sequences))
    for group in batches(sequences, VALIDATION_BATCH):
        captions += captioner.generate(cache.collate(group).to(device), Greedy()).word_ids()
        progress.step(len(group))
    scores = scorer(captions, sentences_of(sequences))
    return {"meteor": sum(scores) / len(scores), "bad_endings": bad_ending_share(captions, vocabulary)}


def bad_ending_share(captions: Sequence[Sequence[int]], vocabulary: Vocabulary) -> float:
    """Return the share of captions (ids of their words) that are empty or have a bad ending, as in "with a"."""
    count = sum(not caption or vocabulary.decode(caption[-1:]) in BAD_ENDINGS for caption in captions)
    return count / len(captions)
