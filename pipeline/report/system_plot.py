"""A comparison of encoders as a picture."""

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from pipeline.io.atomic import replacing

PROBES = ("action_accuracy", "region_accuracy", "concept_map")
COLUMNS = 6


def draw_arms(found: dict[str, Any], output: Path) -> None:
    """One panel for each measure, a line in it for each encoder: its mean, its interval where there is one, its seeds.

    Measures are the scores of captions, the probes, and the precision of each kind of concept.

    Args:
        found: what `compare_encoders` writes.
        output: the picture to write, PNG.
    """
    matplotlib.use("Agg")
    names = list(found["arms"])
    panels = _panels(found["arms"])
    rows = -(-len(panels) // COLUMNS)
    size = (2.2 * COLUMNS + 1, (0.3 * len(names) + 0.8) * rows)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, (title, values) in zip(axes.flat, panels.items(), strict=False):
        for place, arm in enumerate(names):
            draw_value(axis, place, values[arm])
        scored = any(value and "interval" in value for value in values.values())
        axis.set_xlim(0, None if scored else 104)  # shares of all there is, up to 100; scores have no such end
        axis.set_title(f"{title.replace('_', ' ')} x 100", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].invert_yaxis()
    figure.tight_layout()
    with replacing(output) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})  # equal results give equal bytes
    plt.close(figure)


def _panels(arms: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Title -> arm -> value: the captions' scores, the probes, and the precision of each kind of concept."""
    first = next(iter(arms.values()))
    attributes = first.get("probe", {}).get("concept_map_by_attribute", {})
    panels = {name: {arm: row[name] for arm, row in arms.items()} for name in first if name != "probe"}
    panels |= {name: {arm: row.get("probe", {}).get(name) for arm, row in arms.items()} for name in PROBES}
    for name in attributes:
        of_attribute = {arm: row.get("probe", {}).get("concept_map_by_attribute", {}) for arm, row in arms.items()}
        panels[f"{name} concepts, map"] = {arm: values.get(name) for arm, values in of_attribute.items()}
    return panels


def draw_value(axis: Any, place: float, value: dict[str, Any] | None, color: str = "#2b6cb0") -> None:
    """Draw a number of several corpora into a panel: a point for the mean, a line for the interval, a tick for each.

    Args:
        axis: the panel.
        place: height.
        value: mean, by_seed and, where there is one, interval; None draws nothing.
        color: of point and line.
    """
    if value is None:
        return
    axis.plot([100 * one for one in value["by_seed"]], [place] * len(value["by_seed"]), "|", color="#a0aec0")
    if "interval" in value:
        axis.plot([100 * edge for edge in value["interval"]], [place, place], color=color)
    axis.plot(100 * value["mean"], place, "o", color=color, markersize=4)
