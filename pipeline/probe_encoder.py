r"""Measure what of actions, regions and concepts a linear classifier reads from the features of an encoder.

In:  the corpus, one feature of all shards, the concepts.
Out: JSON with the accuracy of action and region, the average precision of every concept, and its mean over all
     concepts, per part of speech and per attribute of the config; for each, the score of guessing. Fractions of 1.

    python -m pipeline.probe_encoder --feature sa_tsp --corpus results/demo/corpus/manifest.json \
        --features results/demo/features --concepts results/demo/concepts.json --output /tmp/probe.json
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.probe_encoder import ProbeEncoder
from pipeline.datasets.concepts import Concept, read_concepts
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.probe import (
    ProbeDataset,
    build_probe_dataset,
    class_accuracy,
    concept_precisions,
    draw_clips,
    mean_precision,
)
from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation
from pipeline.provenance.manifest import read_manifest

STAGE = "probe_encoder"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, ProbeEncoder, STAGE)
    arguments.add_argument("--feature", required=True, help="name of the feature")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--concepts", type=Path, required=True, help="concepts.json")
    arguments.add_argument("--output", type=Path, required=True, help="file of scores to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, ProbeEncoder, STAGE)
    corpus = Corpus.open(args.corpus)
    features = CombinedFeatures.open(args.features, [args.feature], corpus.num_shards)
    concepts = read_concepts(args.concepts)
    inputs = [args.corpus, *features.manifests, args.concepts]
    computation = Computation(STAGE, config, inputs, [args.output], feature=args.feature)
    if computation.restore():
        return 0
    train = draw_clips(build_probe_dataset(corpus, features, config.train_splits, concepts), config.max_clips)
    test = build_probe_dataset(corpus, features, config.test_splits, concepts)
    for splits, clips in ((config.train_splits, train), (config.test_splits, test)):
        if not len(clips.features):
            raise PipelineError(f"{args.features / args.feature}: no clips of the split {' or '.join(splits)} to probe")
    metadata = read_manifest(features.manifests[0]).metadata
    scores = {
        "feature": args.feature,
        **{name: metadata.get(name) for name in ("encoder", "weights_sha256")},
        "splits": {"train": config.train_splits, "test": config.test_splits},
        "clips": {"train": len(train.features), "test": len(test.features)},
        **score_probes(train, test, len(corpus.labels), concepts, config),
    }
    write_json(args.output, scores)
    computation.keep_outputs()
    logging.info("%s action: %s", args.feature, scores["action"])
    logging.info("%s region: %s", args.feature, scores["region"])
    logging.info("%s concepts: %s", args.feature, scores["concepts"]["all"])
    return 0


def score_probes(
    train: ProbeDataset, test: ProbeDataset, num_actions: int, concepts: list[Concept], config: ProbeEncoder
) -> dict[str, Any]:
    """Fit and measure all probes.

    Args:
        train: clips to fit on.
        test: clips to measure on.
        num_actions: number of action classes.
        concepts: the concepts, by index.
        config: L2 penalty, workers and attributes.
    """
    # Concepts are fitted in parallel, each by one thread: parallel linear algebra would change the last digits.
    with threadpool_limits(limits=1, user_api="blas"):
        precisions = concept_precisions(train, test, config.l2, config.workers)
        action = class_accuracy((train.features, train.action), (test.features, test.action), num_actions, config.l2)
        region = class_accuracy((train.features, train.region), (test.features, test.region), 2, config.l2)
    by_pos = {
        pos: [i for i, concept in enumerate(concepts) if concept.pos == pos] for pos in _parts_of_speech(concepts)
    }
    indices = {concept.word: index for index, concept in enumerate(concepts)}
    by_attribute = {
        name: [indices[word] for word in words if word in indices] for name, words in config.attributes.items()
    }

    def mean_by_group(groups: Mapping[str, Iterable[int]]) -> dict[str, Any]:
        return {name: mean_precision(precisions, of_group) for name, of_group in groups.items()}

    return {
        "action": action,
        "region": region,
        "concepts": {
            "all": mean_precision(precisions, precisions),
            "by_part_of_speech": mean_by_group(by_pos),
            "by_attribute": mean_by_group(by_attribute),
            "each": {concepts[index].word: scores for index, scores in precisions.items()},
        },
    }


def _parts_of_speech(concepts: list[Concept]) -> list[str]:
    return sorted({concept.pos for concept in concepts if concept.pos})


if __name__ == "__main__":
    raise SystemExit(main())
