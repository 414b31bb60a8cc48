"""A small final result for the tests of the report."""

from typing import Any


def example_scores() -> dict[str, Any]:
    """Return the part of a final result that the tables show."""
    meteor = {"0.3": 0.25, "mean": 0.2}
    return {
        "METEOR": {"gt": meteor, "learned": meteor},
        "CIDEr": {"gt": {"0.3": 0.5, "mean": 0.4}, "learned": {"0.3": 0.5, "mean": 0.3}},
        "SODA_c": {"gt": {"F1": 0.2}, "learned": {"F1": 0.1}},
        "intervals": {"gt": {"METEOR": [0.15, 0.25]}, "learned": {"METEOR": [0.1, 0.3]}},
        "control": {
            "METEOR": {"gt": {"0.3": 0.1, "mean": 0.1}},
            "CIDEr": {"gt": {"0.3": 0.1, "mean": 0.1}},
            "SODA_c": {"gt": {"F1": 0.05}},
            "intervals": {"gt": {"METEOR": [0.05, 0.15]}},
        },
        "Precision": {"gt": {"mean": 1.0}, "learned": {"mean": 0.5}},
        "Recall": {"gt": {"mean": 1.0}, "learned": {"mean": 0.75}},
        "F1": {"gt": 1.0, "learned": 0.6},
    }
