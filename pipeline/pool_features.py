r"""Global features: for each video the maximum and the mean of its clip features over all of its clips.

In:  the corpus, one feature of all shards.
Out: a manifest vouching for globals.safetensors (one array [videos, channels] for each pooling) and index.parquet
     (which row is whose).

    python -m pipeline.pool_features --feature initial --corpus results/demo/corpus/manifest.json \
        --features results/demo/features --output /tmp/globals/manifest.json
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.pool_features import PoolFeatures
from pipeline.datasets.corpus import Corpus
from pipeline.features.combined import Features
from pipeline.features.pooled import write_globals
from pipeline.provenance.record import record

STAGE = "pool_features"

Vector = Float[np.ndarray, "dim"]


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = parser(__doc__)
    add_config(arguments, PoolFeatures, STAGE)
    arguments.add_argument("--feature", required=True, help="name of the feature")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write, payloads beside it")
    args = arguments.parse_args(argv)
    config = read_config(args.config, PoolFeatures, STAGE)
    corpus = Corpus.open(args.corpus)
    features = Features.open(args.features, [args.feature], corpus.manifest.facts["shards"])
    write_globals(args.output, pooled(features, config), {"feature": args.feature})
    record(args.output, STAGE, config, [args.corpus, *features.manifests])
    logging.info("%s: %d videos", STAGE, len(features.videos))
    return 0


def pooled(features: Features, config: PoolFeatures) -> Iterator[tuple[str, dict[str, Vector]]]:
    """Each video, by id, with its vectors by the name of the pooling."""
    for video in sorted(features.videos):
        clips = features.read(video)
        vectors = {"max": clips.max(axis=0), "mean": clips.mean(axis=0)}
        yield video, {pool: vectors[pool] for pool in config.pools}


if __name__ == "__main__":
    raise SystemExit(main())
