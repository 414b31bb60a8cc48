r"""Score the action classes of whole videos: by a classifier of pooled features, or from a file.

In: the corpus; for a learned classifier, pooled features; for a file, the file and the names of its classes.
Out: a JSON file with `classes`, the names; `scores`, video -> score of each class; `accuracy`, by split, of the best
class; `missing`, the videos of the corpus without scores.

Alone:
    python -m pipeline.classify_videos --config '{"kind": "learned"}' --corpus results/demo/corpus/manifest.json \
        --features results/demo/video_features/sa_tsp/manifest.json --output /tmp/classes.json
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.config.classify_videos import ClassifierEntry, FileClassifierSettings, LearnedClassifierSettings
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.features.pooled import PooledVideoFeatures
from pipeline.io.atomic import write_json
from pipeline.localization.class_files import read_class_file
from pipeline.localization.video_classifier import (
    classify_by_features,
    concatenate_pools,
    top_class_accuracy,
    video_labels,
)
from pipeline.provenance.computation import Computation

STAGE = "classify_videos"
DIGITS = 6
"""Significant digits of a score in the file."""


def write_learned(
    settings: LearnedClassifierSettings, corpus_manifest: Path, features: Sequence[Path], output: Path
) -> None:
    """Train a classifier and write its scores of all videos with features.

    Args:
        settings: of the classifier.
        corpus_manifest: manifest of the corpus.
        features: manifests of the pooled features, in the order of the settings.
        output: the file to write.

    Raises:
        PipelineError: there is nothing to train on.
    """
    computation = Computation(STAGE, settings, [corpus_manifest, *features], [output])
    if computation.restore():
        return
    corpus = Corpus.open(corpus_manifest)
    videos, vectors = concatenate_pools([PooledVideoFeatures.open(path) for path in features], settings.pools)
    training = {row.video for row in corpus.videos_of_splits(*settings.splits)}
    labels = {video: classes for video, classes in video_labels(corpus).items() if video in training}
    _write_scores(output, corpus, classify_by_features(videos, vectors, labels, corpus.labels, settings.l2))
    computation.keep_outputs()


def write_from_file(settings: FileClassifierSettings, corpus_manifest: Path, output: Path) -> None:
    """Write the scores of a file for the videos and the classes of the corpus.

    Raises:
        PipelineError: the file is absent or malformed, or does not fit the corpus.
    """
    files = [Path(settings.path), *([Path(settings.classes)] if settings.classes else [])]
    computation = Computation(STAGE, settings, [corpus_manifest, *files], [output])
    if computation.restore():
        return
    corpus = Corpus.open(corpus_manifest)
    scores = read_class_file(settings, [row.video for row in corpus.videos], corpus.labels)
    _write_scores(output, corpus, scores.by_video)
    computation.keep_outputs()


def _write_scores(output: Path, corpus: Corpus, scores: Mapping[str, Float[np.ndarray, " classes"]]) -> None:
    accuracy = top_class_accuracy(corpus, scores)
    missing = sorted({row.video for row in corpus.videos}.difference(scores))
    result = {
        "classes": corpus.labels,
        "scores": {
            video: [float(f"{score:.{DIGITS}g}") for score in values] for video, values in sorted(scores.items())
        },
        "accuracy": accuracy,
        "missing": missing,
    }
    write_json(output, result)
    logging.info("%s: %d videos, %d without scores; accuracy %s", output, len(scores), len(missing), accuracy)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, ClassifierEntry, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument(
        "--features", type=Path, nargs="*", default=[], help="manifests of pooled features, if kind is `learned`"
    )
    arguments.add_argument("--output", type=Path, required=True, help="class scores to write")
    args = arguments.parse_args(argv)
    settings = read_config(args.config, ClassifierEntry, STAGE).root
    match settings:
        case LearnedClassifierSettings():
            if len(args.features) != len(settings.features):
                raise PipelineError(
                    f"config: {STAGE}.features names {len(settings.features)} features, but --features has "
                    f"{len(args.features)} manifests"
                )
            write_learned(settings, args.corpus, args.features, args.output)
        case FileClassifierSettings():
            write_from_file(settings, args.corpus, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
