"""The picture of a comparison: one panel per metric and probe score, one line per system."""

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from pipeline.comparison.tables import PROBES
from pipeline.io.atomic import replace_atomically

COLUMNS = 6
COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1")
"""One colour for each kind of proposals, from the first again if there are more."""
COLOUR_NAMES = ("blue", "red", "green", "purple")
OFFSET = 0.3
"""Vertical distance of two kinds of proposals on the line of a system; lines are 1 apart."""

Value = dict[str, Any]


def draw_comparison(result: dict[str, Any], output: Path) -> None:
    """Draw mean, interval and value on each dataset of all scores; scores of the paper are hollow diamonds.

    Args:
        result: `systems` as `compare_systems` writes them.
        output: the PNG to write.
    """
    matplotlib.use("Agg")
    systems = result["systems"]
    kinds = list(systems[0]["scores"])
    metrics = list(systems[0]["scores"][kinds[0]])
    probes = _probe_panels(systems)
    panels = len(metrics) + len(probes)
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    size = (2.4 * columns + 1.2, (0.3 * len(systems) * min(2, len(kinds)) + 0.8) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[panels:]:
        axis.axis("off")
    for axis, metric in zip(axes.flat, metrics, strict=False):
        _draw_scores(axis, systems, metric, kinds)
        _finish_panel(axis, metric, None)
    for axis, (title, values) in zip(axes.flat[len(metrics) :], probes.items(), strict=False):
        for line, value in enumerate(values):
            _draw_value(axis, line, value, COLOURS[0])
        _finish_panel(axis, title, 104)  # accuracies and precisions end at 100
    axes[0, 0].set_yticks(range(len(systems)), [row["label"].replace("_", " ").replace("`", "") for row in systems])
    axes[0, 0].invert_yaxis()
    _draw_legend(figure, systems, kinds)
    figure.tight_layout()
    with replace_atomically(output) as temporary:
        # Without the version that matplotlib would write into the file, equal results give equal bytes.
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _draw_scores(axis: Any, systems: list[dict[str, Any]], metric: str, kinds: list[str]) -> None:
    """Draw one metric of all systems, and of each kind of proposals."""
    for line, row in enumerate(systems):
        for index, kind in enumerate(kinds):
            y = line + OFFSET * (index - (len(kinds) - 1) / 2)
            colour = COLOURS[index % len(COLOURS)]
            _draw_value(axis, y, row["scores"].get(kind, {}).get(metric), colour)
            published = row["paper"].get(kind, {}).get(metric)
            if published is not None:
                axis.plot(published, y, "D", mfc="none", color=colour, markersize=5)


def _draw_value(axis: Any, y: float, value: Value | None, colour: str) -> None:
    """Draw a point for the mean, a line for the interval, a tick for each dataset; nothing if there is no value."""
    if value is None:
        return
    axis.plot([100 * score for score in value["by_seed"]], [y] * len(value["by_seed"]), "|", color="#a0aec0")
    if "interval" in value:
        axis.plot([100 * limit for limit in value["interval"]], [y, y], color=colour)
    axis.plot(100 * value["mean"], y, "o", color=colour, markersize=4)


def _probe_panels(systems: list[dict[str, Any]]) -> dict[str, list[Value | None]]:
    """Return title -> value of each system: the probe scores, and the precision of the concepts of each attribute."""
    probes = [row.get("probe", {}) for row in systems]
    if not any(probes):
        return {}
    panels = {name: [probe.get(name) for probe in probes] for name in PROBES}
    by_attribute = [probe.get("concept_map_by_attribute", {}) for probe in probes]
    for name in dict.fromkeys(name for values in by_attribute for name in values):
        panels[f"{name} concepts, map"] = [values.get(name) for values in by_attribute]
    return panels


def _finish_panel(axis: Any, title: str, end: float | None) -> None:
    axis.set_xlim(0, end)
    axis.set_title(f"{title.replace('_', ' ')} x 100", fontsize=9)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)


def _draw_legend(figure: Any, systems: list[dict[str, Any]], kinds: list[str]) -> None:
    """Explain colours and diamonds below the panels, if there are several colours or any diamonds."""
    entries = [f"{COLOUR_NAMES[index % len(COLOURS)]}: {kind} proposals" for index, kind in enumerate(kinds)]
    entries = entries if len(kinds) > 1 else []
    if any(row["paper"] for row in systems):
        entries.append("diamonds: the paper")
    if entries:
        figure.supxlabel("   ".join(entries), fontsize=8)
