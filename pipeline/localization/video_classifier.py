"""A classifier of whole videos, trained on pooled features.

It is a logistic regression on standardised features, solved to its optimum (`pipeline.encoders.probe`): it has no seed,
and equal features give equal scores. A video with actions of several classes is an example of each.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.encoders.probe import fit_classes
from pipeline.errors import PipelineError
from pipeline.features.pooled import PooledVideoFeatures

MAX_NAMED = 3
"""Number of classes that a message names."""

VideoLabels = Mapping[str, Sequence[int]]
"""Indices of the classes that occur in each video."""


def video_labels(corpus: Corpus) -> dict[str, list[int]]:
    """Return the classes of each video with annotated actions, each class once, in the order of their indices."""
    index = {label: number for number, label in enumerate(corpus.labels)}
    classes: dict[str, set[int]] = {}
    for segment in corpus.segments:
        if segment.label is not None:
            classes.setdefault(segment.video, set()).add(index[segment.label])
    return {video: sorted(numbers) for video, numbers in sorted(classes.items())}


def concatenate_pools(
    features: Sequence[PooledVideoFeatures], pools: Sequence[str]
) -> tuple[list[str], Float[np.ndarray, "videos dim"]]:
    """Return the videos that have all features, sorted, and their concatenated vectors.

    Args:
        features: pooled features.
        pools: kinds of pooling, concatenated for each feature.

    Raises:
        PipelineError: a kind of pooling was not stored, features are not finite (names the video), or no video has all
            features.
    """
    videos = sorted(set[str].intersection(*(set(of_feature.videos) for of_feature in features)))
    if not videos:
        raise PipelineError(f"{', '.join(str(each.manifest) for each in features)}: no video has all of these features")
    vectors = np.concatenate([each.vectors_of(videos, pool) for each in features for pool in pools], axis=1)
    is_finite = np.isfinite(vectors).all(axis=1)
    if not is_finite.all():
        raise PipelineError(
            f"features of video {videos[int(is_finite.argmin())]} contain NaN or infinity; extract again"
        )
    return videos, vectors


def classify_by_features(
    videos: Sequence[str],
    vectors: Float[np.ndarray, "videos dim"],
    train_labels: VideoLabels,
    labels: Sequence[str],
    l2: float,
) -> dict[str, Float[np.ndarray, " classes"]]:
    """Train the classifier, and compute the probability of each class in each video.

    Args:
        videos: ids of the videos with features.
        vectors: their features.
        train_labels: classes of the training videos; those without features are left out.
        labels: names of the classes. One that no training video has gets probability 0.
        l2: L2 penalty, above 0.

    Raises:
        PipelineError: no training video has features.
    """
    rows = {video: row for row, video in enumerate(videos)}
    examples = [(rows[video], label) for video, of_video in train_labels.items() if video in rows for label in of_video]
    if not examples:
        raise PipelineError("no training video has both annotated actions and features; there is nothing to train on")
    chosen, classes = (np.array(column, np.int64) for column in zip(*examples, strict=True))
    absent = sorted(set(range(len(labels))).difference(classes.tolist()))
    if absent:
        names = ", ".join(labels[index] for index in absent[:MAX_NAMED])
        logging.warning("%d classes have no training video with features, and get score 0: %s", len(absent), names)
    logits = fit_classes(vectors[chosen], classes, len(labels), l2).logits(vectors)
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = exponential / exponential.sum(axis=1, keepdims=True)
    return dict(zip(videos, probability, strict=True))


def top_class_accuracy(
    corpus: Corpus, scores: Mapping[str, Float[np.ndarray, " classes"]]
) -> dict[str, dict[str, float | int]]:
    """Compute how often the best class of a video occurs in it.

    Returns:
        For each split with such videos: `accuracy`, a fraction; `videos`, the number of videos with scores and actions.
    """
    annotated = video_labels(corpus)
    result: dict[str, dict[str, float | int]] = {}
    for split in SPLITS:
        videos = [row.video for row in corpus.videos if row.split == split]
        hits = [
            int(scores[video].argmax()) in annotated[video]
            for video in videos
            if video in annotated and video in scores
        ]
        if hits:
            result[split] = {"accuracy": float(np.mean(hits)), "videos": len(hits)}
    return result
