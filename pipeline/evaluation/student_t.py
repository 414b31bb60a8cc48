"""Student's t interval of the mean of a few numbers, such as those of several seeds."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def mean_interval(values: Sequence[float]) -> list[float] | None:
    """Compute the 95 % interval of the mean of at least two numbers; None for one number, which has none."""
    count = len(values)
    if count == 1:
        return None
    mean = float(np.mean(values))
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
    margin = quantile * float(np.std(values, ddof=1)) / math.sqrt(count)
    return [mean - margin, mean + margin]
