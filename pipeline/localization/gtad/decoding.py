"""From the maps of G-TAD to segments: candidates, and the windows of long videos."""

import numpy as np
from jaxtyping import Bool, Float

from pipeline.localization.nms import Candidates, soft_nms


def is_boundary(scores: Float[np.ndarray, " positions"], always: int) -> Bool[np.ndarray, " positions"]:
    """Return which positions may be a boundary: local maxima, and those above half the maximum.

    Args:
        scores: of the positions.
        always: position that is a boundary whatever its score is: 0 for starts, -1 for ends. Of the first and the last
            position, the other one never is.
    """
    candidates = np.zeros(len(scores), bool)
    inner = scores[1:-1]
    candidates[1:-1] = (inner > scores[:-2]) & (inner > scores[2:]) | (inner > scores.max() / 2)
    candidates[always] = True
    return candidates


def score_segments(
    iou_reg: Float[np.ndarray, "durations positions"],
    iou_cls: Float[np.ndarray, "durations positions"],
    start: Float[np.ndarray, " positions"] | None = None,
    end: Float[np.ndarray, " positions"] | None = None,
) -> Candidates:
    """Score the segments [duration, start] whose end is a position; as published, none ends at the end of the sequence.

    Args:
        iou_reg: tIoU by regression.
        iou_cls: probability of a high tIoU.
        start: with `end`: only segments between boundaries are candidates; their scores do not enter.
        end: see `start`.

    Returns:
        Segments in positions, shortest first, and the product of both confidences; perhaps none.
    """
    durations, positions = iou_reg.shape
    duration, first = (axis.ravel() for axis in np.indices((durations, positions)))
    last = first + duration + 1
    is_candidate = last < positions
    if start is not None and end is not None:
        is_candidate &= is_boundary(start, 0)[first]
        is_candidate &= is_boundary(end, -1)[np.minimum(last, positions - 1)]
    duration, first, last = duration[is_candidate], first[is_candidate], last[is_candidate]
    scores = iou_cls[duration, first] * iou_reg[duration, first]
    return Candidates(np.stack([first, last], 1).astype(np.float64), scores.astype(np.float64))


def suppress(candidates: Candidates, sigma: float, limit: int, max_length: float = np.inf) -> Candidates:
    """Select segments by Gaussian soft-NMS at any overlap, best first.

    Args:
        candidates: segments with scores.
        sigma: see `soft_nms`.
        limit: maximum number of segments.
        max_length: segments of this length and longer ones get the score 0.
    """
    segments = candidates.segments
    scores = np.where(segments[:, 1] - segments[:, 0] >= max_length, 0.0, candidates.scores)
    selected, selected_scores = soft_nms(segments, scores, sigma=sigma, max_selected=limit)
    return Candidates(segments[selected], selected_scores)
