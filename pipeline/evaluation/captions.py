"""The official evaluation of dense captions (ActivityNet Captions; Krishna et al., ICCV 2017, section 5).

At each tIoU threshold, every caption is paired with every reference, of every annotator, that it overlaps enough. A
caption without a reference is paired with garbage. The pairs of a video are scored as one corpus, and the scores of all
reference videos are averaged: a video without captions scores 0. Two variants of the official evaluator are in use,
which differ in the garbage; papers call their METEOR "2018" and "2021".

Metrics are plugged in: see `pipeline.evaluation.metric`.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.config.evaluate import Evaluate
from pipeline.config.metrics import METRICS
from pipeline.evaluation.confidence_intervals import LEVEL, draw_bootstrap_weights, percentile_interval
from pipeline.evaluation.diversity import diversity
from pipeline.evaluation.matching import (
    EventMatcher,
    EventsByVideo,
    VideoEvents,
    collect_references,
    find_unknown_videos,
    truncate_captions,
)
from pipeline.evaluation.metric import Metric, PairMetric, VideoDocument, VideoMetric
from pipeline.evaluation.tokenizer import tokenize_documents

GARBAGE = {"2018": "abc123!@#", "2021": "qzvxjkwqpfgbz"}
"""The reference of an unmatched caption. 2018: METEOR takes it for four words. 2021: officially one random word of 10
to 20 letters; a fixed word that no caption has scores the same."""

ThresholdScores = dict[str, Float[np.ndarray, "tious videos"]]
AnnotatorScores = dict[str, dict[str, Float[np.ndarray, "annotators videos"]]]


@dataclass(frozen=True)
class CaptionEvaluation:
    """The scores of one set of captions, video by video.

    Attributes:
        videos: all reference videos, sorted.
        tious: thresholds.
        threshold_scores: by name; the values of pair metrics, and the localization's Precision and Recall.
        annotator_scores: by video metric, then by name of the value; NaN for a video that has no captions or that the
            annotator does not have.
        captions: the captions of each video that count, tokenized.
        num_ignored: number of captions beyond the first `max_proposals` of their video.
        unknown: captioned videos that no reference has.
        num_draws: draws of the confidence intervals.
        notes: what a reader of the scores must know.
    """

    videos: tuple[str, ...]
    tious: tuple[float, ...]
    threshold_scores: ThresholdScores
    annotator_scores: AnnotatorScores
    captions: tuple[tuple[str, ...], ...]
    num_ignored: int
    unknown: tuple[str, ...]
    num_draws: int
    notes: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Reference videos without captions."""
        return [video for video, captions in zip(self.videos, self.captions, strict=True) if not captions]

    def per_video(self) -> dict[str, Float[np.ndarray, " videos"]]:
        """Return the scores of each video: the mean over thresholds, or the headline's mean over annotators.

        A video metric has NaN for videos without captions; all other scores are 0 there.
        """
        means = {name: values.mean(axis=0) for name, values in self.threshold_scores.items()}
        for metric, values in self.annotator_scores.items():
            headline = values[METRICS[metric].headline]
            means[metric] = np.full(len(self.videos), np.nan)
            for index, scores in enumerate(headline.T):
                present = scores[~np.isnan(scores)]
                if present.size:
                    means[metric][index] = np.mean(present)
        return means

    def per_video_table(self) -> dict[str, list[Any]]:
        """Return the columns video and n_captions, and one column for each metric; None for NaN."""
        return {
            "video": list(self.videos),
            "n_captions": [len(captions) for captions in self.captions],
            **{
                name: [None if np.isnan(value) else float(value) for value in values]
                for name, values in self.per_video().items()
            },
        }

    def summary(self, training: Collection[str] | None = None) -> dict[str, Any]:
        """Summarize the scores as the official evaluator does, with SODA_c, diversity and intervals.

        Args:
            training: tokenized captions that the captioner was trained with, for the share of novel captions.

        Returns:
            Each pair metric, Precision and Recall at each threshold, and their mean over thresholds. F1: harmonic mean
            of mean Precision and mean Recall. All are fractions (CIDEr: 0 to 10). n_videos (of the references),
            n_predicted_videos, n_missing_videos (reference videos without captions), n_captions, n_ignored_captions
            (beyond the first `max_proposals` of their video), n_unknown_videos (captioned, in no reference). The values
            of each video metric, diversity, intervals of the means over thresholds, and notes, if there are any.
        """
        weights = np.ones((1, len(self.videos)), np.int64)
        means = {name: values[0] for name, values in self._threshold_means(weights).items()}
        num_missing = len(self.missing)
        result: dict[str, Any] = {
            **{name: _by_threshold(values, self.tious) for name, values in means.items()},
            "F1": float(harmonic_mean(means["Precision"].mean(), means["Recall"].mean())),
            "n_videos": len(self.videos),
            "n_predicted_videos": len(self.videos) - num_missing,
            "n_missing_videos": num_missing,
            "n_captions": sum(len(captions) for captions in self.captions),
            "n_ignored_captions": self.num_ignored,
            "n_unknown_videos": len(self.unknown),
        }
        for metric, values in self.annotator_scores.items():
            result[metric] = {name: float(mean[0]) for name, mean in _annotator_means(values, weights).items()}
        result["diversity"] = diversity(dict(zip(self.videos, self.captions, strict=True)), training)
        if self.num_draws:
            result["intervals"] = self._intervals()
        if self.notes:
            result["notes"] = list(self.notes)
        return result

    def _intervals(self) -> dict[str, Any]:
        """Compute the interval of each metric's mean over thresholds and videos."""
        draws = [self._means(weights) for weights in draw_bootstrap_weights(len(self.videos), self.num_draws)]
        return {
            "method": f"percentile bootstrap over videos, {LEVEL} %, {self.num_draws} draws",
            **{name: percentile_interval(np.concatenate([means[name] for means in draws])) for name in draws[0]},
        }

    def _threshold_means(self, weights: Int[np.ndarray, "draws videos"]) -> dict[str, Float[np.ndarray, "draws tious"]]:
        """Compute the weighted mean over the videos of each score, at each threshold."""
        total = weights.sum(axis=1, keepdims=True)
        return {name: weights @ values.T / total for name, values in self.threshold_scores.items()}

    def _means(self, weights: Int[np.ndarray, "draws videos"]) -> dict[str, Float[np.ndarray, " draws"]]:
        """Compute the weighted mean over thresholds and videos of each score; the headline of video metrics."""
        means = {name: values.mean(axis=1) for name, values in self._threshold_means(weights).items()}
        means["F1"] = harmonic_mean(means["Precision"], means["Recall"])
        for metric, values in self.annotator_scores.items():
            means[metric] = _annotator_means(values, weights)[METRICS[metric].headline]
        return means


