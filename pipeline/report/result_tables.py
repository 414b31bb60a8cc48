"""Markdown and picture of tables of result files: our numbers, their intervals, and published ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from pipeline.io.atomic import replace_atomically
from pipeline.report.localization_tables import format_table

COLOUR, SEED_COLOUR, PUBLISHED_COLOUR = "#2b6cb0", "#a0aec0", "#c05621"
MARKERS = "DsP^v"
"""One marker for each source of published numbers."""


def result_tables_markdown(result: Mapping[str, Any]) -> str:
    """Format a document with all tables: rows, published rows under them, differences.

    Args:
        result: as `compare_results` writes it.
    """
    return "\n\n".join([f"# {result['title']}", _introduction(result), *map(_table_markdown, result["tables"])]) + "\n"


def _introduction(result: Mapping[str, Any]) -> str:
    """Say what the numbers and their intervals are."""
    count = len(result["datasets"])
    if count == 1:
        numbers = f"Numbers of one run of {result['datasets'][0]}, without intervals."
    else:
        seeds = ", ".join(map(str, result["seeds"]))
        numbers = (
            f"Means over {count} seeds ({seeds}): each has data and trainings of its own. After ± is half the width of "
            f"the 95 % interval of the mean (Student's t over the {count} seeds). Differences are taken seed by seed."
        )
    sources = _list_sources(result)
    published = f" Rows that end in {' or '.join(sources)} are published numbers, of the data of their source."
    return numbers + (published if sources else "")


def _list_sources(result: Mapping[str, Any]) -> list[str]:
    """Return the sources of published numbers, in the order of the rows."""
    rows = [row for table in result["tables"] for row in table["rows"]]
    return list(dict.fromkeys(source for row in rows for source in row["published"]))


def _table_markdown(table: Mapping[str, Any]) -> str:
    columns = table["columns"]
    labels = {row["name"]: row["label"] for row in table["rows"]}
    rows = [line for row in table["rows"] for line in _lines(row["label"], row, columns, "")]
    for row in table["differences"]:
        rows += _lines(f"{labels[row['row']]} - {labels[row['compared_to']]}", row, columns, "+")
    return f"## {table['title']}\n\n{format_table(['', *(column['title'] for column in columns)], rows)}"


def _lines(label: str, row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]], sign: str) -> list[list[str]]:
    """Return the line of our numbers, if there are any, and one for each source of published ones.

    Args:
        label: title of the row.
        row: a row, or a difference of rows.
        columns: columns of the table.
        sign: `+` shows the sign of positive numbers.
    """
    lines = []
    if row["values"]:
        ours = (_cell(row["values"].get(column["title"]), column["digits"], sign) for column in columns)
        lines.append([label, *ours])
    for source, numbers in row["published"].items():
        theirs = (
            f"{numbers[column['title']]:{sign}.{column['digits']}f}" if column["title"] in numbers else ""
            for column in columns
        )
        lines.append([f"{label}, {source}", *theirs])
    return lines


def _cell(value: Mapping[str, Any] | None, digits: int, sign: str) -> str:
    """Format a mean with its interval; nothing for None."""
    if value is None:
        return ""
    text = f"{value['mean']:{sign}.{digits}f}"
    if "interval" not in value:
        return text
    low, high = value["interval"]
    return f"{text} ± {(high - low) / 2:.{digits}f}"


def draw_result_tables(result: Mapping[str, Any], output: Path) -> None:
    """Draw a row of panels for each table: a panel for each column, a line for each row of the table.

    A dot is a mean, a line its interval, grey marks are the seeds, hollow markers are published numbers.

    Args:
        result: as `compare_results` writes it.
        output: the PNG to write.
    """
    matplotlib.use("Agg")
    tables = result["tables"]
    sources = _list_sources(result)
    width = max(len(table["columns"]) for table in tables)
    heights = [0.28 * len(table["rows"]) + 1.0 for table in tables]
    figure = plt.figure(figsize=(2.2 * width + 2.4, sum(heights) + 0.4), layout="constrained")
    parts = figure.subfigures(len(tables), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, table in zip(parts, tables, strict=True):
        part.suptitle(table["title"], fontsize=9)
        axes = part.subplots(1, width, sharey=True, squeeze=False)[0]
        for axis in axes[len(table["columns"]) :]:
            axis.axis("off")
        for axis, column in zip(axes, table["columns"], strict=False):
            _draw_column(axis, table["rows"], column["title"], sources)
        axes[0].set_yticks(range(len(table["rows"])), [row["label"].replace("`", "") for row in table["rows"]])
        axes[0].set_ylim(len(table["rows"]) - 0.5, -0.5)
    if sources:
        figure.supxlabel(f"hollow: {', '.join(sources)}", fontsize=8)
    with replace_atomically(output) as temporary:
        # Without the version that matplotlib would write into the file, equal results give equal bytes.
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _draw_column(axis: Any, rows: Sequence[Mapping[str, Any]], title: str, sources: Sequence[str]) -> None:
    """Draw the numbers of one column."""
    for line, row in enumerate(rows):
        if value := row["values"].get(title):
            axis.plot(value["by_seed"], [line] * len(value["by_seed"]), "|", color=SEED_COLOUR)
            if "interval" in value:
                axis.plot(value["interval"], [line, line], color=COLOUR)
            axis.plot(value["mean"], line, "o", color=COLOUR, markersize=4)
        for source, marker in zip(sources, MARKERS, strict=False):
            number = row["published"].get(source, {}).get(title)
            if number is not None:
                axis.plot(number, line, marker, mfc="none", color=PUBLISHED_COLOUR, markersize=5)
    axis.set_title(title, fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
