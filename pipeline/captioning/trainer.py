"""What cross-entropy and self-critical training have in common: the pass over the videos, and who selects."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pipeline.captioning.data import Batch, EventSequence, annotated, collate, sentences_of
from pipeline.captioning.event_captioner import Captioner
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.features.combined import Features
from pipeline.features.cache import ClipCache, batches

Step = Callable[[Batch, list[str]], tuple[Tensor, Mapping[str, float]]]
"""From a batch and its sentences to a loss and metrics."""


class Course:
    """How a captioner learns from annotated events.

    Args:
        captioner: what learns.
        optimizer: over its parameters.
        sequences: what it learns from.
        cache: their clip features.
        batch_videos: sequences per step.
        clip_gradient: gradients are cut to this absolute value.
        steps: of a pass, at most; None for all.
    """

    def __init__(
        self,
        captioner: Captioner,
        optimizer: torch.optim.Optimizer,
        sequences: Sequence[EventSequence],
        cache: ClipCache,
        batch_videos: int,
        clip_gradient: float,
        steps: int | None = None,
    ) -> None:
        self.captioner, self.optimizer = captioner, optimizer
        self.sequences, self.cache = sequences, cache
        self.batch_videos, self.clip_gradient, self.steps = batch_videos, clip_gradient, steps

    def one_pass(self, order: Sequence[int], step: Step, *, dropout: bool) -> dict[str, float]:
        """Go over the sequences once, in the given order, with or without dropout.

        Returns:
            The mean of each metric that `step` gives, over the steps.
        """
        self.captioner.train(dropout)
        device = next(self.captioner.parameters()).device
        seen: dict[str, list[float]] = defaultdict(list)
        ordered = [self.sequences[index] for index in order]
        for group in itertools.islice(batches(ordered, self.batch_videos), self.steps):
            loss, metrics = step(collate(group, self.cache).to(device), sentences_of(group))
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_value_(self.captioner.parameters(), self.clip_gradient)
            self.optimizer.step()
            for name, value in metrics.items():
                seen[name].append(value)
        return {name: sum(values) / len(values) for name, values in seen.items()}


def training_events(corpus: Corpus, splits: Sequence[str], features: Features) -> list[EventSequence]:
    """Annotated events of the given splits.

    Raises:
        PipelineError: there are none with features.
    """
    events = annotated(corpus, splits, features)
    if not events:
        raise PipelineError(
            f"{corpus.manifest.path}: no video of {' or '.join(splits)} has both captions and features; "
            "nothing to train on (look into rejects.parquet beside it)"
        )
    return events


def selection_events(corpus: Corpus, features: Features, stage: str) -> list[EventSequence]:
    """Annotated events of the split `val`.

    Raises:
        PipelineError: there are none with features, so that METEOR cannot select.
    """
    events = annotated(corpus, ["val"], features)
    if not events:
        raise PipelineError(
            f"{corpus.manifest.path}: no video of the split val has both captions and features, so "
            f"METEOR cannot select an epoch; set {stage}: selection: last, or give val videos (build_corpus: "
            "fractions, pins)"
        )
    return events
