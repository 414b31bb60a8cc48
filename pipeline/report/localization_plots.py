"""Pictures of the analysis of localization: groups and false positives, and similarity matrices."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float

from pipeline.features.similarity import similarity_matrix
from pipeline.io.atomic import replace_atomically

COLOURS = ("#2f855a", "#2b6cb0", "#c05621", "#d69e2e", "#6b46c1", "#718096")
"""One colour for each kind of detections, in the order of `pipeline.evaluation.detection_analysis.ERRORS`."""
SPAN_COLOUR = "#e53e3e"
MAX_ROWS = 400
"""Rows of a matrix that are drawn; of longer videos every second or third one, and so on."""


def draw_analysis(result: Mapping[str, Any], output: Path) -> None:
    """Draw the average mAP_N of each group, and the kinds of the best detections; a row for each set of detections.

    Args:
        result: `detections` as `analyze_localization` writes them, at least one.
        output: the PNG to write.
    """
    matplotlib.use("Agg")
    detections = result["detections"]
    groups = list(next(iter(detections.values()))["groups"])
    columns = len(groups) + 1
    figure, axes = plt.subplots(len(detections), columns, figsize=(3 * columns, 2.4 * len(detections)), squeeze=False)
    for row, (name, analysis) in zip(axes, detections.items(), strict=True):
        for axis, group in zip(row, groups, strict=False):
            _draw_group(axis, analysis["groups"][group], analysis["mAP_N"]["mean"])
            axis.set_title(f"{name.replace('_', ' ')}: {group.replace('_', ' ')}", fontsize=9)
        _draw_profile(row[-1], analysis["false_positives"])
    axes[0, 0].set_ylabel("average mAP_N x 100", fontsize=8)
    _save(figure, output)


def _draw_group(axis: Any, group: Mapping[str, Any], average: float) -> None:
    names = [name for name in group if name != "borders"]
    values = [group[name]["average_mAP_N"] for name in names]
    axis.bar(names, [0.0 if value is None else 100 * value for value in values], color=COLOURS[1])
    axis.axhline(100 * average, color="#718096", linestyle="--", linewidth=1)
    axis.set_xticks(range(len(names)), [f"{name}\n{100 * group[name]['share']:.0f} %" for name in names])
    axis.tick_params(labelsize=7)


def _draw_profile(axis: Any, profile: Mapping[str, Any]) -> None:
    """Draw the kinds of detections: of the best G of each class, the next G, and so on."""
    ranks = profile["fractions_by_rank"]
    kinds = list(profile["fractions"] or {})
    bottom = np.zeros(len(ranks))
    for kind, colour in zip(kinds, COLOURS, strict=False):
        heights = np.array([100 * part[kind] if part else 0.0 for part in ranks])
        axis.bar(range(1, len(ranks) + 1), heights, bottom=bottom, color=colour, label=kind.replace("_", " "))
        bottom += heights
    axis.set_title("detections by rank (G)", fontsize=9)
    axis.tick_params(labelsize=7)
    if kinds:
        axis.legend(fontsize=5, loc="upper right")


def draw_similarity(
    rows: Mapping[str, Mapping[str, Float[np.ndarray, "rows dim"]]],
    centres: Mapping[str, Mapping[str, Float[np.ndarray, " rows"]]],
    spans: Mapping[str, Sequence[tuple[float, float]]],
    output: Path,
) -> None:
    """Draw the similarity matrices of videos with their actions as squares: a row for each video, a column a feature.

    Args:
        rows: feature -> video -> its rows.
        centres: feature -> video -> middle of the clip of each row [s].
        spans: video -> its actions [s].
        output: the PNG to write.
    """
    matplotlib.use("Agg")
    videos = list(spans)
    size = (2.6 * max(1, len(rows)), 2.6 * max(1, len(videos)))
    figure, axes = plt.subplots(max(1, len(videos)), max(1, len(rows)), figsize=size, squeeze=False)
    if not videos or not rows:
        axes[0, 0].set_axis_off()
        axes[0, 0].text(0, 0.5, "no video has actions and background", fontsize=8)
    for line, video in zip(axes, videos, strict=False):
        for axis, (feature, by_video) in zip(line, rows.items(), strict=True):
            step = -(-len(by_video[video]) // MAX_ROWS)
            _draw_matrix(axis, by_video[video][::step], centres[feature][video][::step], spans[video])
            axis.set_title(f"{feature.replace('_', ' ')}: {video}", fontsize=7)
    _save(figure, output)


def _draw_matrix(
    axis: Any,
    rows: Float[np.ndarray, "rows dim"],
    centres: Float[np.ndarray, " rows"],
    spans: Sequence[tuple[float, float]],
) -> None:
    half = (centres[1] - centres[0]) / 2 if len(centres) > 1 else centres[0]
    extent = (centres[0] - half, centres[-1] + half)
    axis.imshow(similarity_matrix(rows), extent=(*extent, *extent[::-1]), vmax=1.0, interpolation="nearest")
    for start, end in spans:
        axis.plot([start, end, end, start, start], [start, start, end, end, start], color=SPAN_COLOUR, linewidth=1)
    axis.set_xlim(*extent)
    axis.set_ylim(*extent[::-1])
    axis.tick_params(labelsize=6)


def _save(figure: Any, output: Path) -> None:
    figure.tight_layout()
    with replace_atomically(output) as temporary:
        # Without the version that matplotlib would write into the file, equal results give equal bytes.
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    plt.close(figure)
