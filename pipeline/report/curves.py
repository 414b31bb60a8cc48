"""Pictures of training curves."""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from pipeline.errors import PipelineError
from pipeline.io.atomic import replace_atomically

COLUMNS = 4


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the epochs of a `metrics.jsonl`.

    Raises:
        PipelineError: the file is missing or holds something else than JSON lines.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, json.JSONDecodeError) as error:
        raise PipelineError(f"{path}: cannot read the training metrics ({error})") from None


def draw_curves(epochs: list[dict[str, Any]], title: str, output: Path) -> bool:
    """Draw one panel per metric over the epochs, as a PNG.

    Args:
        epochs: metrics of each epoch, from `read_metrics`; only finite numbers are drawn.
        title: title of the picture.
        output: the PNG to write.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    names = [name for name in dict.fromkeys(key for epoch in epochs for key in epoch) if name != "epoch"]
    series = {
        name: [(epoch["epoch"], epoch[name]) for epoch in epochs if _is_finite(epoch.get(name))] for name in names
    }
    series = {name: points for name, points in series.items() if points}
    if not series:
        return False
    matplotlib.use("Agg")
    columns = min(COLUMNS, len(series))
    rows = math.ceil(len(series) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3 * columns, 2.1 * rows), squeeze=False)
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
    with replace_atomically(output) as temporary:
        # Without the version that matplotlib would write into the file, equal curves give equal bytes.
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return True


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
