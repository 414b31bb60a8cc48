"""Markdown and picture of the study of encoders on the tasks of localization."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from pipeline.io.atomic import replace_atomically
from pipeline.report.localization_tables import format_table

COLUMNS = 5
"""Panels in a row."""
COLOUR, PUBLISHED_COLOUR = "#2b6cb0", "#c05621"
UNSCALED = "features"
"""Task whose scores are no fractions."""
MARKERS = "DsP^v"
"""One marker for each source of published scores."""

Column = tuple[str, str, str]
"""Task, column and metric."""


def study_columns(result: Mapping[str, Any]) -> list[Column]:
    """Return the columns of all systems, in the order in which they occur, published ones too."""
    columns: dict[Column, None] = {}
    for row in result["systems"]:
        for tasks in (row["scores"], *row["published"].values()):
            for task, by_column in tasks.items():
                for column, metrics in by_column.items():
                    columns |= dict.fromkeys((task, column, metric) for metric in metrics)
    tasks = list(dict.fromkeys(task for task, *_ in columns))
    return sorted(columns, key=lambda column: (tasks.index(column[0]), column[1]))


def study_markdown(result: Mapping[str, Any]) -> str:
    """Format a table for each column of each task: our scores with their intervals, and the published ones.

    Args:
        result: as `compare_localization` writes it.
    """
    seeds = f", seeds {', '.join(map(str, result['seeds']))}" if result["seeds"] else ""
    videos = ", ".join(map(str, result["videos"]))
    parts = [
        "# Encoders on the tasks of localization",
        f"Splits {', '.join(result['splits'])}; {videos} videos{seeds}. Scores in points of 100, with 95 % intervals "
        "over videos; the region contrast is a difference of cosines.",
    ]
    columns = study_columns(result)
    for task, name in dict.fromkeys((task, name) for task, name, _ in columns):
        metrics = [metric for of_task, column, metric in columns if (of_task, column) == (task, name)]
        rows = [row for system in result["systems"] for row in _system_rows(system, task, name, metrics)]
        rows += [_difference_row(row, result, task, name, metrics) for row in result["differences"]]
        parts += [f"## {task.capitalize()}: {name}", format_table(["", *metrics], rows)]
    return "\n\n".join(parts) + "\n"


def _system_rows(system: Mapping[str, Any], task: str, name: str, metrics: Sequence[str]) -> list[list[str]]:
    """Return the row of a system and one for each source of published scores; none if it has neither."""
    scores = system["scores"].get(task, {}).get(name, {})
    rows = [[system["label"], *(_cell(scores.get(metric), task) for metric in metrics)]] if scores else []
    for source, tasks in system["published"].items():
        published = tasks.get(task, {}).get(name, {})
        if published:
            cells = (f"{published[metric]:.2f}" if metric in published else "" for metric in metrics)
            rows.append([f"{system['label']}, {source}", *cells])
    return rows


def _difference_row(
    row: Mapping[str, Any], result: Mapping[str, Any], task: str, name: str, metrics: Sequence[str]
) -> list[str]:
    labels = {system["name"]: system["label"] for system in result["systems"]}
    scores = row["scores"].get(task, {}).get(name, {})
    title = f"{labels[row['system']]} - {labels[row['compared_to']]}"
    return [title, *(_cell(scores.get(metric), task, "+") for metric in metrics)]


def _cell(value: Mapping[str, Any] | None, task: str, sign: str = "") -> str:
    """Format a score with its interval: fractions in points of 100; nothing for None."""
    if value is None:
        return ""
    scale, digits = (1, 3) if task == UNSCALED else (100, 2)
    text = f"{scale * value['mean']:{sign}.{digits}f}"
    if "interval" not in value:
        return text
    low, high = (f"{scale * limit:{sign}.{digits}f}" for limit in value["interval"])
    return f"{text} ({low} to {high})"


def draw_study(result: Mapping[str, Any], output: Path) -> None:
    """Draw a panel for each metric: a line for each system; published scores are hollow markers.

    Args:
        result: as `compare_localization` writes it.
        output: the PNG to write.
    """
    matplotlib.use("Agg")
    columns, systems = study_columns(result), result["systems"]
    sources = list(dict.fromkeys(source for row in systems for source in row["published"]))
    width = min(COLUMNS, len(columns))
    height = -(-len(columns) // width)
    size = (2.4 * width + 1.2, (0.3 * len(systems) + 0.9) * height)
    figure, axes = plt.subplots(height, width, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(columns) :]:
        axis.axis("off")
    for axis, (task, name, metric) in zip(axes.flat, columns, strict=False):
        scale = 1 if task == UNSCALED else 100
        for line, row in enumerate(systems):
            _draw_score(axis, line, row["scores"].get(task, {}).get(name, {}).get(metric), scale)
            for source, marker in zip(sources, MARKERS, strict=False):
                value = row["published"].get(source, {}).get(task, {}).get(name, {}).get(metric)
                if value is not None:
                    axis.plot(value, line, marker, mfc="none", color=PUBLISHED_COLOUR, markersize=5)
        axis.set_title(f"{name.replace('_', ' ')}: {metric}", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    axes[0, 0].set_yticks(range(len(systems)), [row["label"].replace("`", "") for row in systems])
    axes[0, 0].invert_yaxis()
    if sources:
        figure.supxlabel(f"hollow: {', '.join(sources)}", fontsize=8)
    figure.tight_layout()
    with replace_atomically(output) as temporary:
        # Without the version that matplotlib would write into the file, equal results give equal bytes.
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _draw_score(axis: Any, line: int, value: Mapping[str, Any] | None, scale: int) -> None:
    if value is None:
        return
    axis.plot([scale * score for score in value["by_seed"]], [line] * len(value["by_seed"]), "|", color="#a0aec0")
    if "interval" in value:
        axis.plot([scale * limit for limit in value["interval"]], [line, line], color=COLOUR)
    axis.plot(scale * value["mean"], line, "o", color=COLOUR, markersize=4)
