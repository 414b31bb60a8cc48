"""Linear probes: what a linear classifier reads from clip features that it does not change.

A probe is a logistic regression on standardised features, solved to its optimum. The objective is convex, so a probe
has no seed and equal features give equal scores. Probes make the features of different encoders comparable, without
the heads of their pretraining.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from pipeline.datasets.concepts import Concept
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.sampling import (
    BACKGROUND,
    FOREGROUND,
    NO_ACTION,
    ConceptLabels,
    RegionSegment,
    action_segments,
    annotated_background,
    background_segments,
)
from pipeline.features.combined import CombinedFeatures
from pipeline.io.progress import Progress
from pipeline.training.seeds import numpy_generator

MAX_ITERATIONS = 1000
"""Largest number of L-BFGS iterations; a few dozen are usual."""
GRADIENT_TOLERANCE = 1e-7
"""L-BFGS stops when the largest entry of the gradient of the objective is smaller."""

MIXED_REGION = -1
"""Region of a clip that crosses a border of an action, or lies where the annotations state no region."""

_ROUNDING = 1e-9
"""Seconds by which a sum of two decimal times may miss a border."""

FeatureRows = Float[np.ndarray, "_ dim"]
Classes = Int64[np.ndarray, "_"]
ConceptMatrix = Bool[np.ndarray, "_ concepts"]


@dataclass(frozen=True)
class ProbeDataset:
    """Clips with their labels.

    Attributes:
        features: feature of each clip.
        action: action class of each clip; -1 without one.
        region: 1 inside an action, 0 in the background, -1 across a border.
        concepts: whether each clip shows each concept.
        has_caption: whether a sentence covers the clip; without one its concepts are unknown.
    """

    features: Float[np.ndarray, "clips dim"]
    action: Int64[np.ndarray, "clips"]
    region: Int64[np.ndarray, "clips"]
    concepts: Bool[np.ndarray, "clips concepts"]
    has_caption: Bool[np.ndarray, "clips"]


def build_probe_dataset(
    corpus: Corpus, features: CombinedFeatures, splits: Sequence[str], concepts: list[Concept]
) -> ProbeDataset:
    """Label the clips of some splits, in the order of the video ids.

    A clip belongs to a region if it lies wholly inside; of several actions that contain it, it has the first. It shows
    the concepts of the sentences that cover its centre, as in pretraining.

    Args:
        corpus: annotations.
        features: features of the videos; videos without features are skipped.
        splits: names of the splits.
        concepts: the concepts, by index.
    """
    videos = [row.video for row in corpus.videos_of_splits(*splits) if row.video in features.videos]
    durations = {video: features.videos[video] for video in videos}
    actions = action_segments(corpus.segments, durations, corpus.labels)
    background = (
        annotated_background(corpus.segments, durations)
        if corpus.has_annotated_background
        else background_segments(actions, durations, features.grid.frames / features.grid.fps)
    )
    segments: dict[str, list[RegionSegment]] = {video: [] for video in videos}
    for segment in [*actions, *background]:
        segments[segment.video].append(segment)
    labels = ConceptLabels([event for event in corpus.captions if event.video in durations], concepts)
    empty = _unlabelled(np.zeros((0, features.dim), np.float32), len(concepts))
    parts = [_label_video(video, features, segments[video], labels, len(concepts)) for video in videos]
    columns = zip(*(vars(part).values() for part in [empty, *parts]), strict=True)
    return ProbeDataset(*(np.concatenate(column) for column in columns))


def _unlabelled(features: Float[np.ndarray, "clips dim"], num_concepts: int) -> ProbeDataset:
    num_clips = len(features)
    return ProbeDataset(
        features,
        np.full(num_clips, NO_ACTION),
        np.full(num_clips, MIXED_REGION),
        np.zeros((num_clips, num_concepts), bool),
        np.zeros(num_clips, bool),
    )


def _label_video(
    video: str, features: CombinedFeatures, segments: list[RegionSegment], labels: ConceptLabels, num_concepts: int
) -> ProbeDataset:
    clips = _unlabelled(features.read(video), num_concepts)
    grid = features.grid_of(video)
    centres, half = grid.centres(len(clips.features)), grid.frames / 2 / grid.fps
    for segment in reversed(segments):  # the first segment is written last and wins
        inside = (centres - half >= segment.start - _ROUNDING) & (centres + half <= segment.end + _ROUNDING)
        clips.action[inside] = segment.action
        clips.region[inside] = BACKGROUND if segment.action == NO_ACTION else FOREGROUND
    for row, centre in enumerate(centres):
        concepts = labels.at(video, float(centre))
        if concepts is not None:
            clips.has_caption[row] = True
            clips.concepts[row, list(concepts)] = True
    return clips


def draw_clips(dataset: ProbeDataset, max_clips: int | None) -> ProbeDataset:
    """Return `max_clips` clips of the dataset, drawn at random without repetition; all clips if it has no more.

    The draw depends on the numbers of clips only: of features with equal time grids it takes the same clips.

    Args:
        dataset: clips; their order stays.
        max_clips: largest number of clips; None for all.
    """
    num_clips = len(dataset.features)
    if max_clips is None or num_clips <= max_clips:
        return dataset
    rows = np.sort(numpy_generator("probe clips").choice(num_clips, max_clips, replace=False))
    return ProbeDataset(*(column[rows] for column in vars(dataset).values()))


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier of standardised features.

    Attributes:
        scaler: standardises the features.
        weights: weights of each output.
        bias: bias of each output; minus infinity for a class without training clips.
    """

    scaler: StandardScaler
    weights: Float[np.ndarray, "dim outputs"]
    bias: Float[np.ndarray, "outputs"]

    def logits(self, features: FeatureRows) -> Float[np.ndarray, "_ outputs"]:
        """Compute the logits of each clip."""
        logits: Float[np.ndarray, "_ outputs"] = self.scaler.transform(_float64(features)) @ self.weights + self.bias
        return logits


