r"""Train a proposer on the annotated events of the split `train`, by clip features.

In: the corpus, clip features; the captioner whose encoder a `bmt` takes over, if its settings name one.
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
from pipeline.errors import PipelineError
from pipeline.features.streams import FeatureStreams
from pipeline.localization.network_bundle import METRICS
from pipeline.localization.proposer_bundle import save_proposer
from pipeline.localization.proposer_training import fit_proposer
from pipeline.provenance.computation import Computation
from pipeline.provenance.manifest import read_manifest
from pipeline.training.checkpoints import open_checkpoints

STAGE = "train_proposer"


def train(
    settings: ProposerSettings, corpus_manifest: Path, folder: Path, captioner: Path | None, state: Path, output: Path
) -> None:
    """Train a proposer and write its bundle.

    Args:
        settings: of the proposer.
        corpus_manifest: manifest of the corpus.
        folder: folder of all features.
        captioner: manifest of a trained captioner whose encoder the proposer takes over, if its settings name one.
        state: folder of the training state.
        output: manifest of the proposer to write.
    """
    if (captioner is None) != (settings.trained_encoder is None):
        problem = "needs --captioner, its manifest" if captioner is None else "is null, so that no --captioner is read"
        raise PipelineError(f"config: {STAGE}.encoder {problem}")
    corpus = Corpus.open(corpus_manifest)
    features = FeatureStreams.open(
        folder, settings.streams, corpus.num_shards, align=settings.align, missing=settings.missing
    )
    inputs = [corpus_manifest, *features.manifests, *([captioner] if captioner else [])]
    computation = Computation(STAGE, settings, inputs, [output])
    checkpoints = open_checkpoints(state, computation)
    if checkpoints is None:
        return
    manifest = read_manifest(captioner) if captioner else None
    metrics = output.with_name(METRICS)
    proposer, checkpoint = fit_proposer(settings, corpus, features, checkpoints, metrics, manifest)
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
    arguments.add_argument("--captioner", type=Path, help="manifest of the captioner that `encoder` names, if any")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the training state")
    arguments.add_argument("--output", type=Path, required=True, help="manifest of the proposer to write")
    args = arguments.parse_args(argv)
    settings = read_config(args.config, ProposerEntry, STAGE).root
    train(settings, args.corpus, args.features, args.captioner, args.state, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
