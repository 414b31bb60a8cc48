r"""Transfer features: classify clips by few labelled ones, for each frozen feature (Mahdisoltani et al., 2018).

In:  the corpus; the labels of its clips; features of all shards.
Out: JSON: for each feature, classifier and number of labelled clips per class the mean accuracy and its 95 % interval;
     the share of the commonest class. Only clips that every feature has count, so that the numbers can be compared.

    python -m pipeline.transfer_features --corpus results/demoacts/corpus/manifest.json \
        --labels results/demoacts/clip_labels/manifest.json --features results/demoacts/features \
        --names joint fine --output /tmp/transfer.json
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.transfer_features import AnyTransferClassifier, RegressionSettings, TransferFeatures
from pipeline.datasets.clip_labels import ClipLabels
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.transfer import LabelledFeatures, draw_shots, regression_accuracy, summarize_runs
from pipeline.encoders.transfer_networks import network_accuracy
from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureCache
from pipeline.features.combined import CombinedFeatures
from pipeline.io.atomic import write_json
from pipeline.io.progress import Progress
from pipeline.provenance.computation import Computation
from pipeline.training.device import resolve_device

STAGE = "transfer_features"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, TransferFeatures, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--labels", type=Path, required=True, help="manifest of the labels of the clips")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--names", nargs="+", required=True, help="names of the features to compare")
    arguments.add_argument("--output", type=Path, required=True, help="file of scores to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, TransferFeatures, STAGE)
    corpus, labels = Corpus.open(args.corpus), ClipLabels.read(args.labels)
    features = {name: CombinedFeatures.open(args.features, [name], corpus.num_shards) for name in args.names}
    manifests = [path for of_name in features.values() for path in of_name.manifests]
    inputs = [args.corpus, args.labels, *manifests]
    computation = Computation(STAGE, config, inputs, [args.output], names=",".join(args.names))
    if computation.restore():
        return 0
    torch.set_num_threads(config.workers)
    with threadpool_limits(limits=config.workers, user_api="blas"):
        scores = compare_features(corpus, labels, features, config)
    write_json(args.output, scores)
    computation.keep_outputs()
    return 0


def compare_features(
    corpus: Corpus, labels: ClipLabels, features: Mapping[str, CombinedFeatures], config: TransferFeatures
) -> dict[str, Any]:
    """Compute the accuracies of all features.

    Args:
        corpus: splits of the videos.
        labels: labels of the clips.
        features: the features, by name.
        config: section of the stage.

    Raises:
        PipelineError: a split has no clip that has a label and every feature.
    """
    label_of = {row.video: row.label for row in labels.clips}
    ids = {label: index for index, label in enumerate(labels.labels)}

    def clips_of(split: str) -> list[str]:
        videos = [row.video for row in corpus.videos_of_splits(split) if row.video in label_of]
        common = [video for video in videos if all(video in of_name.videos for of_name in features.values())]
        logging.info("split %s: %d of %d labelled clips have every feature", split, len(common), len(videos))
        if not common:
            raise PipelineError(f"{corpus.manifest.path}: no labelled clip of the split {split} has every feature")
        return common

    train, test = clips_of(config.train_split), clips_of(config.test_split)
    classes = [np.array([ids[label_of[video]] for video in videos], np.int64) for videos in (train, test)]
    commonest = np.bincount(classes[0], minlength=len(ids)).argmax()
    results, progress = {}, Progress("features", len(features))
    for name, store in features.items():
        cache = FeatureCache(store, config.cache_gb)
        clips = [
            LabelledFeatures(videos, of_split, cache.read)
            for videos, of_split in zip((train, test), classes, strict=True)
        ]
        results[name] = score_feature(name, clips[0], clips[1], len(ids), config)
        logging.info("%s: %s", name, results[name])
        progress.step()
    return {
        "splits": {"train": config.train_split, "test": config.test_split},
        "clips": {"train": len(train), "test": len(test)},
        "classes": len(ids),
        "classes_without_training_clips": int((np.bincount(classes[0], minlength=len(ids)) == 0).sum()),
        "commonest_class": float((classes[1] == commonest).mean()),
        "features": results,
    }


def score_feature(
    name: str, train: LabelledFeatures, test: LabelledFeatures, num_classes: int, config: TransferFeatures
) -> dict[str, Any]:
    """Compute the accuracies of the classifiers of one feature.

    Args:
        name: name of the feature.
        train: the training clips.
        test: the test clips.
        num_classes: number of classes.
        config: section of the stage.
    """
    return {
        classifier: score_classifier(train, test, num_classes, entry.root, config)
        for classifier, entry in config.classifiers.items()
        if entry.root.features is None or name in entry.root.features
    }


def score_classifier(
    train: LabelledFeatures,
    test: LabelledFeatures,
    num_classes: int,
    settings: AnyTransferClassifier,
    config: TransferFeatures,
) -> dict[str, Any]:
    """Compute the accuracies of one classifier: by the number of labelled clips of each class, or `all`.

    Args:
        train: the training clips.
        test: the test clips.
        num_classes: number of classes.
        settings: settings of the classifier.
        config: section of the stage.
    """
    device = resolve_device(config.device)
    scores: dict[str, Any] = {}
    for shots in settings.shots or config.shots:
        accuracies = []
        # A regression has no random weights, so all its runs on all clips would be equal.
        is_certain = shots is None and isinstance(settings, RegressionSettings)
        for run in range(1 if is_certain else settings.runs or config.runs):
            # All features and classifiers see the same clips of a run.
            clips = train.select(draw_shots(train.classes, shots, config.seed, shots or 0, run))
            if isinstance(settings, RegressionSettings):
                accuracy = regression_accuracy(clips, test, num_classes, settings)
            else:
                keys = (config.seed, shots or 0, run)
                accuracy = network_accuracy(clips, test, num_classes, settings, device, *keys)
            accuracies.append(accuracy)
        scores["all" if shots is None else str(shots)] = {**summarize_runs(accuracies), "runs": len(accuracies)}
    return scores


if __name__ == "__main__":
    raise SystemExit(main())
