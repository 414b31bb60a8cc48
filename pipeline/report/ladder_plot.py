"""A ladder as a picture."""

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from pipeline.io.atomic import replacing
from pipeline.report.system_plot import draw_value

COLOURS = {"gt": "#2b6cb0", "learned": "#c05621"}
APART = 0.15
"""Between the two kinds of proposals of a rung and its middle."""


def draw_ladder(found: dict[str, Any], output: Path) -> None:
    """A panel for each metric, the lowest rung at its bottom: mean, interval, corpora for either kind of proposals.

    The paper's METEOR is a hollow diamond.

    Args:
        found: what `climb_ladder` writes.
        output: the picture to write, PNG.
    """
    matplotlib.use("Agg")
    rows = found["rungs"]
    metrics = list(rows[0]["gt"])
    size = (3.2 * len(metrics) + 1, 0.5 * len(rows) + 1.2)
    figure, axes = plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False)
    for axis, metric in zip(axes.flat, metrics, strict=True):
        for place, row in enumerate(rows):
            for (kind, colour), apart in zip(COLOURS.items(), (APART, -APART), strict=True):
                draw_value(axis, place + apart, row[kind][metric], colour)
                if metric == "METEOR" and row["paper"][kind] is not None:
                    axis.plot(row["paper"][kind], place + apart, "D", mfc="none", color=colour, markersize=5)
        axis.set_xlim(0, None)
        axis.set_title(f"{metric.replace('_', ' ')} x 100", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    axes[0, 0].set_yticks(range(len(rows)), [row["name"].replace("_", " ") for row in rows])
    told = "  ".join(f"{name}: {what}" for name, what in (("blue", "ground-truth proposals"), ("red", "learned")))
    figure.supxlabel(f"{told}   diamonds: the paper's", fontsize=8)
    figure.tight_layout()
    with replacing(output) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})  # equal results give equal bytes
    plt.close(figure)
