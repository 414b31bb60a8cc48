r"""Train a proposer on the annotated events of the split `train`, by clip features.

In: the corpus, clip features.
Out, beside the manifest: model.safetensors, config.json (settings), metrics.jsonl (per epoch the loss, and precision
and recall on `val`), card.md. Metadata: kind, features, combination, time grid, seed, epoch.

An interrupted run resumes after its last epoch, with the same result as an uninterrupted one.

Alone:
    python -m pipeline.train_proposer --config '{"kind": "boundary", "features": ["sa_tsp"], "epochs": 2}' \
        --corpus results/demo/corpus/manifest.json --features results/demo/features --state /tmp/state \
        --output /tmp/proposer/manifest.json
"""

import logging
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.proposers import ProposerSettings
from pipeline.config.train_proposer import ProposerEntry
from pipeline.datasets.corpus import Corpus
from pipeline.features.cache import FeatureCache
from pipeline.features.combined import CombinedFeatures
from pipeline.localization.bundle import METRICS, save_proposer
from pipeline.localization.training import fit_proposer
from pipeline.provenance.computation import Computation
from pipeline.training.checkpoints import open_checkpoints

STAGE = "train_proposer"


def train(settings: ProposerSettings, corpus_manifest: Path, folder: Path, state: Path, output: Path) -> None:
    """Train a proposer and write its bundle.

    Args:
        settings: of the proposer.
        corpus_manifest: manifest of the corpus.
        folder: folder of all features.
        state: folder of the training state.
        output: manifest of the proposer to write.
    """
    corpus = Corpus.open(corpus_manifest)
    features = CombinedFeatures.open(
        folder, settings.features, corpus.num_shards, align=settings.align, missing=settings.missing
    )
    computation = Computation(STAGE, settings, [corpus_manifest, *features.manifests], [output])
    checkpoints = open_checkpoints(state, computation)
    if checkpoints is None:
        return
    cache = FeatureCache(features, settings.cache_gb)
    proposer, checkpoint = fit_proposer(settings, corpus, cache, checkpoints, output.with_name(METRICS))
    save_proposer(output, proposer, settings, features, checkpoint)
    computation.keep_outputs()
    checkpoints.clear()
    logging.info("%s: %s, epoch %d", output, settings.kind, checkpoint.epoch)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, ProposerEntry, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the training state")
    arguments.add_argument("--output", type=Path, required=True, help="manifest of the proposer to write")
    args = arguments.parse_args(argv)
    settings = read_config(args.config, ProposerEntry, STAGE).root
    train(settings, args.corpus, args.features, args.state, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
