"""Average recall of proposals against their average number, by the rules of ActivityNet's own evaluator.

The proposals of a video are ranked by score; equal scores keep the order of the file. If there are more than
`max_avg_nr_proposals` per video on average, every video keeps the same share of its own, rounded down. The curve has
100 points: at the k-th, k % of that average number count, again the same share of each video's, rounded down. So 29 per
video really are 28 where every video has 100 (0.29 x 100 is below 29 in floating point), as in the official numbers. An
instance is recalled if any of these proposals overlaps it enough.

Videos without instances are not part of the averages; nor are their proposals, or those of unknown videos.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.datasets.tiou import tiou_exact
from pipeline.errors import PipelineError
from pipeline.evaluation.ragged import chunk_by_weight, enumerate_cells, offsets_of
from pipeline.evaluation.segments import (
    MAX_NUMBER,
    TIOU_NAMES,
    TIOUS,
    GroundTruth,
    ScoredSegments,
    format_threshold_table,
    match_videos,
)

TIE_RULE = "equal scores of a video keep the order of the file"

REPORTED_NUMBERS = (1, 5, 10, 100)
"""Average numbers of proposals at which results are reported."""

POINTS = np.arange(1, 101) / 100

MAX_CELLS = 2_000_000
"""How many overlaps are computed at a time."""


@dataclass(frozen=True)
class RankedProposals:
    """Proposals of the videos with instances.

    Attributes:
        video: video of each proposal, index into the videos of the ground truth, ascending.
        times: start and end of each proposal [s], best of the video first.
        average: average number of proposals per video that count.
        counts: see `match_videos`.
    """

    video: Int[np.ndarray, " proposals"]
    times: Float[np.ndarray, "proposals 2"]
    average: float
    counts: dict[str, int]


@dataclass(frozen=True)
class RecallCurve:
    """Recall against the number of proposals.

    Attributes:
        proposals: average number of proposals per video, at each point.
        recall: recall of all instances, at each tIoU threshold and point.
        video_recall: recall of each video's instances, mean over thresholds; 0 for a video without instances.
    """

    proposals: Float[np.ndarray, " points"]
    recall: Float[np.ndarray, "tious points"]
    video_recall: Float[np.ndarray, "videos points"]

    @property
    def area(self) -> float:
        """Area below the average recall, from the first point to the last; the official evaluator's raw number."""
        return float(np.trapezoid(self.recall.mean(axis=0), self.proposals))

    def at(self, number: int) -> Float[np.ndarray, " tious"] | None:
        """Return the recall at an average number of proposals, interpolated linearly; None beyond the last point."""
        return self._interpolate(number, self.recall)

    def videos_at(self, number: int) -> Float[np.ndarray, " videos"] | None:
        """Return the recall of each video at an average number of proposals; None beyond the last point."""
        return self._interpolate(number, self.video_recall)

    def _interpolate(self, number: int, curves: Float[np.ndarray, "n points"]) -> Float[np.ndarray, " n"] | None:
        if number > self.proposals[-1]:
            return None
        x = np.concatenate([[0.0], self.proposals])
        return np.array([np.interp(number, x, np.concatenate([[0.0], curve])) for curve in curves])


def score_proposals(
    truth: GroundTruth, proposals: ScoredSegments, max_avg_nr_proposals: int | float | None = 100
) -> dict[str, Any]:
    """Score proposals; labels are ignored.

    Args:
        truth: instances.
        proposals: scored segments.
        max_avg_nr_proposals: average number of proposals per video that count; None: all.

    Returns:
        Fractions: AR ("1", "5", "10", "100" -> mean over thresholds; numbers beyond the last point of the curve are
        left out), recall (the same -> by threshold), AUC (area as a fraction of the area up to the last point; 0.99 at
        most, since the curve begins at its first point). area (the official raw number), max_avg_nr_proposals (the
        actual number, if all count), counts (n_proposals: those of videos with instances), ties and
        zero_length_ground_truth (the rules), per_video (video, n_instances, n_proposals, and "AR@1" to "AR@100", for
        videos with instances).

    Raises:
        PipelineError: `max_avg_nr_proposals` is not a positive number.
    """
    ranked = rank_proposals(truth, proposals, max_avg_nr_proposals)
    average = ranked.average
    curve = compute_recall_curve(truth, ranked.video, ranked.times, average)
    recalls = {str(number): recall for number in REPORTED_NUMBERS if (recall := curve.at(number)) is not None}
    return {
        "AR": {number: float(recall.mean()) for number, recall in recalls.items()},
        "recall": {number: dict(zip(TIOU_NAMES, recall.tolist(), strict=True)) for number, recall in recalls.items()},
        "AUC": curve.area / average if average else 0.0,
        "area": curve.area,
        "max_avg_nr_proposals": average,
        **ranked.counts,
        "n_proposals": len(ranked.video),
        "ties": TIE_RULE,
        "zero_length_ground_truth": truth.zero_length,
        "per_video": _per_video(truth, np.bincount(ranked.video, minlength=len(truth.videos)), curve),
    }