def score_captions(
    predictions: EventsByVideo, references: Sequence[EventsByVideo], settings: Evaluate, metrics: Mapping[str, Metric]
) -> CaptionEvaluation:
    """Score every video.

    Args:
        predictions: captions of each video. An empty list is a video without captions.
        references: references of each video, by annotator.
        settings: variant, thresholds, how many captions of a video count.
        metrics: metrics by name.

    Raises:
        PipelineError: there are no reference videos, or one has no events.
    """
    videos = collect_references(references)
    captions, num_ignored = truncate_captions(predictions, videos, settings.max_proposals)
    matcher = EventMatcher(captions, list(videos.values()), min(settings.tious))
    localization = [matcher.precision_recall(threshold) for threshold in settings.tious]
    pair_metrics = [metric for metric in metrics.values() if isinstance(metric, PairMetric)]
    tokens, threshold_scores, notes = _score_pairs(matcher, captions, settings, pair_metrics)
    return CaptionEvaluation(
        videos=tuple(videos),
        tious=tuple(settings.tious),
        threshold_scores={
            **threshold_scores,
            "Precision": np.stack([precision for precision, _ in localization]),
            "Recall": np.stack([recall for _, recall in localization]),
        },
        annotator_scores=_score_videos(dict(zip(videos, captions, strict=True)), references, settings, metrics),
        captions=tokens,
        num_ignored=num_ignored,
        unknown=find_unknown_videos(predictions, videos),
        num_draws=settings.bootstrap,
        notes=notes,
    )


def harmonic_mean(
    a: Float[np.ndarray, "*any"] | float, b: Float[np.ndarray, "*any"] | float
) -> Float[np.ndarray, "*any"]:
    """Compute 2ab / (a + b); 0 where both are 0."""
    total = np.asarray(a + b)
    return np.divide(2 * a * b, total, out=np.zeros(total.shape), where=total > 0)


