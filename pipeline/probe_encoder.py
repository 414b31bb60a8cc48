r"""Linear probes: what of actions, regions and concepts a linear classifier reads from the features of an encoder.

In:  the corpus, one feature of all shards, the concepts.
Out: accuracy of action and region, average precision of every concept, and its mean in all, per part of speech and per
     attribute that the config names; beside each, what guessing gives. JSON, fractions.

    python -m pipeline.probe_encoder --feature sa_tsp --corpus results/demo/corpus/manifest.json \
        --features results/demo/features --concepts results/demo/concepts.json --output /tmp/probe.json
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.probe_encoder import ProbeEncoder
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.concept_labels import read_concepts
from pipeline.encoders.probe import Labelled, accuracy, concept_precision, means
from pipeline.encoders.probe_labels import labelled
from pipeline.errors import PipelineError
from pipeline.features.combined import Features
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.manifest import read_manifest
from pipeline.provenance.record import record

STAGE = "probe_encoder"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = parser(__doc__)
    add_config(arguments, ProbeEncoder, STAGE)
    arguments.add_argument("--feature", required=True, help="name of the feature")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--concepts", type=Path, required=True, help="concepts.json")
    arguments.add_argument("--output", type=Path, required=True, help="scores to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, ProbeEncoder, STAGE)
    corpus = Corpus.open(args.corpus)
    features = Features.open(args.features, [args.feature], corpus.manifest.facts["shards"])
    concepts = read_concepts(args.concepts)
    train = labelled(corpus, features, config.train_splits, concepts)
    test = labelled(corpus, features, config.test_splits, concepts)
    for splits, clips in ((config.train_splits, train), (config.test_splits, test)):
        if not len(clips.features):
            raise PipelineError(f"{args.features / args.feature}: no clips of the split {' or '.join(splits)} to probe")
    words = [concept.word for concept in concepts]
    kinds = [entry.get("pos") for entry in read_json(args.concepts)]
    encoder = read_manifest(features.manifests[0]).facts
    found = {
        "feature": args.feature,
        **{name: encoder.get(name) for name in ("encoder", "weights_sha256")},
        "splits": {"train": config.train_splits, "test": config.test_splits},
        "clips": {"train": len(train.features), "test": len(test.features)},
        **probe(train, test, len(corpus.labels), words, kinds, config),
    }
    write_json(args.output, found)
    record(args.output, STAGE, config, [args.corpus, *features.manifests, args.concepts])
    for name in ("action", "region"):
        logging.info("%s %s: %s", args.feature, name, found[name])
    logging.info("%s concepts: %s", args.feature, found["concepts"]["all"])
    return 0


def probe(
    train: Labelled, test: Labelled, actions: int, words: list[str], kinds: list[str | None], config: ProbeEncoder
) -> dict[str, Any]:
    """All probes.

    Args:
        train: clips to fit on.
        test: clips to measure on.
        actions: how many classes there are.
        words: name of each concept.
        kinds: part of speech of each, where it is known.
        config: weight decay, attributes.
    """
    sides = (train, test)
    action_train, action_test = ((side.features, side.action) for side in sides)
    region_train, region_test = ((side.features, side.region) for side in sides)
    each = concept_precision(train, test, config.l2)

    def apart(groups: Iterable[tuple[str, Iterable[int]]]) -> dict[str, Any]:
        return {name: means(each, numbers) for name, numbers in groups}

    of_kind = {kind: [n for n, known in enumerate(kinds) if known == kind] for kind in sorted(filter(None, set(kinds)))}
    numbers = {word: number for number, word in enumerate(words)}
    of_attribute = {
        name: [numbers[word] for word in listed if word in numbers] for name, listed in config.attributes.items()
    }
    return {
        "action": accuracy(action_train, action_test, actions, config.l2),
        "region": accuracy(region_train, region_test, 2, config.l2),
        "concepts": {
            "all": means(each, each),
            "by_part_of_speech": apart(of_kind.items()),
            "by_attribute": apart(of_attribute.items()),
            "each": {words[number]: scores for number, scores in each.items()},
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
