r"""Evaluate recognition: scores of classes, groups and captions of clips (Mahdisoltani et al., 2018, Tables 2 to 7).

In:  the corpus; the labels of its clips; the predictions of each recognizer, `<name>/<split>/manifest.json`.
Out: JSON: for each recognizer top-1 and top-5 accuracy, group accuracy, the guess of the class from the group, exact
     match, BLEU, ROUGE-L and METEOR of captions, and the same of the most likely caption of the predicted class;
     fractions of 1. Clips without a prediction do not count; `missing` is their number.

    python -m pipeline.evaluate_recognition --split test --corpus results/demoacts/corpus/manifest.json \
        --labels results/demoacts/clip_labels/manifest.json \
        --predictions results/demoacts/recognition/joint/test/manifest.json --output /tmp/recognition.json
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.evaluate_recognition import EvaluateRecognition
from pipeline.datasets.caption_tokens import CaptionTokens
from pipeline.datasets.clip_labels import ClipLabels, LabelledClip
from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.datasets.templates import CaptionKind
from pipeline.encoders.two_channel.predictions import ClipPredictions
from pipeline.errors import PipelineError
from pipeline.evaluation.meteor.engine import Meteor
from pipeline.evaluation.meteor.formula import MeteorScorer
from pipeline.evaluation.recognition import (
    exact_match,
    group_probabilities,
    likely_captions,
    majority_classes,
    score_captions,
    top_k_accuracy,
)
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation

STAGE = "evaluate_recognition"
CAPTION_KINDS: tuple[CaptionKind, ...] = ("full", "simplified")


@dataclass(frozen=True)
class LabelledSplit:
    """The clips of an evaluation, and what the baselines know of the training clips.

    Attributes:
        labels: classes and groups.
        clips: labelled clips of the split, by id.
        train: labelled clips of the split train, sorted by id.
    """

    labels: ClipLabels
    clips: dict[str, LabelledClip]
    train: list[LabelledClip]

    @property
    def group_ids(self) -> np.ndarray:
        """Group of each class, by ids."""
        ids = {name: index for index, name in enumerate(self.labels.groups)}
        return np.array([ids[self.labels.group_of[label]] for label in self.labels.labels], np.int64)

    def label_ids(self, rows: Sequence[LabelledClip], names: Sequence[str]) -> np.ndarray:
        """Return the id of each clip's class among names; -1 for a class that is not among them."""
        ids = {name: index for index, name in enumerate(names)}
        return np.array([ids.get(row.label, -1) for row in rows], np.int64)

    def train_counts(self) -> np.ndarray:
        """Return the training clips of each class."""
        return np.bincount(self.label_ids(self.train, self.labels.labels), minlength=len(self.labels.labels))


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, EvaluateRecognition, STAGE)
    arguments.add_argument("--split", choices=SPLITS, required=True, help="split of the clips")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--labels", type=Path, required=True, help="manifest of the labels of the clips")
    arguments.add_argument(
        "--predictions", type=Path, nargs="+", required=True, help="manifests <recognizer>/<split>/manifest.json"
    )
    arguments.add_argument("--output", type=Path, required=True, help="file of scores to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, EvaluateRecognition, STAGE)
    inputs = [args.corpus, args.labels, *args.predictions]
    computation = Computation(STAGE, config, inputs, [args.output], split=args.split)
    if computation.restore():
        return 0
    split = read_split(Corpus.open(args.corpus), ClipLabels.read(args.labels), args.split)
    with Meteor(config.timeout_s, config.workers) as meteor:
        scores = {
            path.parent.parent.name: score_recognizer(ClipPredictions.read(path), split, config, meteor)
            for path in args.predictions
        }
    write_json(
        args.output,
        {
            "split": args.split,
            "clips": len(split.clips),
            "classes": len(split.labels.labels),
            "groups": len(split.labels.groups),
            "label_counts": dict(sorted(split.labels.counts.items())),
            "classes_without_training_clips": classes_without_training(split),
            "recognizers": scores,
        },
    )
    computation.keep_outputs()
    for name, of_recognizer in scores.items():
        logging.info("%s: %s", name, of_recognizer)
    return 0


def read_split(corpus: Corpus, labels: ClipLabels, split: str) -> LabelledSplit:
    """Select the labelled clips of a split, and those of the split train.

    Raises:
        PipelineError: no clip of the split has a label.
    """
    splits = {row.video: row.split for row in corpus.videos}
    clips = {row.video: row for row in labels.clips if splits.get(row.video) == split}
    if not clips:
        raise PipelineError(f"{corpus.manifest.path}: no clip of the split {split} has a label")
    return LabelledSplit(labels, clips, [row for row in labels.clips if splits.get(row.video) == "train"])


def classes_without_training(split: LabelledSplit) -> list[str]:
    """Return the classes of the split's clips that no training clip has: a recognizer never learnt them."""
    trained = {row.label for row in split.train}
    return sorted({row.label for row in split.clips.values()} - trained)


def score_recognizer(
    predictions: ClipPredictions, split: LabelledSplit, config: EvaluateRecognition, meteor: MeteorScorer
) -> dict[str, Any]:
    """Compute all scores of a recognizer.

    Args:
        predictions: of the clips of the split.
        split: their labels.
        config: settings of the most likely captions.
        meteor: computes METEOR.

    Raises:
        PipelineError: there is no prediction of a labelled clip.
    """
    indices = [index for index, video in enumerate(predictions.videos) if video in split.clips]
    rows = [split.clips[predictions.videos[index]] for index in indices]
    if not rows:
        raise PipelineError(f"{STAGE}: the predictions are of no labelled clip of the split")
    scores: dict[str, Any] = {"clips": len(rows), "missing": len(split.clips) - len(rows)}
    log_probs = predictions.class_log_probs[indices]
    if predictions.classes and predictions.learns_groups:
        scores |= score_groups(log_probs, rows, predictions.classes, split)
    elif predictions.classes:
        scores |= score_classes(log_probs, rows, predictions.classes, split)
        labels = [predictions.classes[index] for index in log_probs.argmax(axis=1)]
        scores["most_likely_caption"] = score_likely_captions(labels, rows, split, config, meteor)
    if predictions.tokens is not None and predictions.captions is not None:
        scores["caption"] = score_decoder(predictions, indices, rows, predictions.tokens, meteor)
    return scores


def score_classes(
    log_probs: np.ndarray, rows: Sequence[LabelledClip], classes: Sequence[str], split: LabelledSplit
) -> dict[str, Any]:
    """Compute the accuracy of classes, and of groups from the summed probabilities of their classes."""
    targets = split.label_ids(rows, classes)
    scores: dict[str, Any] = {
        "class": {"top1": top_k_accuracy(log_probs, targets, 1), "top5": top_k_accuracy(log_probs, targets, 5)}
    }
    if split.labels.group_of:
        group_ids = split.group_ids
        probabilities = group_probabilities(log_probs, group_ids, len(split.labels.groups))
        scores["group"] = {
            "accuracy": float((probabilities.argmax(axis=1) == group_ids[targets]).mean()),
            "from": "summed class probabilities",
        }
    return scores


def score_groups(
    log_probs: np.ndarray, rows: Sequence[LabelledClip], groups: Sequence[str], split: LabelledSplit
) -> dict[str, Any]:
    """Compute the accuracy of groups, and of the class with the most training clips in the predicted group."""
    labels = split.labels.labels
    targets, group_ids = split.label_ids(rows, labels), split.group_ids
    predicted = log_probs.argmax(axis=1)
    majority = majority_classes(group_ids, split.train_counts(), len(groups))
    return {
        "group": {"accuracy": float((predicted == group_ids[targets]).mean()), "from": "a classifier of groups"},
        "class": {"majority_in_predicted_group": float((majority[predicted] == targets).mean())},
    }


def score_likely_captions(
    labels: Sequence[str],
    rows: Sequence[LabelledClip],
    split: LabelledSplit,
    config: EvaluateRecognition,
    meteor: MeteorScorer,
) -> dict[str, Any]:
    """Score the most frequent training caption of each predicted class.

    Args:
        labels: predicted class of each clip.
        rows: the clips.
        split: knows the training clips.
        config: vocabulary of exact match.
        meteor: computes METEOR.
    """
    scores: dict[str, Any] = {}
    for kind in CAPTION_KINDS:
        training = [(row.label, row.caption(kind)) for row in split.train if row.full]
        if not training:
            return {}
        likely = likely_captions(training)
        texts = [text for label, caption in training for text in (label, caption)]
        encoder = CaptionTokens.build(texts, config.cutoff, config.max_length).encoder()
        predicted = [likely.get(label, label) for label in labels]
        references = [row.caption(kind) for row in rows]
        match = exact_match([encoder.encode(text) for text in predicted], [encoder.encode(text) for text in references])
        scores[kind] = {"exact_match": match, **score_captions(predicted, references, meteor)}
    return scores


def score_decoder(
    predictions: ClipPredictions,
    indices: Sequence[int],
    rows: Sequence[LabelledClip],
    tokens: CaptionTokens,
    meteor: MeteorScorer,
) -> dict[str, Any]:
    """Score the captions of a decoder.

    Args:
        predictions: of all clips.
        indices: the labelled ones among them.
        rows: their labels.
        tokens: vocabulary of the decoder.
        meteor: computes METEOR.
    """
    kind: CaptionKind = "full" if predictions.captions == "full" else "simplified"
    ids = predictions.caption_ids[list(indices)].tolist()
    references = [row.caption(kind) for row in rows]
    encoder = tokens.encoder()
    return {
        "kind": kind,
        "vocabulary": tokens.size,
        "exact_match": exact_match(ids, [encoder.encode(text) for text in references]),
        **score_captions([tokens.caption(row) for row in ids], references, meteor),
    }


if __name__ == "__main__":
    raise SystemExit(main())
