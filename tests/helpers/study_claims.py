"""The differences that a study of `compare_results` reports, for tests of the claims in documents."""

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
