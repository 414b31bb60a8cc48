"""From boundary probabilities to proposals: pairs of boundaries, thinned by soft-NMS."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from pipeline.localization.proposals import Proposal

BOUNDARIES = 100
"""So many of the likeliest starts, and of the likeliest ends, are paired."""

Segments = Float[np.ndarray, "segments 2"]
"""Start and end, seconds."""


@dataclass(frozen=True)
class Boundaries:
    """What a temporal network says of each clip of a video.

    Attributes:
        start: probability that an event starts with the clip.
        end: that one ends with it.
        inside: that it lies within one.
    """

    start: Float[np.ndarray, " clips"]
    end: Float[np.ndarray, " clips"]
    inside: Float[np.ndarray, " clips"]


def tiou(ours: Float[np.ndarray, "a 2"], theirs: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, "a b"]:
    """Temporal intersection over union of segments with segments; 0 where both are empty."""
    first = np.maximum(ours[:, None, 0], theirs[None, :, 0])
    last = np.minimum(ours[:, None, 1], theirs[None, :, 1])
    intersection = np.clip(last - first, 0, None)
    lengths = (ours[:, 1] - ours[:, 0])[:, None] + (theirs[:, 1] - theirs[:, 0])
    union = lengths - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def pair(found: Boundaries, edges: Float[np.ndarray, " edges"]) -> tuple[Segments, Float[np.ndarray, " segments"]]:
    """All likely starts with all likely ends after them.

    Args:
        found: one value for each clip.
        edges: where clips begin and the last one ends, seconds: one more than clips.

    Returns:
        Segments, and their scores: probability of the start times that of the end times the mean of inside.
    """
    starts, ends = _peaks(found.start), _peaks(found.end)
    first, last = (grid.ravel() for grid in np.meshgrid(starts, ends, indexing="ij"))
    ordered = first <= last
    if not ordered.any():  # no peak of an end after any peak of a start
        first, last = np.array([0]), np.array([len(found.start) - 1])
    else:
        first, last = first[ordered], last[ordered]
    total = np.concatenate([[0.0], np.cumsum(found.inside, dtype=np.float64)])
    inside = (total[last + 1] - total[first]) / (last + 1 - first)
    scores = found.start[first] * found.end[last] * inside
    return np.stack([edges[first], edges[last + 1]], 1), scores


def soft_nms(
    segments: Segments,
    scores: Float[np.ndarray, " segments"],
    *,
    sigma: float,
    keep: int,
    above: tuple[float, float] = (0.0, 0.0),
) -> tuple[Int64[np.ndarray, " kept"], Float[np.ndarray, " kept"]]:
    """Gaussian soft-NMS (Bodla et al., 2017): what is chosen lowers the scores of what overlaps it.

    Args:
        segments: candidates.
        scores: theirs.
        sigma: a score is multiplied by exp(-tIoU^2 / sigma).
        keep: how many to choose at most.
        above: tIoU above which scores are lowered, for a chosen segment of length 0 and for one of length 1; linear
            in between. BMN's grows with the share of the video that the chosen one takes (segments in [0, 1]).

    Returns:
        Indices of the chosen in the order of choice, and their scores when they were chosen.
    """
    left = scores.astype(np.float64)
    chosen: list[int] = []
    kept: list[float] = []
    for _ in range(min(keep, len(left))):
        best = int(left.argmax())
        chosen.append(best)
        kept.append(float(left[best]))
        overlap = tiou(segments[best : best + 1], segments)[0]
        limit = above[0] + (above[1] - above[0]) * (segments[best, 1] - segments[best, 0])
        left = np.where(overlap > limit, left * np.exp(-(overlap**2) / sigma), left)
        left[chosen] = -np.inf
    return np.array(chosen, np.int64), np.array(kept, np.float64)


def likely_events(
    segments: Segments, scores: Float[np.ndarray, " segments"], *, sigma: float, keep: int, min_score: float
) -> list[Proposal]:
    """The events of one video, at least one, in time order: candidates thinned by soft-NMS, the poor ones left out.

    Args:
        segments: candidates, at least one.
        scores: theirs.
        sigma: of soft-NMS.
        keep: how many at most.
        min_score: share of the best score below which a candidate is dropped.
    """
    chosen, kept = soft_nms(segments, scores, sigma=sigma, keep=keep)
    enough = kept >= min_score * kept[0]
    return proposals(segments[chosen[enough]], kept[enough])


def proposals(segments: Segments, scores: Float[np.ndarray, " segments"]) -> list[Proposal]:
    """Segments with their scores as proposals, in time order."""
    return sorted(
        Proposal(float(start), float(end), float(score)) for (start, end), score in zip(segments, scores, strict=True)
    )


def _peaks(values: Float[np.ndarray, " clips"]) -> Int64[np.ndarray, " peaks"]:
    """Clips that are local maxima or reach half the greatest value; the likeliest ones, if there are many."""
    padded = np.pad(values, 1, constant_values=-np.inf)
    local = (values >= padded[:-2]) & (values >= padded[2:])
    peaks = np.flatnonzero(local | (values >= values.max() / 2))
    return peaks[np.argsort(-values[peaks], kind="stable")[:BOUNDARIES]].astype(np.int64)
