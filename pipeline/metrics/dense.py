"""The official evaluation of dense captions (ActivityNet Captions; Krishna et al., ICCV 2017, section 5).

At each tIoU threshold every caption meets every reference caption, of every annotator, that it overlaps
enough; one that meets none is paired with garbage. The pairs of a video are scored as one corpus, and the
scores of all reference videos are averaged: a video without captions scores 0. Two variants of the evaluator
are in use, which differ in the garbage alone; papers call their METEOR "2018" and "2021".

Any metric that scores sets of (caption, reference) pairs fits in beside METEOR: see `CaptionMetric`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.config.errors import PipelineError
from pipeline.config.evaluate import Evaluate
from pipeline.metrics.meteor import Pair
from pipeline.metrics.tokenizer import tokenize_documents

GARBAGE = {"2018": "abc123!@#", "2021": "qzvxjkwqpfgbz"}
"""What a caption without a reference is compared with: in 2018 what METEOR takes for four words; in 2021 one random
word of 10 to 20 letters, for which any word stands that nobody says, since all that matters is its being one."""

CaptionMetric = Callable[[Sequence[Sequence[Pair]]], Float[np.ndarray, " documents"]]
"""Scores sets of tokenized (caption, reference) pairs, each as a corpus of its own; no set is empty."""


@dataclass(frozen=True)
class Events:
    """Captioned events of a video.

    Attributes:
        times: start and end of each, seconds. An event that ends before it starts overlaps nothing.
        sentences: what is said of each.
    """

    times: Float[np.ndarray, "events 2"]
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, events: Iterable[tuple[float, float, str]]) -> "Events":
        """From (start, end, sentence)."""
        rows = list(events)
        times = np.array([row[:2] for row in rows], np.float64).reshape(-1, 2)
        return cls(times, tuple(row[2] for row in rows))

    def first(self, count: int) -> "Events":
        """The first events of the list, at most `count`."""
        return Events(self.times[:count], self.sentences[:count])


NOTHING = Events.of([])

ByVideo = Mapping[str, Events]
"""The events of each video, by one annotator or one captioner."""


def tiou(one: Float[np.ndarray, "n 2"], other: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "n m"]:
    """Temporal intersection over union of every pair of segments, as the official evaluator computes it."""
    first, second = one[:, None, :], other[None, :, :]
    intersection = np.minimum(first[..., 1], second[..., 1]) - np.maximum(first[..., 0], second[..., 0])
    hull = np.maximum(first[..., 1], second[..., 1]) - np.minimum(first[..., 0], second[..., 0])
    lengths = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    return np.maximum(0, intersection) / (np.minimum(hull, lengths) + 1e-8)


def match(captions: Events, references: Sequence[Events], threshold: float, garbage: str) -> list[tuple[str, str]]:
    """Every (caption, reference caption) with tIoU >= threshold; (caption, garbage) where there is none.

    Args:
        captions: of one video.
        references: of the same video, by each annotator who saw it.
        threshold: tIoU.
        garbage: a sentence like no other.
    """
    hits = [tiou(captions.times, reference.times) >= threshold for reference in references]
    pairs: list[tuple[str, str]] = []
    for index, sentence in enumerate(captions.sentences):
        met = [
            (sentence, reference.sentences[other])
            for reference, hit in zip(references, hits, strict=True)
            for other in np.flatnonzero(hit[index])
        ]
        pairs += met or [(sentence, garbage)]
    return pairs


def precision_recall(captions: Events, references: Sequence[Events], threshold: float) -> tuple[float, float]:
    """Share of captions that overlap a reference event, and of reference events that are overlapped.

    Overlap means tIoU > threshold (strictly, unlike in `match`). Each is the best over the annotators, taken
    apart. No captions give 0 and 0.
    """
    if not captions.sentences:
        return 0.0, 0.0
    hits = [tiou(captions.times, reference.times) > threshold for reference in references]
    precision = max(float(hit.any(axis=1).mean()) for hit in hits)
    recall = max(float(hit.any(axis=0).mean()) for hit in hits)
    return precision, recall


def score(
    predictions: ByVideo,
    references: Sequence[ByVideo],
    settings: Evaluate,
    metrics: Mapping[str, CaptionMetric],
) -> dict[str, Any]:
    """Score captions.

    Args:
        predictions: captions of each video. A video with an empty list scores 0, like one that is not there.
        references: by each annotator.
        settings: variant, thresholds, how many captions of a video count.
        metrics: name -> caption metric.

    Returns:
        METEOR (each of the metrics), Precision and Recall at each threshold and their mean over thresholds; F1,
        the harmonic mean of mean Precision and mean Recall: fractions, all of them. n_videos (in the references),
        n_predicted_videos, n_captions (both among those), n_unknown_videos (predicted, in no reference).

    Raises:
        PipelineError: no reference videos, or one without events.
    """
    videos = _videos(references)
    unknown = _unknown(predictions, videos)
    captions = {video: predictions.get(video, NOTHING).first(settings.max_proposals) for video in videos}
    predicted = {video: events for video, events in captions.items() if events.sentences}
    found = {
        name: _by_threshold(values, settings.tious)
        for name, values in {
            **_caption_scores(predicted, videos, settings, metrics),
            **_localization(captions, videos, settings.tious),
        }.items()
    }
    return {
        **found,
        "F1": _harmonic_mean(found["Precision"]["mean"], found["Recall"]["mean"]),
        "n_videos": len(videos),
        "n_predicted_videos": len(predicted),
        "n_captions": sum(len(events.sentences) for events in predicted.values()),
        "n_unknown_videos": len(unknown),
    }


def _videos(references: Sequence[ByVideo]) -> dict[str, list[Events]]:
    """All reference videos, sorted, each with what every annotator who saw it says."""
    names = sorted(set().union(*references))
    if not names:
        raise PipelineError("there are no reference videos to score captions against")
    videos = {name: [reference[name] for reference in references if name in reference] for name in names}
    for name, events in videos.items():
        if not all(annotator.sentences for annotator in events):
            raise PipelineError(f"references: video {name} has no events; leave it out of that file")
    return videos


def _unknown(predictions: ByVideo, videos: Mapping[str, Any]) -> list[str]:
    unknown = sorted(predictions.keys() - videos.keys())
    if unknown:
        shown = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        logging.warning("captions of %d videos that no reference has are not scored: %s", len(unknown), shown)
    return unknown


def _caption_scores(
    predicted: Mapping[str, Events],
    videos: Mapping[str, list[Events]],
    settings: Evaluate,
    metrics: Mapping[str, CaptionMetric],
) -> dict[str, Float[np.ndarray, " tious"]]:
    """Mean over all videos of each metric, at each threshold."""
    garbage = GARBAGE[settings.variant]
    raw = [
        match(captions, videos[video], threshold, garbage)
        for threshold in settings.tious
        for video, captions in predicted.items()
    ]
    sides = [[pair[side] for pair in document] for document in raw for side in (0, 1)]
    tokens = tokenize_documents(sides, settings.timeout_s)
    documents = [list(zip(*both, strict=True)) for both in zip(tokens[::2], tokens[1::2], strict=True)]
    shape = (len(settings.tious), len(predicted))
    return {name: metric(documents).reshape(shape).sum(axis=1) / len(videos) for name, metric in metrics.items()}


def _localization(
    captions: Mapping[str, Events], videos: Mapping[str, list[Events]], tious: Sequence[float]
) -> dict[str, Float[np.ndarray, " tious"]]:
    both = np.array(
        [[precision_recall(captions[video], videos[video], threshold) for video in videos] for threshold in tious]
    )
    return {"Precision": both[..., 0].mean(axis=1), "Recall": both[..., 1].mean(axis=1)}


def _by_threshold(values: Float[np.ndarray, " tious"], tious: Sequence[float]) -> dict[str, float]:
    named = {str(threshold): float(value) for threshold, value in zip(tious, values, strict=True)}
    return {**named, "mean": float(values.mean())}


def _harmonic_mean(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0
