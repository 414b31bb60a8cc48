"""Files of ActivityNet's localization tasks: ground truth and scored segments, read with every check.

Videos are named with or without a leading `v_`: it is taken off, in ground truth and predictions alike.
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
from pipeline.evaluation.coverage import some
from pipeline.io.atomic import read_json

TIOUS: Float[np.ndarray, " tious"] = np.linspace(0.5, 0.95, 10)
"""ActivityNet's thresholds, 0.5:0.05:0.95."""

NAMES = tuple(f"{threshold:.2f}".rstrip("0") for threshold in TIOUS)
"""How results name them."""

ZERO_LENGTH = "an instance of zero length overlaps nothing and nothing overlaps it; it stays in the denominator"
"""The official evaluators divide 0 by 0 here: none of its proposals recalls it, while any detection of zero length in
the same video and class finds it, wherever it lies. ActivityNet 1.3 validation has three such instances."""

LARGEST = 1e300
"""Numbers beyond would overflow when added."""


@dataclass(frozen=True)
class GroundTruth:
    """The instances of a subset, at least one, by video, then in the file's order.

    Attributes:
        videos: of the subset, those without instances too, sorted, no leading `v_`.
        labels: classes that have an instance, sorted.
        video: of each instance, index into `videos`, ascending.
        times: start and end of each instance, seconds, start <= end.
        label: of each instance, index into `labels`.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    video: Int[np.ndarray, " instances"]
    times: Float[np.ndarray, "instances 2"]
    label: Int[np.ndarray, " instances"]

    @property
    def counts(self) -> Int[np.ndarray, " videos"]:
        """Instances of each video."""
        return np.bincount(self.video, minlength=len(self.videos))

    @property
    def zero_length(self) -> dict[str, Any]:
        """How many instances have no length, and what becomes of them."""
        return {"count": int((self.times[:, 0] == self.times[:, 1]).sum()), "rule": ZERO_LENGTH}


@dataclass(frozen=True)
class Localizations:
    """Scored segments, by video, then in the file's order: where scores are equal, the earlier row goes first.

    Attributes:
        videos: that the file has, sorted, no leading `v_`; one with an empty list is there.
        labels: classes that are predicted, sorted; none if the segments have no classes.
        video: of each segment, index into `videos`, ascending.
        times: start and end of each segment, seconds, start <= end.
        scores: of each segment, any finite number, higher is better.
        label: of each segment, index into `labels`; 0 if the segments have no classes.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    video: Int[np.ndarray, " segments"]
    times: Float[np.ndarray, "segments 2"]
    scores: Float[np.ndarray, " segments"]
    label: Int[np.ndarray, " segments"]


def read_ground_truth(path: Path, subset: str) -> GroundTruth:
    """Read the instances of a subset; other subsets are not looked into.

    Args:
        path: `{"database": {video: {"subset", "annotations": [{"segment": [start, end], "label"}]}}}`.
        subset: as the file names it, "validation" for one.

    Raises:
        PipelineError: unreadable or malformed, a video named with and without `v_`, a subset that the file has not or
            that has no instances; names the file, the video and the place in its list.
    """
    database = _videos(path, read_json(path, "ground truth"), ("database",))
    for name, entry in database.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("subset"), str):
            raise PipelineError(f"{path}: video {name}: expected an object with subset and annotations")
    there = sorted({entry["subset"] for entry in database.values()})
    if subset not in there:
        raise PipelineError(f"{path}: no video of subset {subset!r}; the file has: {', '.join(there) or 'none'}")
    lists = {name: entry.get("annotations") for name, entry in database.items() if entry["subset"] == subset}
    rows = _rows(path, lists, "annotation", ("label",))
    if not rows:
        raise PipelineError(f"{path}: subset {subset!r} has no annotations; there is nothing to score against")
    videos, labels = _places(map(_bare, lists)), _places(row["label"] for _, row in rows)
    return GroundTruth(
        videos=tuple(videos),
        labels=tuple(labels),
        video=np.array([videos[video] for video, _ in rows], np.int64),
        times=np.array([row["segment"] for _, row in rows], np.float64),
        label=np.array([labels[row["label"]] for _, row in rows], np.int64),
    )


def read_localizations(path: Path, labelled: bool) -> Localizations:
    """Read scored segments.

    Args:
        path: `{"results": {video: [{"segment": [start, end], "score", "label"}]}, "version", "external_data"}`.
        labelled: whether the segments must have labels; if not, labels are not looked at.

    Raises:
        PipelineError: unreadable or malformed, a video named with and without `v_`; names the file, the video and the
            place in its list.
    """
    results = _videos(path, read_json(path, "predictions"), ("results", "version", "external_data"))
    rows = _rows(path, results, "segment", ("score", "label") if labelled else ("score",))
    videos = _places(map(_bare, results))
    labels = _places(row["label"] for _, row in rows) if labelled else {}
    return Localizations(
        videos=tuple(videos),
        labels=tuple(labels),
        video=np.array([videos[video] for video, _ in rows], np.int64),
        times=np.array([row["segment"] for _, row in rows], np.float64).reshape(-1, 2),
        scores=np.array([row["score"] for _, row in rows], np.float64),
        label=np.array([labels[row["label"]] if labelled else 0 for _, row in rows], np.int64),
    )


