"""From scored boundaries to proposals: pair starts with ends, then select by soft-NMS."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from pipeline.config.localization import ProposalSelection
from pipeline.localization.proposals import Proposal

MAX_BOUNDARIES = 100
"""How many of the best starts, and of the best ends, are paired."""

Segments = Float[np.ndarray, "segments 2"]
"""Start and end of each segment, seconds unless stated otherwise."""


@dataclass(frozen=True)
class BoundaryScores:
    """Probabilities for each feature row of a video.

    Attributes:
        start: an event starts in the row.
        end: an event ends in the row.
        actionness: the row lies within an event.
    """

    start: Float[np.ndarray, " rows"]
    end: Float[np.ndarray, " rows"]
    actionness: Float[np.ndarray, " rows"]


@dataclass(frozen=True)
class Candidates:
    """Segments of one video that may be events, with their scores.

    Attributes:
        segments: seconds; at least one segment.
        scores: of the segments.
    """

    segments: Segments
    scores: Float[np.ndarray, " segments"]


def pair_boundaries(boundaries: BoundaryScores, edges: Float[np.ndarray, " edges"]) -> Candidates:
    """Pair the peaks of the start scores with the peaks of the end scores at or after them.

    If no end peak follows a start peak, the whole video is the only candidate.

    Args:
        boundaries: scores of the rows.
        edges: borders of the rows, seconds: one more than there are rows.

    Returns:
        Candidates; a score is p(start) * p(end) * mean actionness between them.
    """
    starts, ends = _peaks(boundaries.start), _peaks(boundaries.end)
    first, last = (grid.ravel() for grid in np.meshgrid(starts, ends, indexing="ij"))
    in_order = first <= last
    if not in_order.any():
        first, last = np.array([0]), np.array([len(boundaries.start) - 1])
    else:
        first, last = first[in_order], last[in_order]
    cumulative = np.concatenate([[0.0], np.cumsum(boundaries.actionness, dtype=np.float64)])
    actionness = (cumulative[last + 1] - cumulative[first]) / (last + 1 - first)
    scores = boundaries.start[first] * boundaries.end[last] * actionness
    return Candidates(np.stack([edges[first], edges[last + 1]], 1), scores)


def soft_nms(
    segments: Segments,
    scores: Float[np.ndarray, " segments"],
    *,
    sigma: float,
    max_selected: int,
    iou_threshold_range: tuple[float, float] = (0.0, 0.0),
) -> tuple[Int64[np.ndarray, " selected"], Float[np.ndarray, " selected"]]:
    """Apply Gaussian soft-NMS (Bodla et al., 2017): a selected segment lowers the scores of those that overlap it.

    Args:
        segments: candidates.
        scores: of the candidates.
        sigma: a score is multiplied by exp(-tIoU^2 / sigma).
        max_selected: maximum number of segments to select.
        iou_threshold_range: scores are lowered above a tIoU that is linear in the length of the selected segment:
            the first value for length 0, the second for length 1. BMN uses this for segments in [0, 1].

    Returns:
        Indices of the selected segments in the order of selection, and their scores when they were selected.
    """
    remaining = scores.astype(np.float64)
    starts, ends = np.ascontiguousarray(segments.T)
    lengths = ends - starts
    selected: list[int] = []
    selected_scores: list[float] = []
    shortest, longest = iou_threshold_range
    for _ in range(min(max_selected, len(remaining))):
        best = int(remaining.argmax())
        selected.append(best)
        selected_scores.append(float(remaining[best]))
        # `tiou_matrix` of the best segment with all, but only where they overlap: most segments do not.
        intersection = np.minimum(ends, ends[best]) - np.maximum(starts, starts[best])
        near = np.flatnonzero(intersection > 0)
        tiou = intersection[near] / (lengths[best] + lengths[near] - intersection[near])
        is_above = tiou > shortest + (longest - shortest) * lengths[best]
        remaining[near[is_above]] *= np.exp(-(tiou[is_above] ** 2) / sigma)
        remaining[selected] = -np.inf
    return np.array(selected, np.int64), np.array(selected_scores, np.float64)


def select_proposals(candidates: Candidates, selection: ProposalSelection) -> list[Proposal]:
    """Select the proposals of one video, at least one, in time order."""
    segments, scores = candidates.segments, candidates.scores
    if selection.all_candidates:
        best = np.argsort(-scores, kind="stable")[: selection.candidates]
        return _as_proposals(segments[best], scores[best])
    selected, selected_scores = soft_nms(
        segments, scores, sigma=selection.soft_nms_sigma, max_selected=selection.max_proposals
    )
    is_kept = selected_scores >= selection.min_score * selected_scores[0]
    return _as_proposals(segments[selected[is_kept]], selected_scores[is_kept])


def _as_proposals(segments: Iterable[Iterable[float]], scores: Iterable[float]) -> list[Proposal]:
    return sorted(
        Proposal(float(start), float(end), float(score)) for (start, end), score in zip(segments, scores, strict=True)
    )


def _peaks(scores: Float[np.ndarray, " rows"]) -> Int64[np.ndarray, " peaks"]:
    """Return the rows that are local maxima or reach half the maximum; at most `MAX_BOUNDARIES`, the best first."""
    padded = np.pad(scores, 1, constant_values=-np.inf)
    local_maximum = (scores >= padded[:-2]) & (scores >= padded[2:])
    peaks = np.flatnonzero(local_maximum | (scores >= scores.max() / 2))
    return peaks[np.argsort(-scores[peaks], kind="stable")[:MAX_BOUNDARIES]].astype(np.int64)
