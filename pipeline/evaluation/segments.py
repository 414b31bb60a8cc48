"""Files of ActivityNet's localization tasks, ground truth and scored segments, read with every check.

Video ids may have a leading `v_`: it is removed, in ground truth and predictions alike.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.errors import PipelineError
from pipeline.evaluation.matching import abbreviate_names
from pipeline.io.atomic import read_json

TIOUS: Float[np.ndarray, " tious"] = np.linspace(0.5, 0.95, 10)
"""ActivityNet's thresholds, 0.5:0.05:0.95."""


def tiou_names(tious: Float[np.ndarray, " tious"]) -> tuple[str, ...]:
    """Return thresholds as keys of results: "0.5", "0.55"."""
    return tuple(f"{threshold:.4g}" for threshold in tious)


def as_thresholds(tious: Sequence[float]) -> Float[np.ndarray, " tious"]:
    """Return thresholds as an array; those of ActivityNet with the last bit of `TIOUS`, which can decide a match."""
    thresholds = np.array(tious, np.float64)
    nearest = TIOUS[np.abs(thresholds[:, None] - TIOUS).argmin(1)]
    return np.where(np.isclose(thresholds, nearest, rtol=0, atol=1e-9), nearest, thresholds)


TIOU_NAMES = tiou_names(TIOUS)
"""ActivityNet's thresholds as keys of results."""

ZERO_LENGTH = "an instance of zero length overlaps nothing and nothing overlaps it; it stays in the denominator"
"""The official evaluators divide 0 by 0 here: none of its proposals recalls it, while any detection of zero length in
the same video and class finds it, wherever it lies. ActivityNet 1.3 validation has three such instances."""

MAX_NUMBER = 1e300
"""Numbers beyond this would overflow when added."""


@dataclass(frozen=True)
class GroundTruth:
    """The instances of a subset, at least one, by video, then in the order of the file.

    Attributes:
        videos: videos of the subset, also those without instances; sorted, no leading `v_`.
        labels: classes that have an instance, sorted.
        video: video of each instance, index into `videos`, ascending.
        times: start and end of each instance [s], start <= end.
        label: class of each instance, index into `labels`.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    video: Int[np.ndarray, " instances"]
    times: Float[np.ndarray, "instances 2"]
    label: Int[np.ndarray, " instances"]

    @property
    def counts(self) -> Int[np.ndarray, " videos"]:
        """Number of instances of each video."""
        return np.bincount(self.video, minlength=len(self.videos))

    @property
    def zero_length(self) -> dict[str, Any]:
        """Number of instances without length, and the rule for them."""
        return {"count": int((self.times[:, 0] == self.times[:, 1]).sum()), "rule": ZERO_LENGTH}


@dataclass(frozen=True)
class ScoredSegments:
    """Scored segments, by video, then in the order of the file, which decides between equal scores.

    Attributes:
        videos: videos of the file, also those with an empty list; sorted, no leading `v_`.
        labels: predicted classes, sorted; empty if the segments have no classes.
        video: video of each segment, index into `videos`, ascending.
        times: start and end of each segment [s], start <= end.
        scores: score of each segment, any finite number, higher is better.
        label: class of each segment, index into `labels`; 0 if the segments have no classes.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    video: Int[np.ndarray, " segments"]
    times: Float[np.ndarray, "segments 2"]
    scores: Float[np.ndarray, " segments"]
    label: Int[np.ndarray, " segments"]


def read_ground_truth(path: Path, subset: str) -> GroundTruth:
    """Read the instances of a subset; the annotations of other subsets are not checked.

    Args:
        path: `{"database": {video: {"subset", "annotations": [{"segment": [start, end], "label"}]}}}`.
        subset: name of the subset, such as "validation".

    Raises:
        PipelineError: unreadable or malformed, a video listed with and without `v_`, a subset that is not in the file
            or has no instances; names the file, the video and the index of the annotation.
    """
    database = _read_videos(path, read_json(path, "ground truth"), ("database",))
    for name, entry in database.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("subset"), str):
            raise PipelineError(f"{path}: video {name}: expected an object with subset and annotations")
    subsets = sorted({entry["subset"] for entry in database.values()})
    if subset not in subsets:
        raise PipelineError(f"{path}: no video of subset {subset!r}; the file has: {', '.join(subsets) or 'none'}")
    lists = {name: entry.get("annotations") for name, entry in database.items() if entry["subset"] == subset}
    rows = _collect_segments(path, lists, "annotation", ("label",))
    if not rows:
        raise PipelineError(f"{path}: subset {subset!r} has no annotations; there is nothing to score against")
    videos, labels = _number_names(map(_strip_prefix, lists)), _number_names(row["label"] for _, row in rows)
    return GroundTruth(
        videos=tuple(videos),
        labels=tuple(labels),
        video=np.array([videos[video] for video, _ in rows], np.int64),
        times=np.array([row["segment"] for _, row in rows], np.float64),
        label=np.array([labels[row["label"]] for _, row in rows], np.int64),
    )


