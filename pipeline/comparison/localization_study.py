"""The study of encoders on the tasks of localization: scores of each, differences, and published scores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.comparison.scored_datasets import corpus_manifest
from pipeline.config.compare_localization import CompareLocalization, LocalizationSystem
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.confidence_intervals import percentile_interval
from pipeline.evaluation.detection_analysis import match_to_truth
from pipeline.evaluation.localization_analysis import action_spans
from pipeline.evaluation.localization_result import corpus_ground_truth, restrict_to_splits, unite_classes
from pipeline.evaluation.proposals import compute_recall_curve, rank_proposals
from pipeline.evaluation.segments import GroundTruth, ScoredSegments, as_thresholds, read_scored_segments
from pipeline.evaluation.video_bootstrap import (
    Draws,
    bootstrap_detections,
    bootstrap_proposals,
    bootstrap_videos,
    draw_weights,
)
from pipeline.features.combined import CombinedFeatures
from pipeline.features.similarity import contrast_of_feature
from pipeline.io.atomic import read_json
from pipeline.io.progress import Progress

FEATURE_COLUMN, CONTRAST = "region", "contrast"
"""Column and metric of a feature: the region contrast, see `pipeline.features.similarity`."""
CAPTION_METRIC = "METEOR"

SystemDraws = dict[str, dict[str, dict[str, Draws]]]
"""Task -> column -> metric -> values."""


def list_study_inputs(results: Path, config: CompareLocalization) -> list[Path]:
    """Return the outputs of earlier stages that the study reads, without reading them, but for features.

    Args:
        results: `results/<dataset>`; the results of other seeds are folders beside it.
        config: the study.
    """
    files = [comparison_file(results, name) for name in config.comparisons]
    for name in config.datasets(results.name):
        folder = results.with_name(name)
        entries = dict.fromkeys(entry for system in config.systems for entry in system.detection_entries)
        files += [corpus_manifest(folder), *(_detection_file(folder, entry) for entry in entries)]
        features = dict.fromkeys(system.feature for system in config.systems if system.feature is not None)
        shards = Corpus.open(corpus_manifest(folder)).num_shards if features else 0
        for feature in features:
            files += [folder / "features" / feature / f"{shard:04d}" / "manifest.json" for shard in range(shards)]
    return files


def comparison_file(results: Path, comparison: str) -> Path:
    """Return the result of a comparison of captioning systems of a dataset."""
    return results.with_name(f"{results.name}_{comparison}.json")


def compute_study(results: Path, config: CompareLocalization) -> dict[str, Any]:
    """Score all systems on all datasets.

    Args:
        results: `results/<dataset>`.
        config: the study.

    Returns:
        `seeds`, `splits`, `videos` (number in each dataset); `systems`, with `scores`: task -> column -> metric -> mean
        over the datasets, `by_seed` and, if there are draws, the 95 % `interval` over videos; `published` in points of
        100; `differences` of the pairs, likewise. Fractions, but for the contrast.

    Raises:
        PipelineError: an input is absent or malformed, or there is nothing to score.
    """
    names = config.datasets(results.name)
    progress = Progress("datasets", len(names))
    datasets, videos = [], []
    for number, name in enumerate(names):
        scored, num_videos = _score_dataset(results.with_name(name), config, number)
        datasets.append(scored)
        videos.append(num_videos)
        progress.step()
    captions = {name: read_json(comparison_file(results, name), "comparison") for name in config.comparisons}
    return {
        "seeds": config.seeds,
        "splits": config.test_splits,
        "videos": videos,
        "systems": [
            {
                "name": system.name,
                "label": system.title,
                "scores": {
                    **_combine([dataset[system.name] for dataset in datasets], _summarise),
                    **_caption_scores(system, captions),
                },
                "published": system.published,
            }
            for system in config.systems
        ],
        "differences": [
            {
                "system": pair.system,
                "compared_to": pair.compared_to,
                "scores": _combine(
                    [_subtract(dataset[pair.system], dataset[pair.compared_to]) for dataset in datasets], _summarise
                ),
            }
            for pair in config.pairs
        ],
    }


def _score_dataset(folder: Path, config: CompareLocalization, number: int) -> tuple[dict[str, SystemDraws], int]:
    """Return the values of each system, and the number of videos."""
    corpus = Corpus.open(corpus_manifest(folder))
    entries = dict.fromkeys(entry for system in config.systems for entry in system.detection_entries)
    segments = {
        entry: restrict_to_splits(
            read_scored_segments(_detection_file(folder, entry), labelled=True), corpus, config.test_splits
        )
        for entry in entries
    }
    # The same videos for all systems.
    detected = {video for of_entry in segments.values() for video in of_entry.videos}
    truth = corpus_ground_truth(corpus, config.test_splits, detected)
    weights = draw_weights(len(truth.videos), config.bootstrap, number)

    def score_detections(entry: str) -> dict[str, Draws]:
        return bootstrap_detections(match_to_truth(truth, segments[entry], as_thresholds(config.tious)), weights)

    def score_recall(entry: str) -> dict[str, Draws]:
        return _score_recall(truth, segments[entry], config.max_avg_nr_proposals, weights)

    def score_feature(feature: str) -> dict[str, Draws]:
        features = CombinedFeatures.open(folder / "features", [feature], corpus.num_shards)
        contrast = contrast_of_feature(features, action_spans(corpus, config.test_splits))
        differences = {video.removeprefix("v_"): value.difference for video, value in contrast.by_video.items()}
        if not differences:
            raise PipelineError(f"{folder / 'features' / feature}: no test video has actions and background")
        return {CONTRAST: bootstrap_videos(differences, truth.videos, weights)}

    scored = {
        system.name: {
            "detections": {column: score_detections(entry) for column, entry in system.detections.items()},
            "proposals": {column: score_recall(entry) for column, entry in system.proposals.items()},
            "features": {FEATURE_COLUMN: score_feature(system.feature)} if system.feature is not None else {},
        }
        for system in config.systems
    }
    return scored, len(truth.videos)


def _score_recall(truth: GroundTruth, segments: ScoredSegments, max_average: float, weights: Any) -> dict[str, Draws]:
    ranked = rank_proposals(truth, unite_classes(segments), max_average)
    curve = compute_recall_curve(truth, ranked.video, ranked.times, ranked.average)
    return bootstrap_proposals(truth, curve, weights)


def _combine(
    systems: Sequence[SystemDraws], combine: Callable[[list[Draws]], dict[str, Any]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Combine the values of a system on several datasets; tasks and columns that any dataset lacks are left out."""
    return {
        task: {
            column: {
                metric: combine([system[task][column][metric] for system in systems])
                for metric in _common(system[task][column] for system in systems)
            }
            for column in _common(system[task] for system in systems)
        }
        for task in systems[0]
    }


