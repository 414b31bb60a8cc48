"""Classification of frozen features by few labelled clips (Mahdisoltani et al., 2018, section 6.2, Figure 4, Table 1).

A classifier is trained on k clips of each class, with several draws. The interval of the mean accuracy is Student's t;
the paper does not state its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.config.transfer_features import RegressionSettings
from pipeline.encoders.probe import fit_classes
from pipeline.evaluation.student_t import mean_interval
from pipeline.training.seeds import numpy_generator

RowsRead = Literal["each", "mean", "middle"]
"""Which rows of a clip a classifier reads."""


@dataclass(frozen=True)
class LabelledFeatures:
    """Clips with their classes; their feature rows are read when they are needed.

    Attributes:
        videos: ids of the clips.
        classes: class of each clip.
        read: returns the feature rows of a clip.
    """

    videos: Sequence[str]
    classes: Int64[np.ndarray, " clips"]
    read: Callable[[str], Float[Tensor, "rows dim"]]

    def select(self, indices: Int64[np.ndarray, " selected"]) -> "LabelledFeatures":
        """Return some of the clips."""
        return replace(self, videos=[self.videos[index] for index in indices], classes=self.classes[indices])

    def rows(self, index: int, kind: RowsRead) -> Float[Tensor, "rows dim"]:
        """Read the rows of a clip that a classifier reads.

        Args:
            index: number of the clip.
            kind: `each` row, or one row: the `mean` or the `middle` one.
        """
        rows = self.read(self.videos[index])
        if kind == "mean":
            return rows.mean(0, keepdim=True)
        if kind == "middle":
            middle = len(rows) // 2
            return rows[middle : middle + 1]
        return rows


def draw_shots(
    classes: Int64[np.ndarray, " clips"], shots: int | None, *keys: str | int
) -> Int64[np.ndarray, " selected"]:
    """Draw clips of each class without repetition; a class with fewer clips gives all it has.

    Args:
        classes: class of each clip.
        shots: clips of each class; None for all.
        keys: what the draw depends on.
    """
    if shots is None:
        return np.arange(len(classes))
    rng = numpy_generator("transfer", *keys)
    drawn = [rng.permutation(np.flatnonzero(classes == label))[:shots] for label in np.unique(classes)]
    return np.sort(np.concatenate(drawn))


def regression_accuracy(
    train: LabelledFeatures, test: LabelledFeatures, num_classes: int, settings: RegressionSettings
) -> float:
    """Fit a softmax regression on some clips, and compute the share of other clips that it classifies correctly.

    Args:
        train: clips to fit on.
        test: clips to classify.
        num_classes: number of classes.
        settings: settings of the regression.
    """
    rows, clip = _stack_rows(train, settings)
    probe = fit_classes(rows, train.classes[clip], num_classes, settings.l2)
    test_rows, test_clip = _stack_rows(test, settings)
    logits = probe.logits(test_rows)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    sums = np.zeros((len(test.classes), num_classes))
    np.add.at(sums, test_clip, probabilities)
    counts = np.bincount(test_clip, minlength=len(test.classes))
    return float(((sums / counts[:, None]).argmax(axis=1) == test.classes).mean())


def _stack_rows(
    clips: LabelledFeatures, settings: RegressionSettings
) -> tuple[Float[np.ndarray, "rows dim"], Int64[np.ndarray, " rows"]]:
    """Return the rows of all clips, one clip after the other, and the number of the clip of each row."""
    rows = [clips.rows(index, settings.rows) for index in range(len(clips.videos))]
    return torch.cat(rows).numpy(), np.repeat(np.arange(len(rows)), [len(of_clip) for of_clip in rows])


def summarize_runs(accuracies: Sequence[float]) -> Mapping[str, float | list[float] | None]:
    """Return the mean accuracy of runs and its 95 % interval; one run has none."""
    return {"accuracy": float(np.mean(accuracies)), "interval": mean_interval(accuracies)}
