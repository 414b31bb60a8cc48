"""A comparison of encoders as a picture."""

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from pipeline.store.atomic import replacing

PROBES = ("action_accuracy", "region_accuracy", "concept_map")


def draw_arms(found: dict[str, Any], output: Path) -> None:
    """One panel for each measure, a line in it for each encoder: its mean, its interval where there is one, its seeds.

    Args:
        found: what `compare_encoders` writes.
        output: the picture to write, PNG.
    """
    matplotlib.use("Agg")
    names = list(found["arms"])
    metrics = [name for name in found["arms"][names[0]] if name != "probe"]
    panels = {name: {arm: row[name] for arm, row in found["arms"].items()} for name in metrics}
    panels |= {name: {arm: row.get("probe", {}).get(name) for arm, row in found["arms"].items()} for name in PROBES}
    size = (2.4 * len(panels) + 1, 0.35 * len(names) + 1)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for axis, (title, values) in zip(axes.flat, panels.items(), strict=True):
        for place, arm in enumerate(names):
            _draw(axis, place, values[arm])
        axis.set_title(f"{title.replace('_', ' ')} x 100", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    axes[0, 0].set_yticks(range(len(names)), names, fontsize=8)
    axes[0, 0].invert_yaxis()
    figure.tight_layout()
    with replacing(output) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})  # equal results give equal bytes
    plt.close(figure)


def _draw(axis: Any, place: int, value: dict[str, Any] | None) -> None:
    if value is None:
        return
    axis.plot([100 * one for one in value["by_seed"]], [place] * len(value["by_seed"]), "|", color="#a0aec0")
    if "interval" in value:
        axis.plot([100 * edge for edge in value["interval"]], [place, place], color="#2b6cb0")
    axis.plot(100 * value["mean"], place, "o", color="#2b6cb0", markersize=4)
