"""Where detections succeed and fail, as DETAD measures it (Alwassel et al., 2018).

`AP_N`, the normalised average precision, has the precision R N / (R N + FP) at recall R with FP false positives: N is
the mean number of instances of a class, so that classes and groups of different sizes compare. Its mean over classes
and thresholds is the average mAP_N.

The instances are divided into groups, by length for example. The value of a group is the average mAP_N in which only
the instances of the group count. Detections that get an instance of another group at any threshold are left out; all
false positives remain. Classes without an instance in a group do not count in it.

The false positive profile says why detections get no instance. It looks at the instance, of any class, that a detection
overlaps most:

    double detection   it overlaps enough and has its class, but another detection got it
    wrong label        it overlaps enough
    localization       it overlaps a little (0.1 or more) and has its class
    confusion          it overlaps a little
    background         it overlaps less, or the video has no instance

Of a class, the best 10 G detections are looked at, where G is its number of instances. `gain` is what the average mAP_N
would gain without the detections of one kind.

Instances of zero length are left out, as in DETAD's code: nothing overlaps them.

Differences from DETAD's code: a class without detections counts 0 instead of ending in a KeyError; all detections in
videos without instances are background, not only the first one; a coverage above 1 counts as 1 instead of removing the
instance, which turned the average into NaN where a class lost all its instances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.datasets.tiou import tiou_exact
from pipeline.evaluation.detections import match_detections
from pipeline.evaluation.ragged import concat_ranges, offsets_of
from pipeline.evaluation.segments import TIOUS, GroundTruth, ScoredSegments, match_videos, tiou_names

GROUP_NAMES = ("XS", "S", "M", "L", "XL")
"""Names of groups by ascending value; of four groups, the first four."""

ERRORS = ("true_positive", "double_detection", "wrong_label", "localization", "confusion", "background")
"""Kinds of detections, in the order of DETAD."""

LITTLE_TIOU = 0.1
"""A detection that overlaps no instance this much is background."""
PROFILE_LIMIT = 10
"""The profile looks at this many detections for each instance of a class."""


@dataclass(frozen=True)
class MatchedDetections:
    """Detections of known videos and classes, by class, the best of a class first.

    Attributes:
        truth: instances.
        tious: thresholds.
        video: of each detection, index into the videos of the ground truth.
        label: of each detection, index into its labels, ascending.
        times: start and end [s].
        matches: instance of each detection at each threshold; -1 for none.
    """

    truth: GroundTruth
    tious: Float[np.ndarray, " tious"]
    video: Int[np.ndarray, " detections"]
    label: Int[np.ndarray, " detections"]
    times: Float[np.ndarray, "detections 2"]
    matches: Int[np.ndarray, "tious detections"]

    @property
    def label_offsets(self) -> Int[np.ndarray, " offsets"]:
        """Where the detections of each class begin, and the end."""
        return offsets_of(np.bincount(self.label, minlength=len(self.truth.labels)))

    @property
    def instances_per_class(self) -> float:
        """Mean number of instances of a class: N."""
        return len(self.truth.video) / len(self.truth.labels)


def match_to_truth(
    truth: GroundTruth, detections: ScoredSegments, tious: Float[np.ndarray, " tious"] = TIOUS
) -> MatchedDetections:
    """Match detections with instances, as `pipeline.evaluation.detections` does.

    Args:
        truth: instances; those of zero length are left out.
        detections: scored segments with labels; those in other videos and of other classes are left out.
        tious: thresholds.
    """
    truth = _without_empty_instances(truth)
    video, _ = match_videos(truth, detections)
    label_ids = {label: index for index, label in enumerate(truth.labels)}
    label = np.array([label_ids.get(name, -1) for name in detections.labels], np.int64)[detections.label]
    scored = np.flatnonzero((video >= 0) & (label >= 0))
    ranked = scored[np.lexsort((-detections.scores[scored], label[scored]))]
    video, label, times = video[ranked], label[ranked], detections.times[ranked]
    return MatchedDetections(truth, tious, video, label, times, match_detections(truth, video, label, times, tious))


def _without_empty_instances(truth: GroundTruth) -> GroundTruth:
    has_length = truth.times[:, 0] < truth.times[:, 1]
    return replace(truth, video=truth.video[has_length], times=truth.times[has_length], label=truth.label[has_length])


def normalised_precision(
    matched: MatchedDetections,
    selected: Bool[np.ndarray, "tious detections"],
    num_instances: Int[np.ndarray, " labels"],
) -> Float[np.ndarray, "labels tious"]:
    """Compute AP_N of each class at each threshold.

    Args:
        matched: detections.
        selected: which of them count, at each threshold.
        num_instances: instances of each class that can be recalled.

    Returns:
        Fractions; NaN for a class without instances.
    """
    precision = np.full((len(num_instances), len(matched.tious)), np.nan)
    norm = matched.instances_per_class
    for number, (start, end) in enumerate(pairwise(matched.label_offsets)):
        if not num_instances[number]:
            continue
        counted = selected[:, start:end]
        hits = counted & (matched.matches[:, start:end] >= 0)
        recalled = np.cumsum(hits, axis=1) / num_instances[number] * norm
        total = recalled + np.cumsum(counted & ~hits, axis=1)
        at_rank = np.divide(recalled, total, out=np.zeros_like(total), where=total > 0)
        best = np.maximum.accumulate(at_rank[:, ::-1], axis=1)[:, ::-1]
        precision[number] = (best * hits).sum(axis=1) / num_instances[number]
    return precision


def average_precision_n(matched: MatchedDetections) -> Float[np.ndarray, " tious"]:
    """Compute mAP_N at each threshold."""
    everything = np.ones(matched.matches.shape, bool)
    precision = normalised_precision(matched, everything, _instances_of_classes(matched.truth))
    return np.nanmean(precision, axis=0)


def divide_into_groups(
    values: Float[np.ndarray, " instances"], borders: Sequence[float]
) -> Int[np.ndarray, " instances"]:
    """Return the group of each instance: the number of borders that are below its value; -1 where it is NaN."""
    groups = np.searchsorted(np.array(borders, np.float64), values, side="left")
    return np.where(np.isnan(values), -1, groups)


def analyze_groups(
    matched: MatchedDetections, values: Float[np.ndarray, " instances"], borders: Sequence[float]
) -> dict[str, dict[str, Any]]:
    """Compute the value of each group.

    Args:
        matched: detections.
        values: of the instances; instances without a value (NaN) are in no group.
        borders: upper borders of all groups but the last, which belong to them.

    Returns:
        For each name of `GROUP_NAMES`: `instances`, their number; `share` of all instances; `average_mAP_N`, a
        fraction, None without instances.
    """
    groups = divide_into_groups(values, borders)
    result: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(GROUP_NAMES[: len(borders) + 1]):
        in_group = groups == number
        count = int(in_group.sum())
        average = float(np.nanmean(_group_precision(matched, in_group))) if count else None
        result[name] = {"instances": count, "share": count / len(groups), "average_mAP_N": average}
    return result


def _group_precision(matched: MatchedDetections, in_group: Bool[np.ndarray, " instances"]) -> Float[np.ndarray, "_ _"]:
    """Compute AP_N of each class at each threshold, in which only some instances count."""
    # The last entry is for detections without an instance, whose match is -1.
    fits = np.append(in_group, True)[matched.matches].all(axis=0)
    return normalised_precision(
        matched,
        np.broadcast_to(fits, matched.matches.shape),
        np.bincount(matched.truth.label[in_group], minlength=len(matched.truth.labels)),
    )


def instance_values(
    truth: GroundTruth, durations: Float[np.ndarray, " videos"]
) -> dict[str, Float[np.ndarray, " instances"]]:
    """Return what the instances are grouped by.

    Args:
        truth: instances.
        durations: of the videos of the ground truth [s]; NaN if unknown.

    Returns:
        `length` [s]; `coverage`, the share of the video, at most 1; `num_instances` of the video, of all classes.
    """
    length = truth.times[:, 1] - truth.times[:, 0]
    return {
        "length": length,
        "coverage": np.minimum(length / durations[truth.video], 1.0),
        "num_instances": truth.counts[truth.video].astype(np.float64),
    }


def profile_false_positives(matched: MatchedDetections) -> dict[str, Any]:
    """Count the kinds of detections.

    Returns:
        n_detections: how many are looked at. average_mAP_N of these. fractions: kind -> share of the detections, a mean
        over thresholds. fractions_by_rank: the same for the best G detections of each class, the next G, and so on
        (None without detections). counts: threshold -> kind -> number. gain: kind of error -> difference.
    """
    limited, rank = _limit_detections(matched)
    kinds = _classify_detections(limited)
    base = average_precision_n(limited).mean()
    shares = np.stack([(kinds == kind).mean(axis=0) for kind in range(len(ERRORS))], 1)
    by_rank = [shares[rank == number] for number in range(PROFILE_LIMIT)]
    num_instances = _instances_of_classes(limited.truth)
    gain = {
        name: float(np.nanmean(normalised_precision(limited, kinds != kind, num_instances)) - base)
        for kind, name in enumerate(ERRORS)
        if kind
    }
    return {
        "n_detections": len(limited.label),
        "average_mAP_N": float(base),
        "fractions": _by_error(shares.mean(axis=0)) if len(shares) else None,
        "fractions_by_rank": [_by_error(part.mean(axis=0)) if len(part) else None for part in by_rank],
        "counts": {
            tiou: dict(zip(ERRORS, np.bincount(row, minlength=len(ERRORS)).tolist(), strict=True))
            for tiou, row in zip(tiou_names(limited.tious), kinds, strict=True)
        },
        "gain": gain,
    }


def _limit_detections(matched: MatchedDetections) -> tuple[MatchedDetections, Int[np.ndarray, " detections"]]:
    """Return the best detections of each class, and for each one how many times G come before it."""
    rank = np.arange(len(matched.label)) - matched.label_offsets[matched.label]
    group = rank // _instances_of_classes(matched.truth)[matched.label]
    is_best = group < PROFILE_LIMIT
    limited = replace(
        matched,
        video=matched.video[is_best],
        label=matched.label[is_best],
        times=matched.times[is_best],
        matches=matched.matches[:, is_best],
    )
    return limited, group[is_best]


def _classify_detections(matched: MatchedDetections) -> Int[np.ndarray, "tious detections"]:
    """Return the kind of each detection at each threshold, index into `ERRORS`."""
    tiou, same_label = _best_overlaps(matched)
    enough = tiou >= matched.tious[:, None]
    little = tiou >= LITTLE_TIOU
    conditions = [
        matched.matches >= 0,
        enough & same_label,
        enough,
        little & same_label,
        np.broadcast_to(little, enough.shape),
    ]
    return np.select(conditions, range(len(conditions)), default=len(conditions))


def _best_overlaps(
    matched: MatchedDetections,
) -> tuple[Float[np.ndarray, " detections"], Bool[np.ndarray, " detections"]]:
    """Return the highest tIoU of each detection with an instance of its video, and whether that one has its class."""
    truth = matched.truth
    counts = truth.counts[matched.video]
    starts = offsets_of(truth.counts)[matched.video]
    detection = np.repeat(np.arange(len(counts)), counts)
    instance = concat_ranges(starts, counts)
    tiou = tiou_exact(matched.times[detection], truth.times[instance])
    best = np.lexsort((-tiou, detection))[offsets_of(counts)[:-1][counts > 0]]
    highest, same = np.zeros(len(counts)), np.zeros(len(counts), bool)
    highest[detection[best]] = tiou[best]
    same[detection[best]] = truth.label[instance[best]] == matched.label[detection[best]]
    return highest, same


def _instances_of_classes(truth: GroundTruth) -> Int[np.ndarray, " labels"]:
    return np.bincount(truth.label, minlength=len(truth.labels))


def _by_error(values: Float[np.ndarray, " errors"]) -> Mapping[str, float]:
    return dict(zip(ERRORS, values.tolist(), strict=True))
