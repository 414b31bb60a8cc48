"""Average recall of proposals against their average number, by the rules of ActivityNet's own evaluator.

Proposals of a video are ranked by score; equal scores keep the order of the file. If there are more than
`max_avg_nr_proposals` for a video on average, every video keeps the same share of its own, rounded down. The curve has
100 points: at the k-th, k % of that average number are taken, again the same share of each video's, rounded down: so 29
per video really are 28 where every video has 100 (0.29 x 100 is less than 29 in floating point), as in the official
numbers. An instance is recalled if any of them overlaps it enough, whatever their number.

Videos without instances have no part in the averages; nor have their proposals, or those of unknown videos.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.errors import PipelineError
from pipeline.evaluation import localization
from pipeline.evaluation.localization import LARGEST, NAMES, TIOUS, GroundTruth, Localizations, known_videos, tiou
from pipeline.evaluation.ragged import bounds, grid, pieces

TIES = "equal scores of a video keep the order of the file"

AT = (1, 5, 10, 100)
"""Average numbers of proposals at which results are reported."""

POINTS = np.arange(1, 101) / 100

CELLS = 2_000_000
"""So many overlaps are computed at a time."""


@dataclass(frozen=True)
class Curve:
    """Recall against the number of proposals.

    Attributes:
        proposals: per video, on average.
        recall: of all instances, at each tIoU threshold.
    """

    proposals: Float[np.ndarray, " points"]
    recall: Float[np.ndarray, "tious points"]

    @property
    def area(self) -> float:
        """Below the average recall, from the first point to the last; the official evaluator's raw number."""
        return float(np.trapezoid(self.recall.mean(axis=0), self.proposals))

    def at(self, number: int) -> Float[np.ndarray, " tious"] | None:
        """Recall at an average number of proposals, on straight lines between the points; None beyond the last one."""
        if number > self.proposals[-1]:
            return None
        x = np.concatenate([[0.0], self.proposals])
        return np.array([np.interp(number, x, np.concatenate([[0.0], recall])) for recall in self.recall])


def score_proposals(
    truth: GroundTruth, proposals: Localizations, max_avg_nr_proposals: int | float | None = 100
) -> dict[str, Any]:
    """Score proposals; their labels do not matter.

    Args:
        truth: instances.
        proposals: scored segments.
        max_avg_nr_proposals: so many per video count on average; None: all.

    Returns:
        Fractions: AR ("1", "5", "10", "100" -> mean over thresholds; those beyond the last point of the curve are left
        out), recall (the same -> by threshold), AUC (area as a fraction of all up to the last point; 0.99 at most,
        since the curve begins at its first point). area (the official raw number), max_avg_nr_proposals (the number, if
        all count), counts (n_proposals: those of videos with instances), ties and zero_length_ground_truth (the rules).

    Raises:
        PipelineError: `max_avg_nr_proposals` is not a positive number.
    """
    if max_avg_nr_proposals is not None and not 0 < max_avg_nr_proposals <= LARGEST:
        raise PipelineError(f"max_avg_nr_proposals {max_avg_nr_proposals} is not a positive number; 100 is usual")
    video, counts = known_videos(truth, proposals)
    scored = np.flatnonzero((video >= 0) & (truth.counts[video] > 0))
    average = len(scored) / counts["n_videos"] if max_avg_nr_proposals is None else float(max_avg_nr_proposals)
    ranked = scored[np.lexsort((-proposals.scores[scored], video[scored]))]
    curve = recall_curve(truth, video[ranked], proposals.times[ranked], average)
    found = {str(number): recall for number in AT if (recall := curve.at(number)) is not None}
    return {
        "AR": {number: float(recall.mean()) for number, recall in found.items()},
        "recall": {number: dict(zip(NAMES, recall.tolist(), strict=True)) for number, recall in found.items()},
        "AUC": curve.area / average if average else 0.0,
        "area": curve.area,
        "max_avg_nr_proposals": average,
        **counts,
        "n_proposals": len(scored),
        "ties": TIES,
        "zero_length_ground_truth": truth.zero_length,
    }


def recall_curve(
    truth: GroundTruth, video: Int[np.ndarray, " proposals"], times: Float[np.ndarray, "proposals 2"], average: float
) -> Curve:
    """Recall at 100 average numbers of proposals.

    Args:
        truth: instances.
        video: of each proposal, index into the videos of the ground truth, ascending; each has instances.
        times: of each proposal, best of the video first.
        average: so many proposals per video count on average.
    """
    every = np.bincount(video, minlength=len(truth.videos))
    budget = average * np.count_nonzero(truth.counts)
    kept = _share(every, budget / max(1, len(video)))
    first = _first_hits(truth, times, every, kept)
    recall = np.zeros((len(TIOUS), len(POINTS)))
    # An average below one may leave no video any proposal.
    shares = POINTS * (budget / max(1, kept.sum()))
    for point, share in enumerate(shares):
        recall[:, point] = (first < _share(kept, share)[truth.video]).mean(axis=1)
    return Curve(POINTS * average, recall)


def table(found: dict[str, Any]) -> str:
    """What `score_proposals` gave, in percent."""
    rows = {f"AR@{number}": {**found["recall"][number], "mean": value} for number, value in found["AR"].items()}
    return localization.table({**rows, "AUC": {"mean": found["AUC"]}})


def _share(counts: Int[np.ndarray, " videos"], share: float) -> Int[np.ndarray, " videos"]:
    """So much of each count, rounded down, never more than there is."""
    return np.minimum(counts * share, counts).astype(np.int64)


def _first_hits(
    truth: GroundTruth,
    times: Float[np.ndarray, "proposals 2"],
    every: Int[np.ndarray, " videos"],
    kept: Int[np.ndarray, " videos"],
) -> Int[np.ndarray, "tious instances"]:
    """Rank of the first proposal, among those kept of the video, that overlaps each instance enough; or their end."""
    first = np.full((len(TIOUS), len(truth.video)), kept.max(), np.int64)
    instances, proposals = bounds(truth.counts), bounds(every)
    for part in pieces(truth.counts * kept, CELLS):
        table, row, rank = grid(truth.counts[part], kept[part])
        instance = instances[part][table] + row
        overlap = tiou(times[proposals[part][table] + rank], truth.times[instance])
        for hits, threshold in zip(first, TIOUS, strict=True):
            # Ranks ascend, and of several values for one place the last one stays: so from the last to the first.
            hit = np.flatnonzero(overlap >= threshold)[::-1]
            hits[instance[hit]] = rank[hit]
    return first
