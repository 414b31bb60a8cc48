"""What a comparison reads of each corpus: probes, and the scores of captions, video by video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.config.compare_encoders import SHUFFLED, CompareEncoders
from pipeline.config.errors import PipelineError
from pipeline.datasets.corpus import Corpus
from pipeline.metrics.evaluator import evaluate, predicted_events, reference_events
from pipeline.store.atomic import read_json


@dataclass(frozen=True)
class Seed:
    """One corpus, and what was learned on it.

    Attributes:
        folder: results of the dataset.
        videos: that are scored, sorted.
        references: files, one for each annotator.
        probes: by arm.
        captions: caption file by arm, SHUFFLED among them.
        scores: metric -> arm -> the score of each video, its mean over tIoU thresholds.
    """

    folder: Path
    videos: tuple[str, ...]
    references: list[Path]
    probes: dict[str, dict[str, Any]]
    captions: dict[str, Path]
    scores: dict[str, dict[str, Float[np.ndarray, "_"]]]

    @property
    def inputs(self) -> list[Path]:
        """The declared outputs of earlier stages that were read."""
        probes = [probe_file(self.folder, arm) for arm in self.probes]
        return [self.folder / "corpus" / "manifest.json", *probes, *self.captions.values()]


Seeds = Sequence[Seed]


def read_seeds(dataset: Path, config: CompareEncoders) -> list[Seed]:
    """Read and score every corpus.

    Args:
        dataset: `results/<dataset>`; corpora are `results/<dataset>_s<seed>`.
        config: which.

    Raises:
        PipelineError: something is not there, or there is nothing to score.
    """
    return [_read(dataset.with_name(f"{dataset.name}_s{seed}"), config) for seed in config.seeds]


def probe_file(folder: Path, feature: str) -> Path:
    """Where the probes of a feature stand."""
    return folder / "probes" / f"{feature}.json"


def _read(folder: Path, config: CompareEncoders) -> Seed:
    corpus = Corpus.open(folder / "corpus" / "manifest.json")
    files = corpus.references(config.split)
    present = {row["video"] for row in corpus.of_splits(config.split)}
    known = [{video: events for video, events in reference_events(path).items() if video in present} for path in files]
    if not any(known):
        raise PipelineError(f"{folder}: no video of split {config.split} has a file and reference captions")
    captions = {arm.feature: _captions(folder, arm.captioner, "gt", config) for arm in config.arms}
    floor = next(arm.captioner for arm in config.arms if arm.feature == config.floor)
    captions[SHUFFLED] = _captions(folder, floor, "control", config)
    said = {arm: predicted_events(path) for arm, path in captions.items()}
    found = {arm: each.scores for arm, each in evaluate(said, known, config.scores).items()}
    first = found[config.floor]
    return Seed(
        folder,
        first.videos,
        files,
        {arm.feature: read_json(probe_file(folder, arm.feature), "probes") for arm in config.arms},
        captions,
        {
            metric: {arm: scores.values[metric].mean(axis=0) for arm, scores in found.items()}
            for metric in first.values
            if metric not in ("Precision", "Recall")
        },
    )


def _captions(folder: Path, captioner: str, proposals: str, config: CompareEncoders) -> Path:
    return folder / "captions" / f"{captioner}-{config.captioner_seed}-{config.split}-{proposals}.json"
