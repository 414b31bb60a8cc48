r"""Pool a feature: the maximum and the mean over all clips of each video, the global video features of TSP.

In:  the corpus; all shards of one feature.
Out: a manifest; video_features.safetensors, one array [videos, channels] per pooling; index.parquet, the row of each
     video.

    python -m pipeline.pool_features --feature initial --corpus results/demo/corpus/manifest.json \
        --features results/demo/features --output /tmp/video_features/manifest.json
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.pool_features import PoolFeatures
from pipeline.datasets.corpus import Corpus
from pipeline.features.combined import CombinedFeatures
from pipeline.features.pooled import write_pooled
from pipeline.io.progress import Progress
from pipeline.provenance.computation import Computation

STAGE = "pool_features"

Vector = Float[np.ndarray, "dim"]


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, PoolFeatures, STAGE)
    arguments.add_argument("--feature", required=True, help="name of the feature")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write; its files go to its folder")
    args = arguments.parse_args(argv)
    config = read_config(args.config, PoolFeatures, STAGE)
    corpus = Corpus.open(args.corpus)
    features = CombinedFeatures.open(args.features, [args.feature], corpus.num_shards)
    inputs = [args.corpus, *features.manifests]
    computation = Computation(STAGE, config, inputs, [args.output], feature=args.feature)
    if computation.restore():
        return 0
    write_pooled(args.output, pool_videos(features, config), {"feature": args.feature})
    computation.keep_outputs()
    logging.info("%s: %d videos", STAGE, len(features.videos))
    return 0


def pool_videos(features: CombinedFeatures, config: PoolFeatures) -> Iterator[tuple[str, dict[str, Vector]]]:
    """Yield the id of each video and its vectors by the name of the pooling."""
    progress = Progress("videos", len(features.videos))
    for video in sorted(features.videos):
        rows = features.read(video)
        vectors = {"max": rows.max(axis=0), "mean": rows.mean(axis=0)}
        yield video, {pool: vectors[pool] for pool in config.pools}
        progress.step()


if __name__ == "__main__":
    raise SystemExit(main())
