"""The evaluator as people use it: captions in, scores out, and what exactly has scored."""

import csv
import importlib.metadata
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pipeline.config.evaluate import Evaluate
from pipeline.datasets.activitynet_captions import read_captions
from pipeline.evaluation import dense, java, tokenizer
from pipeline.evaluation.bleu import bleu
from pipeline.evaluation.bootstrap import LEVEL, draw, interval
from pipeline.evaluation.cider import cider
from pipeline.evaluation.coverage import check
from pipeline.evaluation.diversity import diversity
from pipeline.evaluation.events import ByVideo, Events
from pipeline.evaluation.meteor import JarMeteor, Meteor, Scorer, paraphrases, words
from pipeline.evaluation.predictions import read_predictions
from pipeline.evaluation.rouge import rouge_l
from pipeline.evaluation.soda import soda_c
from pipeline.io.atomic import replacing, sha256
from pipeline.provenance.code_hash import stamp


def predicted_events(path: Path) -> dict[str, Events]:
    """Captions of each video, from a file in submission format.

    Raises:
        PipelineError: unreadable or malformed; names the file, the video and the place in its list.
    """
    return {
        video: Events.of((*map(float, caption["timestamp"]), caption["sentence"]) for caption in captions)
        for video, captions in read_predictions(path).results.items()
    }


def reference_events(path: Path) -> dict[str, Events]:
    """Reference captions of each video, from a file in ActivityNet Captions' format, times as annotated.

    Raises:
        PipelineError: unreadable or malformed; names the file and the video.
    """
    return {
        video: Events.of((segment.start, segment.end, segment.text) for segment in entry.segments)
        for video, entry in read_captions(path).items()
    }


def scorer(settings: Evaluate) -> Scorer:
    """METEOR, as the settings choose it; a context manager."""
    if settings.meteor == "jar":
        return JarMeteor(settings.timeout_s)
    return Meteor(settings.timeout_s, settings.workers)


@dataclass(frozen=True)
class Evaluation:
    """The scores of one set of captions.

    Attributes:
        scores: of each video.
        soda: SODA_c of each annotator and video (F1, precision, recall), where it was asked for.
        draws: of the confidence intervals.
    """

    scores: dense.Scores
    soda: Float[np.ndarray, "annotators videos 3"] | None
    draws: int

    def summary(self, training: Collection[str] | None = None) -> dict[str, Any]:
        """What `dense.summary` gives, and beside it SODA_c, diversity, and intervals of the means over thresholds.

        Args:
            training: what the captioner was trained with, tokenized, to see how much is new.
        """
        found = dense.summary(self.scores)
        if self.soda is not None:
            f1, precision, recall = _soda(self.soda, np.ones((1, len(self.scores.videos)), np.int64))[0]
            found["SODA_c"] = {"F1": float(f1), "Precision": float(precision), "Recall": float(recall)}
        captions = dict(zip(self.scores.videos, self.scores.captions, strict=True))
        found["diversity"] = diversity(captions, training)
        if self.draws:
            found["intervals"] = self._intervals()
        return found

    def _intervals(self) -> dict[str, Any]:
        """For each metric, where 95 % of its mean over thresholds lie when videos are drawn anew."""
        drawn = [self._means(weights) for weights in draw(len(self.scores.videos), self.draws)]
        return {
            "method": f"percentile bootstrap over videos, {LEVEL} %, {self.draws} draws",
            **{name: interval(np.concatenate([means[name] for means in drawn])) for name in drawn[0]},
        }

    def _means(self, weights: Int[np.ndarray, "draws videos"]) -> dict[str, Float[np.ndarray, " draws"]]:
        """Each metric's mean over thresholds and videos, a video taken as often as its weight says."""
        means = {name: values.mean(axis=1) for name, values in self.scores.means(weights).items()}
        means["F1"] = dense.harmonic_mean(means["Precision"], means["Recall"])
        if self.soda is not None:
            means["SODA_c"] = _soda(self.soda, weights)[:, 0]
        return means

    def write_rows(self, path: Path) -> None:
        """Write a line for each video: captions, and its mean over thresholds of every metric; CSV."""
        columns: dict[str, Sequence[Any]] = {
            "video": self.scores.videos,
            "captions": [len(captions) for captions in self.scores.captions],
            **{name: values.mean(axis=0).tolist() for name, values in self.scores.values.items()},
        }
        if self.soda is not None:
            columns["SODA_c"] = [
                float(np.mean(seen)) if (seen := video[~np.isnan(video)]).size else "" for video in self.soda[..., 0].T
            ]
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(columns)
            rows.writerows(zip(*columns.values(), strict=True))


