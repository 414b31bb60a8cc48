"""Linear probes: what a linear classifier reads from clip features that it does not change.

Each is a logistic regression on standardised features, solved to its optimum (the objective is convex and has one), so
that a probe has no seed and equal features give equal scores. Features of different encoders are comparable by it, and
no head of a pretraining takes part.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from pipeline.encoders.validation_metrics import average_precision

STEPS = 1000
"""Of L-BFGS at most; it ends where the gradient vanishes, after a few dozen as a rule."""
GRADIENT = 1e-7
"""Below this (the largest entry) the gradient has vanished."""

Features = Float[np.ndarray, "_ dim"]
Classes = Int64[np.ndarray, "_"]
Shown = Bool[np.ndarray, "_ concepts"]


@dataclass(frozen=True)
class Probe:
    """A linear classifier of features.

    Attributes:
        mean: of each channel over the clips that it was fitted on.
        scale: standard deviation of each; 1 where that is 0.
        weights: of the standardised features.
        bias: of each output.
    """

    mean: Float[np.ndarray, "dim"]
    scale: Float[np.ndarray, "dim"]
    weights: Float[np.ndarray, "dim outputs"]
    bias: Float[np.ndarray, "outputs"]

    def logits(self, features: Features) -> Float[np.ndarray, "_ outputs"]:
        """Logits of each clip."""
        found: Float[np.ndarray, "_ outputs"] = (features - self.mean) / self.scale @ self.weights + self.bias
        return found


def fit_classes(features: Features, classes: Classes, count: int, l2: float) -> Probe:
    """One class of several: minimises mean cross-entropy + l2 / 2 |weights|^2; the bias is free.

    Args:
        features: of the clips.
        classes: number of each clip's class.
        count: how many classes there are.
        l2: weight decay, above 0.
    """
    wanted = torch.as_tensor(classes)
    return _fit(features, count, l2, lambda logits: functional.cross_entropy(logits, wanted))


def fit_concepts(features: Features, shown: Shown, l2: float) -> Probe:
    """Any of several concepts: for each minimises mean binary cross-entropy + l2 / 2 |weights|^2."""
    wanted = torch.as_tensor(shown, dtype=torch.float64)

    def loss(logits: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(wanted)

    return _fit(features, shown.shape[1], l2, loss)


def _fit(features: Features, outputs: int, l2: float, loss: Any) -> Probe:
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    x = torch.as_tensor((features - mean) / scale)
    weights = torch.zeros(x.shape[1], outputs, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(outputs, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weights, bias],
        max_iter=STEPS,
        tolerance_grad=GRADIENT,
        tolerance_change=0.0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        solver.zero_grad()
        value: Tensor = loss(x @ weights + bias) + l2 / 2 * weights.square().sum()
        value.backward()
        return value

    solver.step(objective)
    return Probe(mean, scale, weights.detach().numpy(), bias.detach().numpy())


@dataclass(frozen=True)
class Labelled:
    """Clips with what they show (see `encoders.probe_labels`).

    Attributes:
        features: of each clip.
        action: class of each, -1 where it shows none.
        region: 1 inside an action, 0 in the background, -1 across a border.
        concepts: whether each clip shows each concept.
        covered: whether a sentence covers the clip; without one its concepts are unknown.
    """

    features: Float[np.ndarray, "clips dim"]
    action: Int64[np.ndarray, "clips"]
    region: Int64[np.ndarray, "clips"]
    concepts: Bool[np.ndarray, "clips concepts"]
    covered: Bool[np.ndarray, "clips"]


def accuracy(
    train: tuple[Features, Classes], test: tuple[Features, Classes], count: int, l2: float
) -> dict[str, float | int] | None:
    """How often a probe names the class of a clip.

    Args:
        train: features and classes to fit on; -1 leaves a clip out.
        test: those to measure on.
        count: how many classes there are.
        l2: weight decay.

    Returns:
        accuracy; majority, which is that of naming the commonest class of the training clips; how many clips of each
        class of the two there are. None where either side has no clip.
    """
    (x, y), (test_x, test_y) = ((features[classes >= 0], classes[classes >= 0]) for features, classes in (train, test))
    if not len(y) or not len(test_y):
        return None
    named = fit_classes(x, y, count, l2).logits(test_x).argmax(axis=1)
    commonest = int(np.bincount(y, minlength=count).argmax())
    return {
        "accuracy": float((named == test_y).mean()),
        "majority": float((test_y == commonest).mean()),
        "train_clips": len(y),
        "clips": len(test_y),
    }


def concept_precision(train: Labelled, test: Labelled, l2: float) -> dict[int, dict[str, float]]:
    """How well a probe ranks the clips that show a concept before those that do not.

    Args:
        train: clips to fit on.
        test: clips to measure on; those that no sentence covers are left out of both.
        l2: weight decay.

    Returns:
        number of each concept that clips of both sides show -> its average precision, and `chance`, the share of the
        test clips that show it, which is what a random order gives on average.
    """
    shown, test_shown = train.concepts[train.covered], test.concepts[test.covered]
    known = np.flatnonzero(shown.any(axis=0) & test_shown.any(axis=0))
    if not len(known):
        return {}
    probe = fit_concepts(train.features[train.covered], shown[:, known], l2)
    logits = probe.logits(test.features[test.covered])
    return {
        int(number): {
            "average_precision": average_precision(logits[:, column], test_shown[:, number]),
            "chance": float(test_shown[:, number].mean()),
        }
        for column, number in enumerate(known)
    }


def means(found: Mapping[int, Mapping[str, float]], numbers: Iterable[int]) -> dict[str, float | int] | None:
    """Mean average precision and mean chance of some of the concepts, and how many they are; None of none."""
    among = [found[number] for number in numbers if number in found]
    if not among:
        return None
    return {
        "mean_average_precision": float(np.mean([one["average_precision"] for one in among])),
        "chance": float(np.mean([one["chance"] for one in among])),
        "concepts": len(among),
    }
