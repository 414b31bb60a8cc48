r"""Train a localizer of actions on the annotated action segments, by clip features.

In: the corpus, clip features; for localizers that classify proposals the proposals too.
Out, beside the manifest: model.safetensors, config.json (settings), metrics.jsonl (per epoch the loss, and the loss on
`val`), card.md. Metadata: kind, features, combination, time grid, classes, seed, epoch.

An interrupted run resumes after its last epoch, with the same result as an uninterrupted one.

Alone:
    python -m pipeline.train_localizer --config '{"kind": "gtad", "features": ["sa_tsp"], "epochs": 2}' \
        --corpus results/demo/corpus/manifest.json --features results/demo/features --state /tmp/state \
        --output /tmp/localizer/manifest.json
"""

import logging
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.localizers import LocalizerSettings
from pipeline.config.train_localizer import LocalizerEntry
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureCache
from pipeline.features.combined import CombinedFeatures
from pipeline.localization.localizer import LocalizerInputs
from pipeline.localization.localizer_bundle import save_localizer
from pipeline.localization.localizer_training import fit_localizer
from pipeline.localization.network_bundle import METRICS
from pipeline.localization.proposals import read_proposals
from pipeline.provenance.computation import Computation
from pipeline.training.checkpoints import open_checkpoints

STAGE = "train_localizer"


def train(
    settings: LocalizerSettings,
    *,
    corpus_manifest: Path,
    folder: Path,
    proposals: Path | None,
    state: Path,
    output: Path,
) -> None:
    """Train a localizer and write its bundle.

    Args:
        settings: of the localizer.
        corpus_manifest: manifest of the corpus.
        folder: folder of all features.
        proposals: proposals, for localizers that classify proposals.
        state: folder of the training state.
        output: manifest of the localizer to write.
    """
    if settings.reads_proposals and proposals is None:
        raise PipelineError(f"config: {STAGE}.kind = {settings.kind} classifies proposals and needs --proposals")
    corpus = Corpus.open(corpus_manifest)
    features = CombinedFeatures.open(
        folder, settings.features, corpus.num_shards, align=settings.align, missing=settings.missing
    )
    files = [corpus_manifest, *features.manifests, *([proposals] if proposals else [])]
    computation = Computation(STAGE, settings, files, [output])
    checkpoints = open_checkpoints(state, computation)
    if checkpoints is None:
        return
    cache = FeatureCache(features, settings.cache_gb)
    inputs = LocalizerInputs(cache, read_proposals(proposals) if proposals else None)
    metrics = output.with_name(METRICS)
    localizer, checkpoint = fit_localizer(settings, corpus, inputs, features.videos, checkpoints, metrics)
    save_localizer(output, localizer, settings, features, corpus.labels, checkpoint)
    computation.keep_outputs()
    checkpoints.clear()
    logging.info("%s: %s, epoch %d", output, settings.kind, checkpoint.epoch)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, LocalizerEntry, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--proposals", type=Path, help="proposals, for localizers that classify proposals")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the training state")
    arguments.add_argument("--output", type=Path, required=True, help="manifest of the localizer to write")
    args = arguments.parse_args(argv)
    train(
        read_config(args.config, LocalizerEntry, STAGE).root,
        corpus_manifest=args.corpus,
        folder=args.features,
        proposals=args.proposals,
        state=args.state,
        output=args.output,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
