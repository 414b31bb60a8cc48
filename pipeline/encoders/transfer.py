"""Few-shot classification of frozen features (Mahdisoltani et al., 2018, section 6.2 and Figure 4).

A softmax regression classifies each feature row of a clip, and the probabilities are averaged over time. It is fitted
on k clips of each class, with several draws. The interval of the mean accuracy is Student's t; the paper does not state
its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from pipeline.encoders.probe import fit_classes
from pipeline.training.seeds import numpy_generator

T_QUANTILES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045),
)
"""97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom."""


@dataclass(frozen=True)
class ClipRows:
    """Feature rows of clips, with the class of each clip.

    Attributes:
        rows: of all clips, one clip after the other.
        clip: index of the clip of each row.
        classes: class of each clip.
    """

    rows: Float[np.ndarray, "rows dim"]
    clip: Int64[np.ndarray, " rows"]
    classes: Int64[np.ndarray, " clips"]

    @classmethod
    def collect(
        cls, features: Sequence[Float[np.ndarray, "_ dim"]], classes: Sequence[int], kind: Literal["each", "mean"]
    ) -> "ClipRows":
        """Collect the rows of clips, or the mean row of each.

        Args:
            features: rows of each clip.
            classes: class of each clip.
            kind: `each` row or the `mean` row.
        """
        if kind == "mean":
            features = [of_clip.mean(axis=0, keepdims=True) for of_clip in features]
        clip = np.repeat(np.arange(len(features)), [len(of_clip) for of_clip in features])
        return cls(np.concatenate(list(features)), clip, np.array(classes, np.int64))

    def select(self, clips: Int64[np.ndarray, " selected"]) -> "ClipRows":
        """Return some of the clips."""
        position = np.full(len(self.classes), -1)
        position[clips] = np.arange(len(clips))
        mask = position[self.clip] >= 0
        return ClipRows(self.rows[mask], position[self.clip[mask]], self.classes[clips])


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


def transfer_accuracy(train: ClipRows, test: ClipRows, num_classes: int, l2: float) -> float:
    """Fit on some clips, and compute the share of other clips that are classified correctly.

    Args:
        train: clips to fit on.
        test: clips to classify.
        num_classes: number of classes.
        l2: L2 penalty.
    """
    probe = fit_classes(train.rows, train.classes[train.clip], num_classes, l2)
    logits = probe.logits(test.rows)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    sums = np.zeros((len(test.classes), num_classes))
    np.add.at(sums, test.clip, probabilities)
    counts = np.bincount(test.clip, minlength=len(test.classes))
    return float(((sums / counts[:, None]).argmax(axis=1) == test.classes).mean())


def summarize_runs(accuracies: Sequence[float]) -> Mapping[str, float | list[float] | None]:
    """Return the mean accuracy of runs and its 95 % interval; one run has none."""
    count, mean = len(accuracies), float(np.mean(accuracies))
    if count == 1:
        return {"accuracy": mean, "interval": None}
    margin = T_QUANTILES[count - 2] * float(np.std(accuracies, ddof=1)) / math.sqrt(count)
    return {"accuracy": mean, "interval": [mean - margin, mean + margin]}
