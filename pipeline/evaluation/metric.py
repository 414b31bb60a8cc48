"""The contract of a metric of captions, and what metrics share while they run.

A metric scores documents, each on its own, and returns its values by name. There are two kinds (`MetricSpec.kind`):

- `PairMetric`: a document holds the matched (caption, reference) pairs of one video at one tIoU threshold. The result
  of the set is the mean over all reference videos; a video without captions scores 0.
- `VideoMetric`: a document holds all captions of one video and all references of one annotator. The result of the set
  is the mean over the videos that both have, then over the annotators; a video without captions does not count.

All sentences are tokenized: lower case, words joined by single spaces, without punctuation, possibly empty.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Float

from pipeline.config.evaluate import Evaluate
from pipeline.config.metrics import METRICS
from pipeline.evaluation.matching import PairDocument, VideoEvents

T = TypeVar("T")

DocumentScores = Mapping[str, Float[np.ndarray, " documents"]]
"""Value of each document, by the name of the value (`MetricSpec.values`)."""


@dataclass(frozen=True)
class VideoDocument:
    """All captions of a video and all references of an annotator, both tokenized and in order of their start.

    Attributes:
        captions: at least one.
        references: at least one.
    """

    captions: VideoEvents
    references: VideoEvents


class MetricContext:
    """What the metrics of one evaluation share. Use it as a context manager, which closes what was opened.

    Args:
        settings: section `evaluate`.
    """

    def __init__(self, settings: Evaluate) -> None:
        self.settings = settings
        self._stack = ExitStack()
        self._resources: dict[str, Any] = {}

    def __enter__(self) -> "MetricContext":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def share(self, name: str, open_resource: Callable[[], AbstractContextManager[T]]) -> T:
        """Open a resource, such as a model, at its first use; later calls return the same one.

        Args:
            name: name of the resource.
            open_resource: makes the resource.
        """
        if name not in self._resources:
            self._resources[name] = self._stack.enter_context(open_resource())
        resource: T = self._resources[name]
        return resource


class Metric(ABC):
    """A metric of captions.

    Args:
        context: settings, and resources shared with other metrics.
    """

    libraries: ClassVar[tuple[str, ...]] = ()
    """Installed packages on whose versions the values depend, besides numpy."""

    def __init__(self, context: MetricContext) -> None:
        self.context = context

    @abstractmethod
    def score(self, documents: Sequence[Any]) -> DocumentScores:
        """Score documents, each on its own."""

    @classmethod
    def identity(cls, settings: Evaluate) -> dict[str, Any]:
        """Describe the model for the record `evaluator` of results: versions, checksums; empty if there is none.

        Settings need not be described: `metric_identities` adds those that are no defaults.

        Args:
            settings: section `evaluate`.
        """
        del settings
        return {}


class PairMetric(Metric):
    """A metric of matched (caption, reference) pairs."""

    @abstractmethod
    def score(self, documents: Sequence[PairDocument]) -> DocumentScores:
        """Score documents, none of which is empty."""

    def note(self, documents: Sequence[PairDocument]) -> str | None:
        """Return what a reader of the scores must know about these documents; None if there is nothing.

        Args:
            documents: of every video at every threshold, those that have any matched pair.
        """
        del documents
        return None


class VideoMetric(Metric):
    """A metric of whole videos."""

    @abstractmethod
    def score(self, documents: Sequence[VideoDocument]) -> DocumentScores:
        """Score documents, each on its own."""


def build_metrics(context: MetricContext) -> dict[str, Metric]:
    """Build the metrics of the settings, in their order.

    Raises:
        TypeError: the class of a metric is of another kind than its spec.
    """
    metrics: dict[str, Metric] = {}
    for name in context.settings.metrics:
        metric = METRICS[name].load()(context)
        base = PairMetric if METRICS[name].kind == "pair" else VideoMetric
        if not isinstance(metric, base):
            raise TypeError(f"metric {name}: {METRICS[name].build} is not a {base.__name__}")
        metrics[name] = metric
    return metrics


def metric_identities(settings: Evaluate) -> dict[str, Any]:
    """Describe the models of the metrics, and as `metric_settings` all settings of metrics that are no defaults.

    Args:
        settings: section `evaluate`.
    """
    models = {key: value for metric in _classes(settings.metrics) for key, value in metric.identity(settings).items()}
    changed = settings.metric_settings.model_dump(mode="json", exclude_defaults=True)
    return models | ({"metric_settings": changed} if changed else {})


def metric_libraries() -> tuple[str, ...]:
    """Return the packages on whose versions the values of any metric depend, sorted."""
    return tuple(sorted({library for metric in _classes(METRICS) for library in metric.libraries}))


def _classes(names: Iterable[str]) -> list[type[Metric]]:
    return [METRICS[name].load() for name in names]
