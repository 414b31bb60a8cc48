"""The official evaluation of dense captions (ActivityNet Captions; Krishna et al., ICCV 2017, section 5).

At each tIoU threshold every caption meets every reference caption, of every annotator, that it overlaps
enough; one that meets none is paired with garbage. The pairs of a video are scored as one corpus, and the
scores of all reference videos are averaged: a video without captions scores 0. Two variants of the evaluator
are in use, which differ in the garbage alone; papers call their METEOR "2018" and "2021".

Any metric that scores sets of (caption, reference) pairs fits in: see `CaptionMetric`.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.config.evaluate import Evaluate
from pipeline.evaluation.coverage import counted, reference_videos, unknown_videos
from pipeline.evaluation.events import ByVideo, Events
from pipeline.evaluation.matching import Document, Meetings
from pipeline.evaluation.tokenizer import tokenize_documents

GARBAGE = {"2018": "abc123!@#", "2021": "qzvxjkwqpfgbz"}
"""What a caption without a reference is compared with: in 2018 what METEOR takes for four words; in 2021 one random
word of 10 to 20 letters, for which any word stands that nobody says, since all that matters is its being one."""

CaptionMetric = Callable[[Sequence[Document]], Mapping[str, Float[np.ndarray, " documents"]]]
"""Scores sets of tokenized (caption, reference) pairs, each as a corpus of its own; no set is empty. One metric may
give several values, by name."""


@dataclass(frozen=True)
class Scores:
    """What each video scores.

    Attributes:
        videos: all that the references have, sorted.
        tious: thresholds.
        values: by metric, at each threshold; Precision and Recall among them.
        captions: of each video, tokenized, those that count.
        beyond: captions that do not count, since too many of their video stand before them.
        unknown: videos that were captioned and are in no reference.
    """

    videos: tuple[str, ...]
    tious: tuple[float, ...]
    values: dict[str, Float[np.ndarray, "tious videos"]]
    captions: tuple[tuple[str, ...], ...]
    beyond: int
    unknown: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Videos of the references that have no captions."""
        return [video for video, captions in zip(self.videos, self.captions, strict=True) if not captions]

    def means(self, weights: Int[np.ndarray, "draws videos"]) -> dict[str, Float[np.ndarray, "draws tious"]]:
        """Mean over the videos of each metric, each video taken as often as its weight says."""
        total = weights.sum(axis=1, keepdims=True)
        return {name: weights @ values.T / total for name, values in self.values.items()}


def evaluate(
    predictions: ByVideo, references: Sequence[ByVideo], settings: Evaluate, metrics: Sequence[CaptionMetric]
) -> Scores:
    """Score every video.

    Args:
        predictions: captions of each video. A video with an empty list scores 0, like one that is not there.
        references: by each annotator.
        settings: variant, thresholds, how many captions of a video count.
        metrics: caption metrics.

    Raises:
        PipelineError: no reference videos, or one without events.
    """
    videos = reference_videos(references)
    captions, beyond = counted(predictions, videos, settings.max_proposals)
    meetings = Meetings(captions, list(videos.values()), min(settings.tious))
    located = [meetings.localization(threshold) for threshold in settings.tious]
    tokens, found = _caption_scores(meetings, captions, settings, metrics)
    return Scores(
        videos=tuple(videos),
        tious=tuple(settings.tious),
        values={
            **found,
            "Precision": np.stack([precision for precision, _ in located]),
            "Recall": np.stack([recall for _, recall in located]),
        },
        captions=tokens,
        beyond=beyond,
        unknown=unknown_videos(predictions, videos),
    )


def summary(scores: Scores) -> dict[str, Any]:
    """The scores as the official evaluator gives them.

    Returns:
        Each metric at each threshold and their mean over thresholds; F1, the harmonic mean of mean Precision and mean
        Recall: fractions, all of them (CIDEr runs from 0 to 10). n_videos (in the references), n_predicted_videos,
        n_missing_videos (of those, the ones without captions), n_captions, n_ignored_captions (behind the first
        `max_proposals` of their video), n_unknown_videos (captioned, in no reference).
    """
    means = {name: values[0] for name, values in scores.means(np.ones((1, len(scores.videos)), np.int64)).items()}
    missing = len(scores.missing)
    return {
        **{name: _by_threshold(values, scores.tious) for name, values in means.items()},
        "F1": float(harmonic_mean(means["Precision"].mean(), means["Recall"].mean())),
        "n_videos": len(scores.videos),
        "n_predicted_videos": len(scores.videos) - missing,
        "n_missing_videos": missing,
        "n_captions": sum(len(captions) for captions in scores.captions),
        "n_ignored_captions": scores.beyond,
        "n_unknown_videos": len(scores.unknown),
    }


def harmonic_mean(
    one: Float[np.ndarray, "*any"] | float, other: Float[np.ndarray, "*any"] | float
) -> Float[np.ndarray, "*any"]:
    """2ab / (a + b); 0 where both are 0."""
    total = np.asarray(one + other)
    return np.divide(2 * one * other, total, out=np.zeros(total.shape), where=total > 0)


def _caption_scores(
    meetings: Meetings, captions: Sequence[Events], settings: Evaluate, metrics: Sequence[CaptionMetric]
) -> tuple[tuple[tuple[str, ...], ...], dict[str, Float[np.ndarray, "tious videos"]]]:
    """The captions, tokenized, and the scores of each metric; 0 for videos without captions."""
    raw = [
        document
        for threshold in settings.tious
        for document in meetings.documents(threshold, GARBAGE[settings.variant])
    ]
    full = np.array([bool(document) for document in raw])
    sides = [[pair[side] for pair in document] for document in raw if document for side in (0, 1)]
    tokens = tokenize_documents([*(events.sentences for events in captions), *sides], settings.timeout_s)
    said, sides = tokens[: len(captions)], tokens[len(captions) :]
    documents = [tuple(zip(*both, strict=True)) for both in zip(sides[::2], sides[1::2], strict=True)]
    # A video has the same pairs at several thresholds more often than not.
    distinct = list(dict.fromkeys(documents))
    place = {document: index for index, document in enumerate(distinct)}
    rows = np.array([place[document] for document in documents], np.int64)
    found: dict[str, Float[np.ndarray, "tious videos"]] = {}
    with ThreadPoolExecutor(settings.workers) as pool:
        for values_by_name in pool.map(lambda metric: metric(distinct), metrics):
            for name, values in values_by_name.items():
                every = np.zeros(len(raw))
                every[full] = values[rows]
                found[name] = every.reshape(len(settings.tious), -1)
    return tuple(map(tuple, said)), found


def _by_threshold(values: Float[np.ndarray, " tious"], tious: Sequence[float]) -> dict[str, float]:
    named = {str(threshold): float(value) for threshold, value in zip(tious, values, strict=True)}
    return {**named, "mean": float(values.mean())}