def _score_pairs(
    matcher: EventMatcher, captions: Sequence[VideoEvents], settings: Evaluate, metrics: Sequence[PairMetric]
) -> tuple[tuple[tuple[str, ...], ...], ThresholdScores, tuple[str, ...]]:
    """Tokenize the captions, and score the pairs of each video at each threshold; 0 for videos without captions.

    Returns:
        Tokenized captions of each video; scores; the metrics' notes.
    """
    documents = [
        tuple(document)
        for threshold in (settings.tious if metrics else ())
        for document in matcher.pair_documents(threshold, GARBAGE[settings.variant])
    ]
    # Most videos have the same pairs at several thresholds: tokenize and score each distinct document once.
    index_of = {document: index for index, document in enumerate(filter(None, dict.fromkeys(documents)))}
    indices = np.array([index_of[document] for document in documents if document], np.int64)
    has_pairs = np.array([bool(document) for document in documents])
    sides = [[pair[side] for pair in document] for document in index_of for side in (0, 1)]
    tokens = tokenize_documents([*(events.sentences for events in captions), *sides], settings.timeout_s)
    caption_tokens, sides = tokens[: len(captions)], tokens[len(captions) :]
    tokenized = [list(zip(*pair, strict=True)) for pair in zip(sides[::2], sides[1::2], strict=True)]
    scores: ThresholdScores = {}
    with ThreadPoolExecutor(settings.workers) as pool:
        for values_by_name in pool.map(lambda metric: metric.score(tokenized), metrics):
            for name, values in values_by_name.items():
                flat = np.zeros(len(documents))
                flat[has_pairs] = values[indices]
                scores[name] = flat.reshape(len(settings.tious), -1)
    garbage = GARBAGE[settings.variant]
    matched = [document for document in documents if any(reference != garbage for _, reference in document)]
    notes = tuple(note for metric in metrics if (note := metric.note(matched)))
    for note in notes:
        logging.warning("%s", note)
    return tuple(map(tuple, caption_tokens)), scores, notes


def _score_videos(
    captions: Mapping[str, VideoEvents],
    references: Sequence[EventsByVideo],
    settings: Evaluate,
    metrics: Mapping[str, Metric],
) -> AnnotatorScores:
    """Score each captioned video against each annotator that has it, by every video metric."""
    video_metrics = {name: metric for name, metric in metrics.items() if isinstance(metric, VideoMetric)}
    if not video_metrics:
        return {}
    cells = [
        (annotator, column, video)
        for annotator, reference in enumerate(references)
        for column, (video, events) in enumerate(captions.items())
        if video in reference and events.sentences
    ]
    sides = [
        events.sort_by_start()
        for annotator, _, video in cells
        for events in (captions[video], references[annotator][video])
    ]
    tokens = tokenize_documents([events.sentences for events in sides], settings.timeout_s)
    tokenized = [VideoEvents(events.times, tuple(words)) for events, words in zip(sides, tokens, strict=True)]
    documents = [VideoDocument(*pair) for pair in zip(tokenized[::2], tokenized[1::2], strict=True)]
    rows, columns = (np.array([cell[axis] for cell in cells], np.int64) for axis in (0, 1))
    scores: AnnotatorScores = {}
    for metric_name, metric in video_metrics.items():
        scores[metric_name] = {}
        for name, values in metric.score(documents).items():
            scores[metric_name][name] = np.full((len(references), len(captions)), np.nan)
            scores[metric_name][name][rows, columns] = values
    return scores


def _annotator_means(
    scores: Mapping[str, Float[np.ndarray, "annotators videos"]], weights: Int[np.ndarray, "draws videos"]
) -> dict[str, Float[np.ndarray, " draws"]]:
    """Compute the weighted mean over the videos of each annotator, then over the annotators that have any video."""
    stacked = np.stack(list(scores.values()), axis=-1)
    present = (~np.isnan(stacked[..., :1])).astype(np.float64)
    total = np.einsum("dv,avk->adk", weights, np.nan_to_num(stacked))
    count = np.einsum("dv,avk->adk", weights, present)
    means = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    mean = means.sum(axis=0) / np.maximum(1, (count > 0).sum(axis=0))
    return dict(zip(scores, mean.T, strict=True))


def _by_threshold(values: Float[np.ndarray, " tious"], tious: Sequence[float]) -> dict[str, float]:
    named = {str(threshold): float(value) for threshold, value in zip(tious, values, strict=True)}
    return {**named, "mean": float(values.mean())}