def evaluate(sets: Mapping[str, ByVideo], references: Sequence[ByVideo], settings: Evaluate) -> dict[str, Evaluation]:
    """Score sets of captions against the same references.

    Args:
        sets: captions of each video, by the name of the set.
        references: by each annotator.
        settings: of the evaluator.

    Raises:
        PipelineError: nothing to score; captions that should be complete are not.
    """
    with ExitStack() as stack:
        meteor = stack.enter_context(scorer(settings)) if {"METEOR", "SODA_c"} & set(settings.metrics) else None
        return {name: _evaluate(name, captions, references, settings, meteor) for name, captions in sets.items()}


def _evaluate(
    name: str, captions: ByVideo, references: Sequence[ByVideo], settings: Evaluate, meteor: Scorer | None
) -> Evaluation:
    check(name, captions, references, settings.require_complete)
    scores = dense.evaluate(captions, references, settings, _metrics(settings, meteor))
    soda = None
    if meteor is not None and "SODA_c" in settings.metrics:
        counted = {video: events.first(settings.max_proposals) for video, events in captions.items()}
        soda = soda_c(counted, references, scores.videos, meteor, settings.timeout_s)
    return Evaluation(scores, soda, settings.bootstrap)


def _metrics(settings: Evaluate, meteor: Scorer | None) -> list[dense.CaptionMetric]:
    """The metrics over pairs that are asked for, in the order in which they are named."""
    known: dict[str, Callable[[Sequence[Any]], dict[str, Any]]] = {
        "CIDEr": lambda documents: {"CIDEr": cider(documents)},
        "Bleu": lambda documents: {f"Bleu_{n}": values for n, values in enumerate(bleu(documents).T, 1)},
        "ROUGE_L": lambda documents: {"ROUGE_L": rouge_l(documents)},
    }
    if meteor is not None:
        known["METEOR"] = lambda documents: {"METEOR": meteor.aggregate(documents)}
    return [known[name] for name in settings.metrics if name in known]


def _soda(
    soda: Float[np.ndarray, "annotators videos 3"], weights: Int[np.ndarray, "draws videos"]
) -> Float[np.ndarray, "draws 3"]:
    """Mean over the videos that an annotator has in common with the captions, then over annotators that have any."""
    there = (~np.isnan(soda[..., :1])).astype(np.float64)
    total = np.einsum("dv,avk->adk", weights, np.nan_to_num(soda))
    counted = np.einsum("dv,avk->adk", weights, there)
    each = np.divide(total, counted, out=np.zeros_like(total), where=counted > 0)
    return each.sum(axis=0) / np.maximum(1, (counted > 0).sum(axis=0))


def identity(settings: Evaluate, references: Sequence[Path]) -> dict[str, Any]:
    """What must be equal for two scores to be comparable, and what has computed them."""
    return {
        "name": "ActivityNet Captions (densevid_eval)",
        "variant": settings.variant,
        "tious": settings.tious,
        "max_proposals": settings.max_proposals,
        "meteor": settings.meteor,
        "meteor_jar_sha256": sha256(java.jar(words.JAR)),
        "paraphrases_sha256": sha256(java.jar(paraphrases.TABLE)),
        "tokenizer_jar_sha256": sha256(java.jar(tokenizer.JAR)),
        "java": java.version(),
        "pycocoevalcap": importlib.metadata.version("pycocoevalcap"),
        "numpy": np.__version__,
        "code": stamp("pipeline.evaluate"),
        "references": [{"file": path.as_posix(), "sha256": sha256(path)} for path in references],
    }


def table(scores: dict[str, dict[str, Any]]) -> str:
    """Scores in percent, one line for each metric of each set of captions.

    Args:
        scores: name of the set -> what `Evaluation.summary` gave for it.
    """
    lines: list[str] = []
    for name, found in scores.items():
        thresholds = {
            metric: values for metric, values in found.items() if isinstance(values, dict) and "mean" in values
        }
        if not lines:
            columns = next(iter(thresholds.values()))
            lines.append(f"{'x 100':24}" + "".join(f"{column:>8}" for column in columns) + "   95 % of the mean")
        intervals = found.get("intervals", {})
        for metric, values in thresholds.items():
            numbers = "".join(f"{100 * value:8.2f}" for value in values.values())
            lines.append(f"{name} {metric}".ljust(24) + numbers + _range(intervals.get(metric)))
        single = {"F1": found["F1"]} | ({"SODA_c": found["SODA_c"]["F1"]} if "SODA_c" in found else {})
        for metric, value in single.items():
            number = f"{100 * value:8.2f}".rjust(8 * len(found["Recall"]))
            lines.append(f"{name} {metric}".ljust(24) + number + _range(intervals.get(metric)))
    return "\n".join(lines)


def _range(limits: Sequence[float] | None) -> str:
    return "" if limits is None else f"   {100 * limits[0]:.2f} to {100 * limits[1]:.2f}"
