"""Analysis of detections and of features on the test videos of a corpus."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.config.analyze_localization import AnalyzeLocalization
from pipeline.datasets.corpus import Corpus
from pipeline.evaluation.confidence_intervals import mean_with_ci
from pipeline.evaluation.detection_analysis import (
    analyze_groups,
    average_precision_n,
    instance_values,
    match_to_truth,
    profile_false_positives,
)
from pipeline.evaluation.localization_result import corpus_ground_truth, restrict_to_splits
from pipeline.evaluation.segments import GroundTruth, ScoredSegments, as_thresholds, tiou_names
from pipeline.features.similarity import FeatureContrast, Spans


def analyze_detections(
    config: AnalyzeLocalization, corpus: Corpus, splits: Sequence[str], detections: ScoredSegments
) -> dict[str, Any]:
    """Analyze the detections in the videos of some splits.

    Args:
        config: thresholds and borders.
        corpus: the annotations.
        splits: splits that are analyzed together.
        detections: with labels.

    Returns:
        mAP_N by threshold and its mean; `groups` by `length`, `coverage` and `num_instances`; `false_positives`.

    Raises:
        PipelineError: no video of the splits has actions.
    """
    of_splits = restrict_to_splits(detections, corpus, splits)
    truth = corpus_ground_truth(corpus, splits, of_splits.videos)
    matched = match_to_truth(truth, of_splits, as_thresholds(config.tious))
    by_tiou = average_precision_n(matched)
    values = instance_values(matched.truth, video_durations(corpus, matched.truth))
    borders = {
        "length": config.lengths,
        "coverage": config.coverages,
        "num_instances": config.num_instances,
    }
    return {
        "mAP_N": {**dict(zip(tiou_names(matched.tious), by_tiou.tolist(), strict=True)), "mean": float(by_tiou.mean())},
        "n_instances": len(matched.truth.video),
        "n_zero_length": len(truth.video) - len(matched.truth.video),
        "n_detections": len(matched.label),
        "groups": {
            name: {"borders": borders[name], **analyze_groups(matched, values[name], borders[name])} for name in borders
        },
        "false_positives": profile_false_positives(matched),
    }


def video_durations(corpus: Corpus, truth: GroundTruth) -> Float[np.ndarray, " videos"]:
    """Return the durations of the videos of a ground truth [s]; NaN where no annotation states one."""
    durations = {row.video.removeprefix("v_"): row.duration for row in corpus.videos}
    return np.array([durations[video] or np.nan for video in truth.videos], np.float64)


def action_spans(corpus: Corpus, splits: Sequence[str]) -> dict[str, Spans]:
    """Return the actions of each video of some splits that has a file, in the order of the corpus."""
    spans: dict[str, list[tuple[float, float]]] = {row.video: [] for row in corpus.videos_of_splits(*splits)}
    for segment in corpus.segments:
        if segment.label is not None and segment.video in spans:
            spans[segment.video].append((segment.start, segment.end))
    return dict(spans)


def summarise_contrast(contrast: FeatureContrast, num_draws: int) -> dict[str, Any] | None:
    """Return the mean region contrast over videos with its interval; None if no video has a contrast.

    Args:
        contrast: of a feature.
        num_draws: draws of the bootstrap; 0 leaves the interval out.

    Returns:
        `contrast` (mean, interval), `within` and `across` (means), `n_videos`, and `left_out`: reason -> number.
    """
    values = list(contrast.by_video.values())
    if not values:
        return None
    summary = mean_with_ci([np.array([value.difference for value in values])], num_draws)
    return {
        "contrast": {key: summary[key] for key in ("mean", "interval") if key in summary},
        "within": float(np.mean([value.within for value in values])),
        "across": float(np.mean([value.across for value in values])),
        "n_videos": len(values),
        "left_out": {reason: len(videos) for reason, videos in sorted(contrast.left_out.items())},
    }


def drawn_videos(contrasts: Mapping[str, FeatureContrast], number: int) -> list[str]:
    """Return the first videos by id that have a contrast in every feature."""
    shared = set[str].intersection(*(set(contrast.by_video) for contrast in contrasts.values())) if contrasts else set()
    return sorted(shared)[:number]
