"""Scores as tables for people."""

from typing import Any

SETS = {
    "gt": "ground-truth proposals",
    "learned": "learned proposals",
    "control": "control: another video's features",
}


def score_rows(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per set of captions.

    Args:
        scores: the result of `evaluate road`, fractions.

    Returns:
        rows with `name`, `meteor` (tIoU or "mean" -> points of 100), `precision`, `recall`, `f1` (points of 100, None
        where the set has none).
    """
    rows = []
    for key, name in SETS.items():
        meteor = scores["control"]["METEOR"]["gt"] if key == "control" else scores["METEOR"][key]
        row: dict[str, Any] = {"name": name, "meteor": {tiou: 100 * value for tiou, value in meteor.items()}}
        for column in ("Precision", "Recall", "F1"):
            found = scores[column].get(key)
            value = found["mean"] if isinstance(found, dict) else found
            row[column.lower()] = None if value is None else 100 * value
        rows.append(row)
    return rows


def markdown(scores: dict[str, Any]) -> str:
    """The score table in Markdown, points of 100."""
    rows = score_rows(scores)
    tious = list(rows[0]["meteor"])
    head = ["METEOR x 100", *(tiou if tiou == "mean" else f"tIoU {tiou}" for tiou in tious)]
    head += ["precision", "recall", "F1"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in rows:
        numbers = [*row["meteor"].values(), row["precision"], row["recall"], row["f1"]]
        lines.append([row["name"], *("" if number is None else f"{number:.2f}" for number in numbers)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )
