"""Training curves as pictures."""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from pipeline.errors import PipelineError
from pipeline.io.atomic import replacing

PANELS_A_ROW = 4


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics.jsonl.

    Raises:
        PipelineError: absent or not JSON lines.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, json.JSONDecodeError) as error:
        raise PipelineError(f"{path}: metrics cannot be read ({error})") from None


def draw_curves(rows: list[dict[str, Any]], title: str, output: Path) -> bool:
    """One small panel per metric over the epochs, as PNG.

    Args:
        rows: one per epoch; numbers that are finite are drawn.
        title: what was trained.
        output: the picture to write.

    Returns:
        whether there was anything to draw.
    """
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name != "epoch"]
    series = {name: [(row["epoch"], row[name]) for row in rows if _finite(row.get(name))] for name in names}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return False
    matplotlib.use("Agg")
    columns = min(PANELS_A_ROW, len(series))
    lines = math.ceil(len(series) / columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3 * columns, 2.1 * lines), squeeze=False)
    for axis in axes.flat[len(series) :]:
        axis.set_visible(False)
    for axis, (name, points) in zip(axes.flat, series.items(), strict=False):
        axis.plot(*zip(*points, strict=True), marker=".", color="#2b6cb0")
        axis.set_title(name.replace("_", " "), fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    with replacing(output) as temporary:
        # Without the date and version that matplotlib would write into the file, equal curves give equal bytes.
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return True


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
