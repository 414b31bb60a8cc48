"""Anchors: typical lengths of events, by k-means over the lengths of all training events.

The published anchors come from one run of k-means from random centres, and change with the version of the library. Here
the first centres depend on the lengths alone, so that the same lengths always give the same anchors: they are as dense
as the cube root of the density of the lengths, which is best for many centres (Panter and Dite, 1951). Anchors are
saved with the weights.
"""

import numpy as np
from jaxtyping import Float, Int64

HISTOGRAM_BINS = 200
"""Bins of the histogram that stands for the density of the lengths."""


def fit_anchors(lengths: Float[np.ndarray, " events"], count: int) -> Float[np.ndarray, " count"]:
    """Return typical lengths, in ascending order.

    Args:
        lengths: lengths of events [s], at least one.
        count: number of anchors. With fewer different lengths, some anchors are equal.
    """
    frequencies, edges = np.histogram(lengths, HISTOGRAM_BINS)
    shares = np.concatenate([[0.0], np.cbrt(frequencies).cumsum()])
    first = np.interp((np.arange(count) + 0.5) / count, shares / shares[-1], edges)
    return run_kmeans(lengths, first.clip(lengths.min(), lengths.max()))


def run_kmeans(
    values: Float[np.ndarray, " values"], centres: Float[np.ndarray, " count"]
) -> Float[np.ndarray, " count"]:
    """Run Lloyd's k-means on numbers until no number changes its centre.

    Args:
        values: the numbers.
        centres: first centres, in ascending order. A centre that is nearest to no number stays where it is.

    Returns:
        the last centres, in ascending order.
    """
    assignment = nearest_centres(values, centres)
    while True:
        counts = np.bincount(assignment, minlength=len(centres))
        sums = np.bincount(assignment, values, minlength=len(centres))
        centres = np.sort(np.where(counts > 0, sums / np.maximum(counts, 1), centres))
        before, assignment = assignment, nearest_centres(values, centres)
        if np.array_equal(before, assignment):
            return centres


def nearest_centres(
    values: Float[np.ndarray, " values"], centres: Float[np.ndarray, " count"]
) -> Int64[np.ndarray, " values"]:
    """Return the index of the nearest centre of each number; of two equally near ones, the lower.

    Args:
        values: the numbers.
        centres: in ascending order.
    """
    borders = (centres[1:] + centres[:-1]) / 2
    return np.searchsorted(borders, values).astype(np.int64)
