"""Student's t interval of the mean of a few numbers, such as those of several seeds."""

import math
from collections.abc import Sequence

import numpy as np

QUANTILES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045),
)
"""97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom."""

MAX_VALUES = len(QUANTILES) + 1


def mean_interval(values: Sequence[float]) -> list[float] | None:
    """Compute the 95 % interval of the mean of 2 to `MAX_VALUES` numbers; None for one number, which has none."""
    count = len(values)
    if count == 1:
        return None
    mean = float(np.mean(values))
    margin = QUANTILES[count - 2] * float(np.std(values, ddof=1)) / math.sqrt(count)
    return [mean - margin, mean + margin]