def tiou(one: Float[np.ndarray, "n 2"], other: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Temporal intersection over union of segments, two by two, by the formula of ActivityNet's own evaluators.

    Exact, and 0 where it would be 0 / 0 (see `ZERO_LENGTH`); the caption evaluator's, `events.tiou`, adds 1e-8 below
    the line instead.

    Args:
        one: start and end of each, seconds.
        other: the same.
    """
    intersection = np.minimum(one[:, 1], other[:, 1]) - np.maximum(one[:, 0], other[:, 0])
    intersection = np.maximum(0, intersection)
    union = (one[:, 1] - one[:, 0]) + (other[:, 1] - other[:, 0]) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def known_videos(truth: GroundTruth, found: Localizations) -> tuple[Int[np.ndarray, " segments"], dict[str, int]]:
    """Find each segment's video in the ground truth, and warn of videos that only one of the two has.

    Returns:
        Index into the videos of the ground truth, -1 for those that it has not; n_videos (with instances), n_instances,
        n_missing_videos (of those, the ones that the predictions have not), n_unknown_videos (predicted, not in the
        ground truth).
    """
    place = {video: index for index, video in enumerate(truth.videos)}
    index = np.array([place.get(video, -1) for video in found.videos], np.int64)
    full = {truth.videos[video] for video in np.flatnonzero(truth.counts)}
    missing = sorted(full.difference(found.videos))
    unknown = sorted(set(found.videos).difference(place))
    warn("%d videos of the ground truth are not predicted, their instances count as missed: %s", missing)
    warn("predictions of %d videos that this subset of the ground truth has not are not scored: %s", unknown)
    counts = {
        "n_videos": len(full),
        "n_instances": len(truth.video),
        "n_missing_videos": len(missing),
        "n_unknown_videos": len(unknown),
    }
    return index[found.video], counts


def warn(text: str, names: Sequence[str]) -> None:
    """Warn of what is named, if anything is: `text` holds a place for their number and one for the first three."""
    if names:
        logging.warning(text, len(names), some(names))


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Fractions in percent, a line for each row, a column for each threshold and for "mean"; blank where there is none.

    Args:
        rows: name -> by threshold.
    """
    columns = (*NAMES, "mean")
    width = max(map(len, ("x 100", *rows))) + 2
    lines = ["x 100".ljust(width) + "".join(f"{column:>8}" for column in columns)]
    for name, values in rows.items():
        cells = (f"{100 * values[column]:8.2f}" if column in values else " " * 8 for column in columns)
        lines.append(name.ljust(width) + "".join(cells))
    return "\n".join(lines)


def _videos(path: Path, data: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """What the file has under the first of its keys: videos, no two the same."""
    missing = [key for key in keys if not isinstance(data, dict) or key not in data]
    if missing:
        raise PipelineError(f"{path}: lacks the key {missing[0]!r}; expected an object with {', '.join(keys)}")
    videos = data[keys[0]]
    if not isinstance(videos, dict):
        raise PipelineError(f"{path}: {keys[0]} is not an object of videos")
    for name, alike in groupby(sorted(videos, key=_bare), key=_bare):
        if len(spellings := list(alike)) > 1:
            raise PipelineError(f"{path}: video {name} stands there as {' and as '.join(spellings)}; remove one")
    return videos


def _rows(path: Path, lists: Mapping[str, Any], what: str, keys: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Every row with its video, by video, then in the file's order."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name in sorted(lists, key=_bare):
        if not isinstance(lists[name], list):
            raise PipelineError(f"{path}: video {name}: expected a list of {what}s")
        for index, row in enumerate(lists[name]):
            wrong = _wrong(row, keys)
            if wrong:
                raise PipelineError(f"{path}: video {name}, {what} {index}: {wrong}")
            found.append((_bare(name), row))
    return found


def _wrong(row: Any, keys: tuple[str, ...]) -> str | None:
    """What is wrong with one segment."""
    if not isinstance(row, dict):
        return f"{row!r} is not an object with {', '.join(('segment', *keys))}"
    times = row.get("segment")
    if not isinstance(times, list) or len(times) != 2 or not all(map(_finite, times)):
        return f"segment {times!r} is not [start, end] in seconds"
    if times[0] > times[1]:
        return f"segment {times!r} ends before it starts"
    if "score" in keys and not _finite(row.get("score")):
        return f"score {row.get('score')!r} is not a finite number"
    if "label" in keys and not isinstance(row.get("label"), str):
        return f"label {row.get('label')!r} is not the name of a class"
    return None


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _bare(name: str) -> str:
    return name.removeprefix("v_")


def _places(names: Iterable[str]) -> dict[str, int]:
    """Distinct names, sorted, each with its place."""
    return {name: place for place, name in enumerate(sorted(set(names)))}
