"""Scores as tables for people."""

from typing import Any

SETS = {
    "gt": "ground-truth proposals",
    "learned": "learned proposals",
    "control": "control: another video's features",
}


SINGLE = {"CIDEr": "CIDEr", "Bleu_4": "BLEU-4", "ROUGE_L": "ROUGE-L", "SODA_c": "SODA_c"}
"""Metrics that get one column, if they were asked for, and its name."""


def score_rows(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per set of captions.

    Args:
        scores: the result of `evaluate road`, fractions.

    Returns:
        rows with `name`; `values`, by column, the same columns in all rows: points of 100, None where the set has
        none; `interval`, where 95 % of METEOR's mean lie, None where it was not asked for.
    """
    rows = []
    for key, name in SETS.items():
        values: dict[str, float | None] = {f"METEOR {at}": x for at, x in _of(scores, "METEOR", key).items()}
        for metric, column in SINGLE.items():
            if metric in scores:
                found = _of(scores, metric, key)
                values[column] = found["mean" if "mean" in found else "F1"]
        for column in ("Precision", "Recall"):
            values[column.lower()] = scores[column][key]["mean"] if key in scores[column] else None
        values["F1"] = scores["F1"].get(key)
        limits: Any = _of(scores, "intervals", key).get("METEOR")
        points = {column: None if value is None else 100 * value for column, value in values.items()}
        rows.append({"name": name, "values": points, "interval": limits and [100 * limit for limit in limits]})
    return rows


def _of(scores: dict[str, Any], metric: str, key: str) -> dict[str, float]:
    """A metric of a set, by threshold; nothing if it was not asked for."""
    found = scores["control"].get(metric, {}).get("gt") if key == "control" else scores.get(metric, {}).get(key)
    return found or {}


def markdown(scores: dict[str, Any]) -> str:
    """The score table in Markdown, points of 100."""
    rows = score_rows(scores)
    head = ["x 100", *rows[0]["values"]]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        numbers = ("" if number is None else f"{number:.2f}" for number in row["values"].values())
        lines.append([row["name"], *numbers])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )
