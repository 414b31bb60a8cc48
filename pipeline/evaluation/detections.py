"""Mean average precision of labelled segments, by the rules of ActivityNet's own detection evaluator.

The detections of a class over all videos are ranked by score; equal scores go by video id, then by the order of the
file. In this order each takes, of the instances of its class in its video that nobody has taken yet and that it
overlaps enough, the one that it overlaps most (of several alike, the one that starts, then ends first). Those that get
none are false positives. Precision at a rank is the best from there on (as in VOC since 2010), and its mean over the
instances of the class is AP; instances that nobody takes count 0, so a class without detections has AP 0. The mean is
over the classes that have an instance.

Where we differ from the official evaluator: detections of classes that no instance has are counted instead of ending
in a KeyError; detections of videos that the ground truth does not know are left out; and see `ZERO_LENGTH`.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.evaluation import localization
from pipeline.evaluation.localization import NAMES, TIOUS, GroundTruth, Localizations, known_videos, tiou, warn
from pipeline.evaluation.ragged import Indices, bounds, ranges

TIES = "equal scores of a class go by video id, then by the order of the file"


def score_detections(truth: GroundTruth, detections: Localizations, per_class: bool = False) -> dict[str, Any]:
    """Score detections.

    Args:
        truth: instances.
        detections: scored segments with labels.
        per_class: whether to tell the AP of each class.

    Returns:
        Fractions: mAP (by threshold and "mean"), AP (class -> the same; on request). counts (n_detections: those of
        known videos and classes), unknown_labels (class that no instance has -> its detections in known videos, not
        scored), ties and zero_length_ground_truth (the rules).
    """
    video, counts = known_videos(truth, detections)
    place = {label: index for index, label in enumerate(truth.labels)}
    index = np.array([place.get(label, -1) for label in detections.labels], np.int64)
    label = index[detections.label]
    scored = np.flatnonzero((video >= 0) & (label >= 0))
    ranked = scored[np.lexsort((-detections.scores[scored], label[scored]))]
    precision = average_precision(truth, video[ranked], label[ranked], detections.times[ranked])
    found = {
        "mAP": _by_threshold(precision.mean(axis=0)),
        **counts,
        "n_classes": len(truth.labels),
        "n_detections": len(scored),
        "unknown_labels": _unknown(detections, detections.label[(video >= 0) & (label < 0)]),
        "ties": TIES,
        "zero_length_ground_truth": truth.zero_length,
    }
    if per_class:
        found["AP"] = {name: _by_threshold(values) for name, values in zip(truth.labels, precision, strict=True)}
    return found


def average_precision(
    truth: GroundTruth,
    video: Int[np.ndarray, " detections"],
    label: Int[np.ndarray, " detections"],
    times: Float[np.ndarray, "detections 2"],
) -> Float[np.ndarray, "labels tious"]:
    """AP of each class at each threshold.

    Args:
        truth: instances.
        video: of each detection, index into the videos of the ground truth.
        label: of each detection, index into the labels of the ground truth, ascending.
        times: of each detection, best of the class first.
    """
    hits = _hits(*_pairs(truth, video, label, times), len(video), len(truth.video))
    instances = np.bincount(truth.label, minlength=len(truth.labels))
    ends = bounds(np.bincount(label, minlength=len(truth.labels)))
    precision = np.zeros((len(truth.labels), len(TIOUS)))
    for number, (start, end) in enumerate(pairwise(ends)):
        mine = hits[:, start:end]
        at_rank = np.cumsum(mine, axis=1) / np.arange(1, end - start + 1)
        best = np.maximum.accumulate(at_rank[:, ::-1], axis=1)[:, ::-1]
        precision[number] = (best * mine).sum(axis=1) / instances[number]
    return precision


def table(found: dict[str, Any]) -> str:
    """What `score_detections` gave, in percent."""
    return localization.table({"mAP": found["mAP"], **found.get("AP", {})})


def _pairs(
    truth: GroundTruth,
    video: Int[np.ndarray, " detections"],
    label: Int[np.ndarray, " detections"],
    times: Float[np.ndarray, "detections 2"],
) -> tuple[Indices, Indices, Float[np.ndarray, " pairs"]]:
    """Detections with the instances of their video and class that they overlap enough, in the order of choice."""
    group = truth.label * len(truth.videos) + truth.video
    order = np.lexsort((truth.times[:, 1], truth.times[:, 0], group))
    wanted = label * len(truth.videos) + video
    begin, end = (np.searchsorted(group[order], wanted, side) for side in ("left", "right"))
    detection, instance = np.repeat(np.arange(len(video)), end - begin), ranges(begin, end - begin)
    overlap = tiou(times[detection], truth.times[order][instance])
    chosen = np.lexsort((instance, -overlap, detection))
    chosen = chosen[overlap[chosen] >= TIOUS[0]]
    return detection[chosen], instance[chosen], overlap[chosen]


def _hits(
    detection: Int[np.ndarray, " pairs"],
    instance: Int[np.ndarray, " pairs"],
    overlap: Float[np.ndarray, " pairs"],
    detections: int,
    instances: int,
) -> Bool[np.ndarray, "tious {detections}"]:
    """Whether each detection gets an instance, at each threshold."""
    hits = np.zeros((len(TIOUS), detections), bool)
    for row, threshold in zip(hits, TIOUS, strict=True):
        enough = overlap >= threshold
        found, taken = bytearray(detections), bytearray(instances)
        for one, other in zip(detection[enough].tolist(), instance[enough].tolist(), strict=True):
            if not found[one] and not taken[other]:
                found[one] = taken[other] = 1
        row[:] = np.frombuffer(found, bool)
    return hits


def _unknown(detections: Localizations, label: Indices) -> dict[str, int]:
    unknown = dict(sorted(Counter(detections.labels[index] for index in label).items()))
    warn("detections of %d classes that no instance has are not scored: %s", list(unknown))
    return unknown


def _by_threshold(values: Float[np.ndarray, " tious"]) -> dict[str, float]:
    return {**dict(zip(NAMES, values.tolist(), strict=True)), "mean": float(values.mean())}
