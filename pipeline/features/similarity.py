"""How similar the clips of a video are by their features, as in Figure 2 of TSP (Alwassel et al., 2021).

The figure shows the cosine similarity of all pairs of clips of a video with the extents of the actions; the paper has
no number for it. Ours is the region contrast: the mean cosine of two clips of the same action, minus the mean cosine of
a clip in an action and a clip in the background. Good features are alike inside an action and change at its borders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures

Spans = Sequence[tuple[float, float]]
"""Start and end of the actions of a video [s]."""

Rows = Float[np.ndarray, "rows dim"]


@dataclass(frozen=True)
class RegionContrast:
    """The region contrast of one video.

    Attributes:
        within: mean cosine of two clips of the same action, a mean over the actions.
        across: mean cosine of a clip of an action and a clip of the background, likewise.
    """

    within: float
    across: float

    @property
    def difference(self) -> float:
        """The contrast."""
        return self.within - self.across


@dataclass(frozen=True)
class FeatureContrast:
    """The region contrast of a feature.

    Attributes:
        by_video: contrast of each video that has one.
        left_out: why the other videos have none -> their ids.
    """

    by_video: Mapping[str, RegionContrast]
    left_out: Mapping[str, Sequence[str]]


def similarity_matrix(rows: Rows) -> Float[np.ndarray, "rows rows"]:
    """Compute the cosine similarity of all pairs of rows; a row of zeros is similar to none."""
    unit = _unit_rows(rows)
    return unit @ unit.T


def measure_contrast(rows: Rows, centres: Float[np.ndarray, " rows"], spans: Spans) -> RegionContrast | str:
    """Compute the region contrast of a video.

    Args:
        rows: features of the clips.
        centres: middle of each clip [s]; a clip is in an action if this is.
        spans: the actions.

    Returns:
        The contrast, or why there is none: `no_action`, no action with at least two clips; `no_background`, no clip
        outside all actions.
    """
    members = [_rows_inside(centres, span) for span in spans]
    background = ~np.any(members, axis=0) if members else np.ones(len(centres), bool)
    actions = [inside for inside in members if inside.sum() >= 2]
    if not actions:
        return "no_action"
    if not background.any():
        return "no_background"
    unit = _unit_rows(rows)
    mean_background = unit[background].mean(0)
    within, across = [], []
    for inside in actions:
        total, count = unit[inside].sum(0), int(inside.sum())
        # The sum over all pairs without those of a row with itself.
        squares = np.square(unit[inside]).sum()
        within.append((total @ total - squares) / (count * (count - 1)))
        across.append(total @ mean_background / count)
    return RegionContrast(float(np.mean(within)), float(np.mean(across)))


def contrast_of_feature(features: CombinedFeatures, spans: Mapping[str, Spans]) -> FeatureContrast:
    """Compute the region contrast of a feature in each video.

    Args:
        features: one feature.
        spans: the actions of each video.

    Raises:
        PipelineError: features are not finite; names the video.
    """
    by_video: dict[str, RegionContrast] = {}
    left_out: dict[str, list[str]] = {}
    for video, of_video in sorted(spans.items()):
        if video not in features.videos:
            left_out.setdefault("no_features", []).append(video)
            continue
        contrast = measure_contrast(read_finite(features, video), row_centres(features, video), of_video)
        if isinstance(contrast, str):
            left_out.setdefault(contrast, []).append(video)
        else:
            by_video[video] = contrast
    return FeatureContrast(by_video, left_out)


def row_centres(features: CombinedFeatures, video: str) -> Float[np.ndarray, " rows"]:
    """Return the middle of the clip of each row of a video [s]."""
    return features.grid.centres(features.num_rows(video))


def read_finite(features: CombinedFeatures, video: str) -> Rows:
    """Read the rows of a video.

    Raises:
        PipelineError: the video has none, or they are not finite; names the video.
    """
    rows = features.read(video)
    if not np.isfinite(rows).all():
        raise PipelineError(f"features of video {video} contain NaN or infinity; extract its shard again")
    return rows


def _rows_inside(centres: Float[np.ndarray, " rows"], span: tuple[float, float]) -> Bool[np.ndarray, " rows"]:
    return (centres >= span[0]) & (centres <= span[1])


def _unit_rows(rows: Rows) -> Rows:
    exact = rows.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.divide(exact, norms, out=np.zeros_like(exact), where=norms > 0)