def read_scored_segments(path: Path, labelled: bool) -> ScoredSegments:
    """Read scored segments.

    Args:
        path: `{"results": {video: [{"segment": [start, end], "score", "label"}]}, "version", "external_data"}`.
        labelled: require a label of each segment; if False, labels are ignored.

    Raises:
        PipelineError: unreadable or malformed, a video listed with and without `v_`; names the file, the video and the
            index of the segment.
    """
    results = _read_videos(path, read_json(path, "predictions"), ("results", "version", "external_data"))
    rows = _collect_segments(path, results, "segment", ("score", "label") if labelled else ("score",))
    videos = _number_names(map(_strip_prefix, results))
    labels = _number_names(row["label"] for _, row in rows) if labelled else {}
    return ScoredSegments(
        videos=tuple(videos),
        labels=tuple(labels),
        video=np.array([videos[video] for video, _ in rows], np.int64),
        times=np.array([row["segment"] for _, row in rows], np.float64).reshape(-1, 2),
        scores=np.array([row["score"] for _, row in rows], np.float64),
        label=np.array([labels[row["label"]] if labelled else 0 for _, row in rows], np.int64),
    )


def match_videos(truth: GroundTruth, segments: ScoredSegments) -> tuple[Int[np.ndarray, " segments"], dict[str, int]]:
    """Find each segment's video in the ground truth, and warn of videos that only one of the two has.

    Returns:
        Index into the videos of the ground truth, -1 for unknown videos. Counts: n_videos (with instances),
        n_instances, n_missing_videos (videos with instances that the predictions lack), n_unknown_videos (predicted,
        not in the ground truth).
    """
    index_of = {video: index for index, video in enumerate(truth.videos)}
    index = np.array([index_of.get(video, -1) for video in segments.videos], np.int64)
    with_instances = {truth.videos[video] for video in np.flatnonzero(truth.counts)}
    missing = sorted(with_instances.difference(segments.videos))
    unknown = sorted(set(segments.videos).difference(index_of))
    warn_names("%d videos of the ground truth have no predictions; their instances count as missed: %s", missing)
    warn_names("ignored predictions for %d videos that are not in this subset of the ground truth: %s", unknown)
    counts = {
        "n_videos": len(with_instances),
        "n_instances": len(truth.video),
        "n_missing_videos": len(missing),
        "n_unknown_videos": len(unknown),
    }
    return index[segments.video], counts


def warn_names(text: str, names: Sequence[str]) -> None:
    """Warn if there are names; `text` has one placeholder for their number and one for the first three."""
    if names:
        logging.warning(text, len(names), abbreviate_names(names))


def format_threshold_table(rows: Mapping[str, Mapping[str, float]], tious: Sequence[str] = TIOU_NAMES) -> str:
    """Format fractions in percent: a line for each row, a column for each threshold and for "mean".

    Args:
        rows: name -> threshold -> value; a cell without a value is blank.
        tious: the thresholds, see `tiou_names`.
    """
    columns = (*tious, "mean")
    width = max(map(len, ("x 100", *rows))) + 2
    lines = ["x 100".ljust(width) + "".join(f"{column:>8}" for column in columns)]
    for name, values in rows.items():
        cells = (f"{100 * values[column]:8.2f}" if column in values else " " * 8 for column in columns)
        lines.append(name.ljust(width) + "".join(cells))
    return "\n".join(lines)


def _read_videos(path: Path, data: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the videos under the first of the keys, and check that no video is listed twice."""
    missing = [key for key in keys if not isinstance(data, dict) or key not in data]
    if missing:
        raise PipelineError(f"{path}: lacks the key {missing[0]!r}; expected an object with {', '.join(keys)}")
    videos = data[keys[0]]
    if not isinstance(videos, dict):
        raise PipelineError(f"{path}: {keys[0]} is not an object of videos")
    for name, group in groupby(sorted(videos, key=_strip_prefix), key=_strip_prefix):
        if len(spellings := list(group)) > 1:
            raise PipelineError(f"{path}: video {name} is listed twice, as {' and as '.join(spellings)}; remove one")
    return videos


def _collect_segments(
    path: Path, lists: Mapping[str, Any], noun: str, keys: tuple[str, ...]
) -> list[tuple[str, dict[str, Any]]]:
    """Return every segment with its video, by video, then in the order of the file.

    Args:
        path: the file, for errors.
        lists: segments of each video.
        noun: what a segment is called in errors.
        keys: keys that each segment must have, besides `segment`.
    """
    rows: list[tuple[str, dict[str, Any]]] = []
    for name in sorted(lists, key=_strip_prefix):
        if not isinstance(lists[name], list):
            raise PipelineError(f"{path}: video {name}: expected a list of {noun}s")
        for index, row in enumerate(lists[name]):
            fault = _find_fault(row, keys)
            if fault:
                raise PipelineError(f"{path}: video {name}, {noun} {index}: {fault}")
            rows.append((_strip_prefix(name), row))
    return rows


def _find_fault(row: Any, keys: tuple[str, ...]) -> str | None:
    """Describe what is wrong with one segment; None if nothing is."""
    if not isinstance(row, dict):
        return f"{row!r} is not an object with {', '.join(('segment', *keys))}"
    times = row.get("segment")
    if not isinstance(times, list) or len(times) != 2 or not all(map(_is_number, times)):
        return f"segment {times!r} is not [start, end] in seconds"
    if times[0] > times[1]:
        return f"segment {times!r} ends before it starts"
    if "score" in keys and not _is_number(row.get("score")):
        return f"score {row.get('score')!r} is not a finite number"
    if "label" in keys and not isinstance(row.get("label"), str):
        return f"label {row.get('label')!r} is not the name of a class"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_NUMBER <= value <= MAX_NUMBER


def _strip_prefix(name: str) -> str:
    return name.removeprefix("v_")


def _number_names(names: Iterable[str]) -> dict[str, int]:
    """Number the distinct names in sorted order."""
    return {name: number for number, name in enumerate(sorted(set(names)))}