def fit_classes(features: FeatureRows, classes: Classes, num_classes: int, l2: float) -> LinearProbe:
    """Fit a classifier of one class of several: minimise mean cross-entropy + l2 / 2 |weights|^2; the bias is free.

    Args:
        features: features of the clips.
        classes: class of each clip.
        num_classes: number of classes.
        l2: L2 penalty, above 0.
    """
    scaler = StandardScaler().fit(_float64(features))
    weights = np.zeros((features.shape[1], num_classes))
    bias = np.full(num_classes, -np.inf)
    present = np.unique(classes)
    if len(present) == 1:
        bias[present] = 0.0
    elif len(present) == 2:
        # scikit-learn has one weight vector d for two classes. A softmax has two, -d/2 and d/2 at the optimum, whose
        # squared norms sum to |d|^2 / 2: half the penalty gives the same objective.
        difference, offset = _fit_logistic(scaler.transform(_float64(features)), classes == present[1], l2 / 2)
        weights[:, present] = np.stack([-difference / 2, difference / 2], axis=1)
        bias[present] = -offset / 2, offset / 2
    else:
        regression = _logistic_regression(l2, len(classes)).fit(scaler.transform(_float64(features)), classes)
        weights[:, present], bias[present] = regression.coef_.T, regression.intercept_
    return LinearProbe(scaler, weights, bias)


def fit_concepts(features: FeatureRows, concepts: ConceptMatrix, l2: float, workers: int = 1) -> LinearProbe:
    """Fit a classifier of each concept: minimise mean binary cross-entropy + l2 / 2 |weights|^2; the bias is free.

    Args:
        features: features of the clips.
        concepts: whether each clip shows each concept. A concept that all or no clips show gets weights of 0.
        l2: L2 penalty, above 0.
        workers: threads; each fits one concept at a time.
    """
    scaler = StandardScaler().fit(_float64(features))
    x = scaler.transform(_float64(features))
    weights, bias = np.zeros((x.shape[1], concepts.shape[1])), np.zeros(concepts.shape[1])
    columns = np.flatnonzero(concepts.any(axis=0) & ~concepts.all(axis=0))
    progress = Progress("concepts", len(columns))
    with ThreadPoolExecutor(workers) as pool:
        fits = pool.map(lambda index: _fit_logistic(x, concepts[:, index], l2), columns)
        for index, (direction, offset) in zip(columns, fits, strict=True):
            weights[:, index], bias[index] = direction, offset
            progress.step()
    return LinearProbe(scaler, weights, bias)


