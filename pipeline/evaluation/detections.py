"""Mean average precision of labelled segments, by the rules of ActivityNet's own detection evaluator.

The detections of a class over all videos are ranked by score; equal scores are ordered by video id, then by the order
of the file. In this order, each detection takes one instance of its class in its video: of those that are not taken yet
and that it overlaps enough, the one that it overlaps most (of equal ones, the one that starts first, then ends first).
A detection that gets none is a false positive. Precision at a rank is the highest from that rank on (as in VOC since
2010), and its mean over the instances of the class is AP. An instance that is never taken counts 0, so a class without
detections has AP 0. The mean is over the classes that have an instance.

Differences from the official evaluator: detections of classes that have no instance are counted instead of ending in a
KeyError; detections in videos that the ground truth lacks are left out; and see `ZERO_LENGTH`.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.datasets.tiou import tiou_exact
from pipeline.evaluation.ragged import Indices, concat_ranges, offsets_of
from pipeline.evaluation.segments import (
    TIOUS,
    GroundTruth,
    ScoredSegments,
    format_threshold_table,
    match_videos,
    tiou_names,
    warn_names,
)

TIE_RULE = "equal scores of a class go by video id, then by the order of the file"


def score_detections(
    truth: GroundTruth,
    detections: ScoredSegments,
    per_class: bool = False,
    tious: Float[np.ndarray, " tious"] = TIOUS,
) -> dict[str, Any]:
    """Score detections.

    Args:
        truth: instances.
        detections: scored segments with labels.
        per_class: return the AP of each class.
        tious: thresholds; ActivityNet's are the default, THUMOS14's are 0.3 to 0.7.

    Returns:
        Fractions: mAP (by threshold and "mean"), AP (class -> the same; on request). Counts (n_detections: those in
        known videos and classes), unknown_labels (class without instances -> its detections in known videos, which are
        not scored), ties and zero_length_ground_truth (the rules), per_video (see `_per_video`).
    """
    video, counts = match_videos(truth, detections)
    label_ids = {label: index for index, label in enumerate(truth.labels)}
    label = np.array([label_ids.get(name, -1) for name in detections.labels], np.int64)[detections.label]
    scored = np.flatnonzero((video >= 0) & (label >= 0))
    ranked = scored[np.lexsort((-detections.scores[scored], label[scored]))]
    hits = match_detections(truth, video[ranked], label[ranked], detections.times[ranked], tious) >= 0
    precision = average_precision(truth, label[ranked], hits)
    result = {
        "mAP": _by_threshold(precision.mean(axis=0), tious),
        **counts,
        "n_classes": len(truth.labels),
        "n_detections": len(scored),
        "unknown_labels": _count_unknown(detections, detections.label[(video >= 0) & (label < 0)]),
        "ties": TIE_RULE,
        "zero_length_ground_truth": truth.zero_length,
    }
    if per_class:
        classes = zip(truth.labels, precision, strict=True)
        result["AP"] = {name: _by_threshold(values, tious) for name, values in classes}
    return {**result, "per_video": _per_video(truth, video[ranked], hits)}


def match_detections(
    truth: GroundTruth,
    video: Int[np.ndarray, " detections"],
    label: Int[np.ndarray, " detections"],
    times: Float[np.ndarray, "detections 2"],
    tious: Float[np.ndarray, " tious"] = TIOUS,
) -> Int[np.ndarray, "tious detections"]:
    """Find the instance that each detection gets, at each threshold.

    Args:
        truth: instances.
        video: video of each detection, index into the videos of the ground truth.
        label: class of each detection, index into the labels of the ground truth, ascending.
        times: times of each detection [s], best of the class first.
        tious: thresholds.

    Returns:
        Index of the instance; -1 if the detection gets none.
    """
    detection, instance, tiou = _candidate_pairs(truth, video, label, times, float(tious.min()))
    matches = np.full((len(tious), len(video)), -1, np.int64)
    for row, threshold in zip(matches, tious, strict=True):
        enough = tiou >= threshold
        is_hit, is_taken = bytearray(len(video)), bytearray(len(truth.video))
        for i, j in zip(detection[enough].tolist(), instance[enough].tolist(), strict=True):
            if not is_hit[i] and not is_taken[j]:
                is_hit[i] = is_taken[j] = 1
                row[i] = j
    return matches


def average_precision(
    truth: GroundTruth, label: Int[np.ndarray, " detections"], hits: Bool[np.ndarray, "tious detections"]
) -> Float[np.ndarray, "labels tious"]:
    """Compute the AP of each class at each threshold.

    Args:
        truth: instances.
        label: class of each detection, ascending; best of the class first.
        hits: whether each detection gets an instance, see `match_detections`.
    """
    num_instances = np.bincount(truth.label, minlength=len(truth.labels))
    offsets = offsets_of(np.bincount(label, minlength=len(truth.labels)))
    precision = np.zeros((len(truth.labels), len(hits)))
    for number, (start, end) in enumerate(pairwise(offsets)):
        class_hits = hits[:, start:end]
        at_rank = np.cumsum(class_hits, axis=1) / np.arange(1, end - start + 1)
        best = np.maximum.accumulate(at_rank[:, ::-1], axis=1)[:, ::-1]
        precision[number] = (best * class_hits).sum(axis=1) / num_instances[number]
    return precision


def format_detections(result: dict[str, Any]) -> str:
    """Format the result of `score_detections` in percent."""
    tious = [name for name in result["mAP"] if name != "mean"]
    return format_threshold_table({"mAP": result["mAP"], **result.get("AP", {})}, tious)


def _candidate_pairs(
    truth: GroundTruth,
    video: Int[np.ndarray, " detections"],
    label: Int[np.ndarray, " detections"],
    times: Float[np.ndarray, "detections 2"],
    min_tiou: float,
) -> tuple[Indices, Indices, Float[np.ndarray, " pairs"]]:
    """Pair detections with the instances of their video and class that they overlap enough, in order of preference."""
    instance_group = truth.label * len(truth.videos) + truth.video
    order = np.lexsort((truth.times[:, 1], truth.times[:, 0], instance_group))
    detection_group = label * len(truth.videos) + video
    start, end = (np.searchsorted(instance_group[order], detection_group, side) for side in ("left", "right"))
    detection, instance = np.repeat(np.arange(len(video)), end - start), concat_ranges(start, end - start)
    tiou = tiou_exact(times[detection], truth.times[order][instance])
    ranking = np.lexsort((instance, -tiou, detection))
    ranking = ranking[tiou[ranking] >= min_tiou]
    return detection[ranking], order[instance[ranking]], tiou[ranking]


def _per_video(
    truth: GroundTruth, video: Int[np.ndarray, " detections"], hits: Bool[np.ndarray, "tious detections"]
) -> dict[str, list[Any]]:
    """Tabulate the videos of the subset.

    AP ranks the detections of all videos, so a video has none of its own. What it has are the shares of its instances
    and of its detections that are matched, whatever their scores.

    Returns:
        video, n_instances, n_detections, recall and precision (means over thresholds; None without instances or
        detections).
    """
    matches = np.bincount(video, hits.mean(axis=0), minlength=len(truth.videos))
    num_detections = np.bincount(video, minlength=len(truth.videos))
    return {
        "video": list(truth.videos),
        "n_instances": truth.counts.tolist(),
        "n_detections": num_detections.tolist(),
        **{
            name: [float(match / count) if count else None for match, count in zip(matches, counts, strict=True)]
            for name, counts in (("recall", truth.counts), ("precision", num_detections))
        },
    }


def _count_unknown(detections: ScoredSegments, label: Indices) -> dict[str, int]:
    unknown = dict(sorted(Counter(detections.labels[index] for index in label).items()))
    warn_names("ignored detections of %d classes that have no instance: %s", list(unknown))
    return unknown


def _by_threshold(values: Float[np.ndarray, " tious"], tious: Float[np.ndarray, " tious"]) -> dict[str, float]:
    return {**dict(zip(tiou_names(tious), values.tolist(), strict=True)), "mean": float(values.mean())}