def rank_proposals(
    truth: GroundTruth, proposals: ScoredSegments, max_avg_nr_proposals: int | float | None = 100
) -> RankedProposals:
    """Rank the proposals of the videos with instances.

    Args:
        truth: instances.
        proposals: scored segments.
        max_avg_nr_proposals: average number of proposals per video that count; None: all.

    Raises:
        PipelineError: `max_avg_nr_proposals` is not a positive number.
    """
    if max_avg_nr_proposals is not None and not 0 < max_avg_nr_proposals <= MAX_NUMBER:
        raise PipelineError(f"max_avg_nr_proposals {max_avg_nr_proposals} is not a positive number; 100 is usual")
    video, counts = match_videos(truth, proposals)
    scored = np.flatnonzero((video >= 0) & (truth.counts[video] > 0))
    average = len(scored) / counts["n_videos"] if max_avg_nr_proposals is None else float(max_avg_nr_proposals)
    ranked = scored[np.lexsort((-proposals.scores[scored], video[scored]))]
    return RankedProposals(video[ranked], proposals.times[ranked], average, counts)


def compute_recall_curve(
    truth: GroundTruth, video: Int[np.ndarray, " proposals"], times: Float[np.ndarray, "proposals 2"], average: float
) -> RecallCurve:
    """Compute recall at 100 average numbers of proposals.

    Args:
        truth: instances.
        video: video of each proposal, index into the videos of the ground truth, ascending; each has instances.
        times: times of each proposal [s], best of the video first.
        average: average number of proposals per video that count.
    """
    num_proposals = np.bincount(video, minlength=len(truth.videos))
    budget = average * np.count_nonzero(truth.counts)
    num_kept = _take_share(num_proposals, budget / max(1, len(video)))
    first_hits = _first_hits(truth, times, num_proposals, num_kept)
    recall = np.zeros((len(TIOUS), len(POINTS)))
    video_recall = np.zeros((len(truth.videos), len(POINTS)))
    # An average below one may leave every video without proposals.
    shares = POINTS * (budget / max(1, num_kept.sum()))
    for point, share in enumerate(shares):
        recalled = first_hits < _take_share(num_kept, share)[truth.video]
        recall[:, point] = recalled.mean(axis=1)
        by_video = np.bincount(truth.video, recalled.mean(axis=0), minlength=len(truth.videos))
        video_recall[:, point] = by_video / np.maximum(1, truth.counts)
    return RecallCurve(POINTS * average, recall, video_recall)


def format_proposals(result: dict[str, Any]) -> str:
    """Format the result of `score_proposals` in percent."""
    rows = {f"AR@{number}": {**result["recall"][number], "mean": value} for number, value in result["AR"].items()}
    return format_threshold_table({**rows, "AUC": {"mean": result["AUC"]}})


def _take_share(counts: Int[np.ndarray, " videos"], share: float) -> Int[np.ndarray, " videos"]:
    """Take a share of each count, rounded down, at most the whole."""
    return np.minimum(counts * share, counts).astype(np.int64)


def _first_hits(
    truth: GroundTruth,
    times: Float[np.ndarray, "proposals 2"],
    num_proposals: Int[np.ndarray, " videos"],
    num_kept: Int[np.ndarray, " videos"],
) -> Int[np.ndarray, "tious instances"]:
    """Find the rank of the first kept proposal that overlaps each instance enough; the largest number kept if none."""
    first = np.full((len(TIOUS), len(truth.video)), num_kept.max(), np.int64)
    instance_offsets, proposal_offsets = offsets_of(truth.counts), offsets_of(num_proposals)
    for chunk in chunk_by_weight(truth.counts * num_kept, MAX_CELLS):
        table, row, rank = enumerate_cells(truth.counts[chunk], num_kept[chunk])
        instance = instance_offsets[chunk][table] + row
        tiou = tiou_exact(times[proposal_offsets[chunk][table] + rank], truth.times[instance])
        for hits, threshold in zip(first, TIOUS, strict=True):
            # An assignment keeps the last value for a repeated index: assign from the last rank to the first.
            hit = np.flatnonzero(tiou >= threshold)[::-1]
            hits[instance[hit]] = rank[hit]
    return first


def _per_video(
    truth: GroundTruth, num_proposals: Int[np.ndarray, " videos"], curve: RecallCurve
) -> dict[str, list[Any]]:
    """Tabulate the videos with instances; weighted by n_instances, a column's mean is AR of the whole set."""
    rows = np.flatnonzero(truth.counts)
    recalls = {f"AR@{number}": curve.videos_at(number) for number in REPORTED_NUMBERS}
    return {
        "video": [truth.videos[row] for row in rows],
        "n_instances": truth.counts[rows].tolist(),
        "n_proposals": num_proposals[rows].tolist(),
        **{name: recall[rows].tolist() for name, recall in recalls.items() if recall is not None},
    }
