"""The inputs of a comparison: caption files and probes of each dataset, and the score of each video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.config.compare_systems import ComparisonEntry
from pipeline.config.evaluate import Evaluate
from pipeline.config.metrics import METRICS
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.captions import CaptionEvaluation
from pipeline.evaluation.evaluator import evaluate_caption_sets, read_predicted_events, read_reference_events
from pipeline.io.atomic import read_json
from pipeline.io.progress import Progress

VideoScores = Float[np.ndarray, " videos"]


@dataclass(frozen=True)
class CaptionScores:
    """Scores of several caption files on the same videos.

    Attributes:
        videos: ids of the scored videos, sorted.
        references: reference files, one per annotator.
        values: metric -> name of the caption file -> score of each video, the mean over tIoU thresholds or, for metrics
            of whole videos (SODA_c), over annotators. A video without captions has 0 in every metric, so that all
            systems are compared on the same videos.
    """

    videos: tuple[str, ...]
    references: list[Path]
    values: dict[str, dict[str, VideoScores]]


@dataclass(frozen=True)
class ComparedDataset:
    """One dataset of a comparison.

    Attributes:
        folder: `results/<dataset>`.
        captions: system -> proposals -> caption file.
        probes: system -> content of its probe file; only systems with a feature.
        inputs: the outputs of earlier stages that were read, each once.
        scores: of all caption files; `video_scores` reads them.
    """

    folder: Path
    captions: dict[str, dict[str, Path]]
    probes: dict[str, dict[str, Any]]
    inputs: list[Path]
    scores: CaptionScores

    @property
    def metrics(self) -> list[str]:
        """Names of the reported metrics."""
        return list(self.scores.values)

    def video_scores(self, system: str, proposals: str, metric: str) -> VideoScores:
        """Return the score of each video for one system and one kind of proposals."""
        return self.scores.values[metric][_set_name(system, proposals)]


ComparedDatasets = Sequence[ComparedDataset]


def score_datasets(results: Path, config: ComparisonEntry) -> list[ComparedDataset]:
    """Read and score the caption files of all datasets of a comparison.

    Args:
        results: `results/<dataset>`; the results of other seeds are folders beside it.
        config: the comparison.

    Raises:
        PipelineError: an input is missing, or there are no videos to score.
    """
    names = config.datasets(results.name)
    progress = Progress("datasets", len(names))
    datasets = []
    for name in names:
        datasets.append(_score_dataset(results.with_name(name), config))
        progress.step()
    return datasets


def list_inputs(results: Path, config: ComparisonEntry) -> list[Path]:
    """Return the outputs of earlier stages that a comparison reads, without reading them.

    Args:
        results: `results/<dataset>`; the results of other seeds are folders beside it.
        config: the comparison.
    """
    folders = [results.with_name(dataset) for dataset in config.datasets(results.name)]
    return [path for folder in folders for path in _inputs(folder, config)]


def score_caption_files(folder: Path, captions: Mapping[str, Path], split: str, settings: Evaluate) -> CaptionScores:
    """Score caption files on the same videos.

    Args:
        folder: results of the dataset.
        captions: caption files by name.
        split: split whose videos are scored.
        settings: settings of the evaluator.

    Raises:
        PipelineError: a file is missing, or there are no videos to score.
    """
    corpus = Corpus.open(corpus_manifest(folder))
    files = corpus.references(split)
    present = {video.video for video in corpus.videos_of_splits(split)}
    references = [
        {video: events for video, events in read_reference_events(path).items() if video in present} for path in files
    ]
    if not any(references):
        raise PipelineError(f"{folder}: no video of split {split} has both a file and reference captions")
    predictions = {name: read_predicted_events(path) for name, path in captions.items()}
    evaluations = evaluate_caption_sets(predictions, references, settings)
    by_name = {name: _reported_scores(evaluation) for name, evaluation in evaluations.items()}
    metrics = next(iter(by_name.values()))
    values = {metric: {name: scores[metric] for name, scores in by_name.items()} for metric in metrics}
    return CaptionScores(next(iter(evaluations.values())).videos, files, values)


def corpus_manifest(folder: Path) -> Path:
    """Return the path of the corpus manifest in the results of a dataset."""
    return folder / "corpus" / "manifest.json"


def _caption_files(folder: Path, config: ComparisonEntry) -> dict[str, dict[str, Path]]:
    return {
        system: {proposals: folder / "captions" / name for proposals, name in files.items()}
        for system, files in config.caption_files().items()
    }


def _probe_files(folder: Path, config: ComparisonEntry) -> dict[str, Path]:
    return {
        system.name: folder / "probes" / f"{system.feature}.json"
        for system in config.systems
        if system.feature is not None
    }


def _inputs(folder: Path, config: ComparisonEntry) -> list[Path]:
    captions = (path for files in _caption_files(folder, config).values() for path in files.values())
    probes = _probe_files(folder, config).values()
    return [corpus_manifest(folder), *dict.fromkeys(probes), *dict.fromkeys(captions)]


def _score_dataset(folder: Path, config: ComparisonEntry) -> ComparedDataset:
    captions = _caption_files(folder, config)
    sets = {
        _set_name(system, proposals): path for system, files in captions.items() for proposals, path in files.items()
    }
    return ComparedDataset(
        folder,
        captions,
        {system: read_json(path, "probes") for system, path in _probe_files(folder, config).items()},
        _inputs(folder, config),
        score_caption_files(folder, sets, config.split, config.scores),
    )


def _set_name(system: str, proposals: str) -> str:
    return f"{system} {proposals}"


def _reported_scores(evaluation: CaptionEvaluation) -> dict[str, VideoScores]:
    """Return the score of each video by metric: means over thresholds, for video metrics over annotators."""
    reported = {spec.headline if spec.kind == "pair" else name for name, spec in METRICS.items()}
    scores = evaluation.per_video()
    return {name: np.nan_to_num(values, nan=0.0) for name, values in scores.items() if name in reported}