def _fit_logistic(
    x: FeatureRows, is_positive: Bool[np.ndarray, "_"], l2: float
) -> tuple[Float[np.ndarray, "dim"], float]:
    """Return the weights and the bias of a binary logistic regression."""
    regression = _logistic_regression(l2, len(x)).fit(x, is_positive)
    return regression.coef_[0], float(regression.intercept_[0])


def _logistic_regression(l2: float, num_clips: int) -> LogisticRegression:
    """Build the regression. scikit-learn minimises C x summed loss + 1/2 |w|^2, which is ours divided by l2."""
    return LogisticRegression(C=1 / (l2 * num_clips), tol=GRADIENT_TOLERANCE, max_iter=MAX_ITERATIONS)


def _float64(features: FeatureRows) -> FeatureRows:
    """Convert to float64: in float32, L-BFGS stops before the optimum."""
    return features.astype(np.float64)


def class_accuracy(
    train: tuple[FeatureRows, Classes], test: tuple[FeatureRows, Classes], num_classes: int, l2: float
) -> dict[str, float | int] | None:
    """Compute the accuracy of a probe of classes.

    Args:
        train: features and classes to fit on; clips of class -1 are left out.
        test: features and classes to measure on, likewise.
        num_classes: number of classes.
        l2: L2 penalty.

    Returns:
        `accuracy`; `majority`, the accuracy of always predicting the commonest class of the training clips;
        `train_clips` and `clips`, the numbers of clips. None if either side has no clips.
    """
    (x, y), (test_x, test_y) = ((features[classes >= 0], classes[classes >= 0]) for features, classes in (train, test))
    if not len(y) or not len(test_y):
        return None
    predictions = fit_classes(x, y, num_classes, l2).logits(test_x).argmax(axis=1)
    commonest = int(np.bincount(y, minlength=num_classes).argmax())
    return {
        "accuracy": float((predictions == test_y).mean()),
        "majority": float((test_y == commonest).mean()),
        "train_clips": len(y),
        "clips": len(test_y),
    }


def concept_precisions(
    train: ProbeDataset, test: ProbeDataset, l2: float, workers: int = 1
) -> dict[int, dict[str, float]]:
    """Compute the average precision of a probe for each concept.

    Args:
        train: clips to fit on.
        test: clips to measure on; clips without a caption are left out of both.
        l2: L2 penalty.
        workers: threads; each fits one concept at a time.

    Returns:
        index of each concept that clips of both sides show -> its `average_precision`; and `chance`, the share of test
        clips that show it, which is the expected precision of a random order.
    """
    concepts, test_concepts = train.concepts[train.has_caption], test.concepts[test.has_caption]
    indices = np.flatnonzero(concepts.any(axis=0) & test_concepts.any(axis=0))
    if not len(indices):
        return {}
    probe = fit_concepts(train.features[train.has_caption], concepts[:, indices], l2, workers)
    logits = probe.logits(test.features[test.has_caption])
    return {
        int(index): {
            "average_precision": float(average_precision_score(test_concepts[:, index], logits[:, column])),
            "chance": float(test_concepts[:, index].mean()),
        }
        for column, index in enumerate(indices)
    }


def mean_precision(
    precisions: Mapping[int, Mapping[str, float]], indices: Iterable[int]
) -> dict[str, float | int] | None:
    """Compute the mean average precision and the mean chance of some concepts, and their number; None without any."""
    chosen = [precisions[index] for index in indices if index in precisions]
    if not chosen:
        return None
    return {
        "mean_average_precision": float(np.mean([concept["average_precision"] for concept in chosen])),
        "chance": float(np.mean([concept["chance"] for concept in chosen])),
        "concepts": len(chosen),
    }
