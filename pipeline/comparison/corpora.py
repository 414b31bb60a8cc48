"""What a comparison reads of each corpus: probes, and the scores of captions, video by video."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.comparison.scored import PerVideo, corpus_of, score
from pipeline.config.compare_encoders import SHUFFLED, CompareEncoders
from pipeline.io.atomic import read_json


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
    scores: dict[str, dict[str, PerVideo]]

    @property
    def inputs(self) -> list[Path]:
        """The declared outputs of earlier stages that were read."""
        probes = [probe_file(self.folder, arm) for arm in self.probes]
        return [corpus_of(self.folder), *probes, *self.captions.values()]


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
    captions = {arm.feature: _captions(folder, arm.captioner, "gt", config) for arm in config.arms}
    floor = next(arm.captioner for arm in config.arms if arm.feature == config.floor)
    captions[SHUFFLED] = _captions(folder, floor, "control", config)
    scored = score(folder, captions, config.split, config.scores)
    probes = {arm.feature: read_json(probe_file(folder, arm.feature), "probes") for arm in config.arms}
    return Seed(folder, scored.videos, scored.references, probes, captions, scored.values)


def _captions(folder: Path, captioner: str, proposals: str, config: CompareEncoders) -> Path:
    return folder / "captions" / f"{captioner}-{config.captioner_seed}-{config.split}-{proposals}.json"
