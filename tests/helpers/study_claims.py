"""The differences and intervals that studies report, for tests of the claims in documents."""

from typing import Any

Difference = tuple[str, str, str]
"""Name of a row, of the row that it is compared to, and title of a column."""


def read_intervals(study: dict[str, Any]) -> dict[Difference, tuple[float, float]]:
    """Return the interval of each difference of a study."""
    return {
        (difference["row"], difference["compared_to"], column): (value["interval"][0], value["interval"][1])
        for table in study["tables"]
        for difference in table["differences"]
        for column, value in difference["values"].items()
    }


MAX_REACH = 0.005
"""How far an interval of METEOR may reach from its mean to either side."""


def list_wide_intervals(scores: dict[str, dict[str, Any]]) -> list[str]:
    """Return the names of the scores whose interval of METEOR reaches further than 0.5 points of 100 to either side.

    Args:
        scores: name -> the scores of a system or of a difference, by metric.
    """
    reaches = {}
    for name, values in scores.items():
        mean, (low, high) = values["METEOR"]["mean"], values["METEOR"]["interval"]
        reaches[name] = max(mean - low, high - mean)
    return [name for name, reach in reaches.items() if reach > MAX_REACH]
