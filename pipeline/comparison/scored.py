"""Captions of a corpus' videos, scored video by video."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.config.evaluate import Evaluate
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.evaluator import Evaluation, evaluate, predicted_events, reference_events

PerVideo = Float[np.ndarray, "_"]


@dataclass(frozen=True)
class Scored:
    """Scores of several files of captions.

    Attributes:
        videos: that are scored, sorted.
        references: files, one for each annotator.
        values: metric -> file's name -> the score of each video, its mean over tIoU thresholds; SODA_c's is the mean
            over annotators, and 0 for a video without captions, as the others' is.
    """

    videos: tuple[str, ...]
    references: list[Path]
    values: dict[str, dict[str, PerVideo]]


def corpus_of(folder: Path) -> Path:
    """The corpus' manifest among the results of a dataset."""
    return folder / "corpus" / "manifest.json"


def score(folder: Path, captions: Mapping[str, Path], split: str, settings: Evaluate) -> Scored:
    """Score files of captions on the same videos.

    Args:
        folder: results of the dataset.
        captions: files by name.
        split: whose videos are scored.
        settings: of the evaluator.

    Raises:
        PipelineError: something is not there, or there is nothing to score.
    """
    corpus = Corpus.open(corpus_of(folder))
    files = corpus.references(split)
    present = {row["video"] for row in corpus.of_splits(split)}
    known = [{video: events for video, events in reference_events(path).items() if video in present} for path in files]
    if not any(known):
        raise PipelineError(f"{folder}: no video of split {split} has a file and reference captions")
    said = {name: predicted_events(path) for name, path in captions.items()}
    evaluations = evaluate(said, known, settings)
    found = {name: _per_video(each) for name, each in evaluations.items()}
    values = {metric: {name: found[name][metric] for name in found} for metric in next(iter(found.values()))}
    return Scored(next(iter(evaluations.values())).scores.videos, files, values)


def _per_video(evaluation: Evaluation) -> dict[str, PerVideo]:
    found = {
        metric: values.mean(axis=0)
        for metric, values in evaluation.scores.values.items()
        if metric not in ("Precision", "Recall")
    }
    if evaluation.soda is not None:
        f1 = evaluation.soda[..., 0]
        annotators = (~np.isnan(f1)).sum(axis=0)
        found["SODA_c"] = np.nansum(f1, axis=0) / np.maximum(1, annotators)
    return found
