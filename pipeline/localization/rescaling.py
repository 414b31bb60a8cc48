"""Features of a video on a grid of equal parts, as networks with a fixed number of positions read them."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def rescale_features(
    features: Float[Tensor, "rows dim"], centres: Float[np.ndarray, " rows"], duration: float, positions: int
) -> Float[Tensor, "positions dim"]:
    """Interpolate the features linearly at the middles of equal parts of the video.

    TSP's author prepared features for BMN and G-TAD in this way. Before the first and after the last centre, the first
    and the last row are repeated.

    Args:
        features: feature rows.
        centres: middles of the rows' clips, seconds.
        duration: duration of the video, seconds.
        positions: number of parts.
    """
    return interpolate_rows(features, centres, (np.arange(positions) + 0.5) / positions * duration)


def interpolate_rows(
    features: Float[Tensor, "rows dim"], centres: Float[np.ndarray, " rows"], times: Float[np.ndarray, " times"]
) -> Float[Tensor, "times dim"]:
    """Interpolate the features linearly at some times; the first and the last row are repeated outside.

    Args:
        features: feature rows.
        centres: middles of the rows' clips, seconds.
        times: seconds.
    """
    place = np.interp(times, centres, np.arange(len(features)))
    below = np.minimum(place.astype(np.int64), max(len(features) - 2, 0))
    fraction = torch.from_numpy(place - below).to(features)[:, None]
    above = np.minimum(below + 1, len(features) - 1)
    return features[below] * (1 - fraction) + features[above] * fraction