def _common(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the keys that all mappings have, in the order of the first."""
    first, *others = mappings
    return [key for key in first if all(key in other for other in others)]


def _subtract(system: SystemDraws, other: SystemDraws) -> SystemDraws:
    """Subtract the values of another system where both have them; both have the same draws of videos."""
    return {
        task: {
            column: {
                metric: system[task][column][metric] - other[task][column][metric]
                for metric in _common([system[task][column], other[task][column]])
            }
            for column in _common([system[task], other[task]])
        }
        for task in system
    }


def _summarise(datasets: list[Draws]) -> dict[str, Any]:
    """Return the mean over datasets, the value on each and, if there are draws, the interval."""
    summary: dict[str, Any] = {
        "mean": float(np.mean([draws[0] for draws in datasets])),
        "by_seed": [float(draws[0]) for draws in datasets],
    }
    resampled = np.mean([draws[1:] for draws in datasets], axis=0)
    resampled = resampled[~np.isnan(resampled)]
    if len(resampled):
        summary["interval"] = percentile_interval(resampled)
    return summary


def _caption_scores(system: LocalizationSystem, comparisons: Mapping[str, Any]) -> dict[str, Any]:
    """Return METEOR of the captions of a system, as comparisons of captioning systems report it."""
    scores: dict[str, Any] = {}
    for column, source in system.captions.items():
        rows = [row for row in comparisons[source.comparison]["systems"] if row["name"] == source.system]
        if not rows or CAPTION_METRIC not in rows[0]["scores"].get(source.proposals, {}):
            raise PipelineError(
                f"comparison {source.comparison}: has no {CAPTION_METRIC} of system {source.system!r} with "
                f"{source.proposals} proposals, which compare_localization names for {system.name!r}"
            )
        scores[column] = {CAPTION_METRIC: rows[0]["scores"][source.proposals][CAPTION_METRIC]}
    return {"captions": scores}


def _detection_file(folder: Path, entry: str) -> Path:
    return folder / "detections" / f"{entry}.json"
