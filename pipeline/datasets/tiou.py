"""Temporal intersection over union (tIoU) of segments, in the two conventions that published numbers need.

- `tiou_densevid`: densevid_eval's, the official evaluator of ActivityNet Captions. It adds 1e-8 to the denominator and
  takes the smaller of the hull and the sum of the lengths as the union. So 10 s of 20 s are slightly below 0.5.
- `tiou_exact` and `tiou_matrix`: exact, as ActivityNet's toolkit computes it for proposals and detections. They differ
  only in shape: segments two by two, or all with all. Where the toolkit divides 0 by 0, they give 0.

A threshold test near equality depends on the convention, so the two must not be exchanged.
"""

import numpy as np
from jaxtyping import Float


def tiou_densevid(segments: Float[np.ndarray, "n 2"], others: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Compute the tIoU of segments two by two, by densevid_eval's formula.

    The 1e-8 in the denominator keeps segments without length at 0.

    Args:
        segments: start and end [s]. A segment that ends before it starts overlaps nothing.
        others: as many segments.
    """
    intersection = np.minimum(segments[:, 1], others[:, 1]) - np.maximum(segments[:, 0], others[:, 0])
    hull = np.maximum(segments[:, 1], others[:, 1]) - np.minimum(segments[:, 0], others[:, 0])
    lengths = (segments[:, 1] - segments[:, 0]) + (others[:, 1] - others[:, 0])
    return np.maximum(0, intersection) / (np.minimum(hull, lengths) + 1e-8)


def tiou_exact(segments: Float[np.ndarray, "n 2"], others: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Compute the exact tIoU of segments two by two; 0 where both have no length.

    Args:
        segments: start and end, start <= end.
        others: as many segments.
    """
    return _exact(segments, others)


def tiou_matrix(segments: Float[np.ndarray, "n 2"], others: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "n m"]:
    """Compute the exact tIoU of all segments with all others; 0 where both have no length.

    Args:
        segments: start and end, start <= end.
        others: the same, any number of them.
    """
    return _exact(segments[:, None], others[None, :])


def _exact(segments: Float[np.ndarray, "*n 2"], others: Float[np.ndarray, "*m 2"]) -> Float[np.ndarray, "*nm"]:
    intersection = np.minimum(segments[..., 1], others[..., 1]) - np.maximum(segments[..., 0], others[..., 0])
    intersection = np.maximum(0, intersection)
    union = (segments[..., 1] - segments[..., 0]) + (others[..., 1] - others[..., 0]) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
