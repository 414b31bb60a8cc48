"""Pictures of the analyses of clips: similarity of categories, score against number of frames, map of attributes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from pipeline.io.atomic import replace_atomically

CURVES = {"CIDEr": "#2b6cb0", "Meta_Sum": "#c05621", "mAP": "#2f855a"}
"""Scores that are drawn against the number of frames, with their colours."""


def draw_clip_analysis(analysis: Mapping[str, Any], output: Path) -> None:
    """Draw what an analysis has, one panel each.

    Args:
        analysis: as `analyze_clips` writes it.
        output: the PNG to write.
    """
    matplotlib.use("Agg")
    draws: dict[str, Callable[[Any, Any], None]] = {
        "similarity": _draw_similarity,
        "frames": _draw_frames,
        "attribute_map": _draw_map,
    }
    panels = [name for name in draws if analysis.get(name)] or ["similarity"]
    figure, axes = plt.subplots(1, len(panels), figsize=(6.5 * len(panels), 5.5), squeeze=False)
    for axis, name in zip(axes[0], panels, strict=True):
        if analysis.get(name):
            draws[name](axis, analysis[name])
        else:
            axis.axis("off")
    figure.tight_layout()
    with replace_atomically(output) as temporary:
        # Without the version that matplotlib would write into the file, equal results give equal bytes.
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _draw_similarity(axis: Any, similarity: Mapping[str, Any]) -> None:
    matrix = np.array(similarity["matrix"])
    limit = np.abs(matrix).max() or 1.0
    axis.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ticks = range(len(similarity["categories"]))
    axis.set_xticks(ticks, similarity["categories"], rotation=60, ha="right", fontsize=8)
    axis.set_yticks(ticks, similarity["categories"], fontsize=8)
    axis.set_title(f"cosine within categories {similarity['within']:.3f}, between {similarity['between']:.3f}")


def _draw_frames(axis: Any, rows: list[Mapping[str, Any]]) -> None:
    frames = [row["frames"] for row in rows]
    for name, colour in CURVES.items():
        if name in rows[0]:
            axis.plot(frames, [100 * row[name] for row in rows], "o-", color=colour, label=name)
    axis.set_xlabel("frames of a clip")
    axis.set_ylabel("score x 100")
    axis.legend()
    axis.grid(alpha=0.3)


def _draw_map(axis: Any, attribute_map: Mapping[str, Any]) -> None:
    axis.scatter(attribute_map["x"], attribute_map["y"], s=6, color="#2b6cb0")
    for word, x, y in zip(attribute_map["words"], attribute_map["x"], attribute_map["y"], strict=True):
        axis.annotate(word, (x, y), fontsize=7)
    axis.set_title("embeddings of attributes (t-SNE)")
    axis.set_xticks([])
    axis.set_yticks([])
