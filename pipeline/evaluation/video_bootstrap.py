"""Scores of localization on resampled videos, for their intervals.

In a bootstrap sample a video occurs several times or not at all. A video that occurs twice counts twice: its instances,
its detections, its matches. So each draw is a weight for each video, and the scores are computed with these weights.
The first draw has weight 1 everywhere: it gives the score itself.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluation.confidence_intervals import SEED
from pipeline.evaluation.detection_analysis import MatchedDetections
from pipeline.evaluation.proposals import REPORTED_NUMBERS, RecallCurve
from pipeline.evaluation.segments import GroundTruth, tiou_names

Weights = Float[np.ndarray, "draws videos"]
Draws = Float[np.ndarray, " draws"]
"""Values of a score: the score itself, then those of the resampled videos."""

DRAWS_AT_ONCE = 32
"""Draws whose cumulative sums are in memory at a time."""


def draw_weights(num_videos: int, num_draws: int, dataset: int) -> Weights:
    """Draw the weights of videos: how often each is in a sample.

    Args:
        num_videos: number of videos.
        num_draws: number of samples, after the first one, which has each video once.
        dataset: number of the dataset; equal numbers give equal draws, so that systems are compared on equal samples.
    """
    drawn = np.random.default_rng([SEED, dataset]).integers(num_videos, size=(num_draws, num_videos))
    counts = np.zeros((num_draws, num_videos))
    np.add.at(counts, (np.arange(num_draws)[:, None], drawn), 1.0)
    return np.concatenate([np.ones((1, num_videos)), counts])


def bootstrap_detections(matched: MatchedDetections, weights: Weights) -> dict[str, Draws]:
    """Compute mAP at each threshold and its mean over them, for each draw.

    Args:
        matched: detections.
        weights: of the videos of the ground truth.

    Returns:
        `mAP`, the mean over thresholds, then `mAP@0.5` and so on. Classes without instances in a draw do not count.
    """
    parts = [
        _weighted_map(matched, part) for part in np.split(weights, range(DRAWS_AT_ONCE, len(weights), DRAWS_AT_ONCE))
    ]
    by_tiou = np.concatenate(parts)
    names = tiou_names(matched.tious)
    return {"mAP": by_tiou.mean(1), **{f"mAP@{name}": by_tiou[:, row] for row, name in enumerate(names)}}


def bootstrap_proposals(truth: GroundTruth, curve: RecallCurve, weights: Weights) -> dict[str, Draws]:
    """Compute the average recall at some numbers of proposals, and the area below the curve, for each draw.

    The number of proposals of each video stays as it is among all videos.

    Args:
        truth: instances.
        curve: recall of the proposals.
        weights: of the videos of the ground truth.
    """
    instances = weights * truth.counts
    total = instances.sum(1)
    area = np.trapezoid(curve.video_recall, curve.proposals, axis=1) / curve.proposals[-1]
    scores = {f"AR@{number}": recall for number in REPORTED_NUMBERS if (recall := curve.videos_at(number)) is not None}
    return {name: _safe_ratio(instances @ values, total) for name, values in {**scores, "AUC": area}.items()}


def bootstrap_videos(values: Mapping[str, float], videos: tuple[str, ...], weights: Weights) -> Draws:
    """Compute the weighted mean of a value of some videos, for each draw; NaN where a draw has none of them.

    Args:
        values: by video.
        videos: the videos of the weights.
        weights: of the videos.
    """
    columns = [index for index, video in enumerate(videos) if video in values]
    of_videos = np.array([values[videos[index]] for index in columns], np.float64)
    total = weights[:, columns].sum(1)
    return np.divide(weights[:, columns] @ of_videos, total, out=np.full(len(total), np.nan), where=total > 0)


def _weighted_map(matched: MatchedDetections, weights: Weights) -> Float[np.ndarray, "draws tious"]:
    truth = matched.truth
    num_instances = np.stack(
        [np.bincount(truth.label, row[truth.video], minlength=len(truth.labels)) for row in weights]
    )
    total = np.zeros((len(weights), len(matched.tious)))
    for number, (start, end) in enumerate(pairwise(matched.label_offsets)):
        of_class = weights[:, matched.video[start:end]]
        everything = np.cumsum(of_class, axis=1)
        for row, matches in enumerate(matched.matches[:, start:end]):
            total[:, row] += _weighted_precision(of_class, everything, matches, num_instances[:, number])
    return _safe_ratio(total, np.count_nonzero(num_instances, axis=1)[:, None].astype(np.float64))


def _weighted_precision(
    weights: Float[np.ndarray, "draws detections"],
    everything: Float[np.ndarray, "draws detections"],
    matches: Int[np.ndarray, " detections"],
    num_instances: Draws,
) -> Draws:
    """Compute the average precision of a class at a threshold, for each draw; 0 without instances."""
    hits = weights * (matches >= 0)
    at_rank = _safe_ratio(np.cumsum(hits, axis=1), everything)
    best = np.maximum.accumulate(at_rank[:, ::-1], axis=1)[:, ::-1]
    return _safe_ratio((best * hits).sum(axis=1), num_instances)


def _safe_ratio(
    numerator: Float[np.ndarray, "*shape"], denominator: Float[np.ndarray, "*other"]
) -> Float[np.ndarray, "*shape"]:
    """Divide; 0 where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator > 0)
