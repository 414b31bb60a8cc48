"""The table of scores: one row for each set of captions, one column for each metric."""

from typing import Any

from pipeline.config.metrics import METRICS

SETS = {
    "gt": "ground-truth proposals",
    "learned": "learned proposals",
    "control": "control: another video's features",
}
"""Sets of captions in the final result, and their titles."""

BY_THRESHOLD = "METEOR"
"""Metric that has a column for each tIoU threshold; the others have one column, the mean."""

Row = dict[str, Any]


def score_rows(scores: dict[str, Any]) -> list[Row]:
    """Build one row per set of captions from the final result.

    Args:
        scores: the result of `evaluate dataset`; fractions.

    Returns:
        Rows with `name`; `values`: column -> points of 100 (None if the set lacks the score), the same columns in all
        rows; `interval`: the 95 % interval of METEOR's mean in points of 100, None if it was not computed.
    """
    rows = []
    for key, title in SETS.items():
        values: dict[str, float | None] = {}
        for metric, spec in METRICS.items():
            by_threshold = _scores_of(scores, spec.headline if spec.kind == "pair" else metric, key)
            if metric == BY_THRESHOLD:
                values |= {f"{spec.title} {threshold}": score for threshold, score in by_threshold.items()}
            elif by_threshold:
                values[spec.title] = by_threshold["mean" if spec.kind == "pair" else spec.headline]
        for name in ("Precision", "Recall"):
            values[name.lower()] = scores[name][key]["mean"] if key in scores[name] else None
        values["F1"] = scores["F1"].get(key)
        limits: Any = _scores_of(scores, "intervals", key).get(BY_THRESHOLD)
        points = {column: None if value is None else 100 * value for column, value in values.items()}
        rows.append({"name": title, "values": points, "interval": limits and [100 * limit for limit in limits]})
    return rows


def score_table_markdown(rows: list[Row]) -> str:
    """Format rows of `score_rows` as a Markdown table."""
    header = ["x 100", *rows[0]["values"]]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row in rows:
        lines.append([row["name"], *("" if value is None else f"{value:.2f}" for value in row["values"].values())])
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def _scores_of(scores: dict[str, Any], name: str, key: str) -> dict[str, float]:
    """Return the values of a score for a set of captions; empty if the score was not computed."""
    values = scores["control"].get(name, {}).get("gt") if key == "control" else scores.get(name, {}).get(key)
    return values or {}
