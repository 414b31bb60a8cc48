r"""Propose events: the annotated ones, those of a file, or those of a trained proposer.

In: the corpus; for a trained proposer its manifest and clip features too.
Out: proposals in ActivityNet's format, of every video with features (annotated ones: of every captioned video; those of
a file: of the videos that it names). For a file also `<name>.rejects.parquet`: what did not fit the corpus, and why.

Alone:
    python -m pipeline.propose_events --config '{"kind": "learned"}' --corpus results/demo/corpus/manifest.json \
        --proposer results/demo/proposers/learned/manifest.json --features results/demo/features \
        --output /tmp/proposals.json
"""

import logging
from collections import Counter
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.propose_events import (
    FileProposalSettings,
    GroundTruthProposalSettings,
    LearnedProposalSettings,
    ProposalsEntry,
)
from pipeline.datasets.corpus import Corpus, RejectedVideo
from pipeline.errors import PipelineError
from pipeline.io.tables import write_rows
from pipeline.localization.external_proposals import read_proposal_file, restrict_to_videos
from pipeline.localization.proposals import external_data_statement, ground_truth_proposals, write_proposals
from pipeline.localization.proposer import open_inputs, propose
from pipeline.localization.proposer_bundle import load_proposer
from pipeline.provenance.computation import Computation
from pipeline.training.device import resolve_device

STAGE = "propose_events"


def write_ground_truth(settings: GroundTruthProposalSettings, corpus_manifest: Path, output: Path) -> None:
    """Write the annotated events as proposals.

    Raises:
        PipelineError: no video with a file has captions.
    """
    computation = Computation(STAGE, settings, [corpus_manifest], [output])
    if computation.restore():
        return
    proposals = ground_truth_proposals(Corpus.open(corpus_manifest), settings.annotator)
    if not proposals:
        raise PipelineError(f"{corpus_manifest}: no video that has a file has captions; there are no events to propose")
    write_proposals(output, proposals, {"used": False, "details": ""})
    computation.keep_outputs()


def write_from_file(settings: FileProposalSettings, corpus_manifest: Path, output: Path) -> None:
    """Write the proposals of a file, clipped to the videos of the corpus, and a table of what did not fit.

    Raises:
        PipelineError: the file is absent or malformed, or none of its proposals fits the corpus.
    """
    path = Path(settings.path)
    computation = Computation(STAGE, settings, [corpus_manifest, path], [output])
    if computation.restore():
        return
    durations = {row.video: row.duration for row in Corpus.open(corpus_manifest).videos}
    file_proposals = read_proposal_file(path, settings.score, durations)
    proposals, rejects = restrict_to_videos(file_proposals, durations, path.name)
    for reason, count in sorted(Counter(reject.reason for reject in rejects).items()):
        logging.info("%s: %d x %s", path, count, reason)
    if not proposals:
        raise PipelineError(f"{path}: no proposal fits a video of {corpus_manifest}; check ids and times [s]")
    table = output.with_name(f"{output.stem}.rejects.parquet")
    write_rows(table, rejects, RejectedVideo)
    write_proposals(output, proposals, {"used": True, "details": f"proposals {path.name}, made elsewhere"})
    computation.keep_outputs([table])


def write_learned(
    settings: LearnedProposalSettings, corpus_manifest: Path, proposer_manifest: Path, folder: Path, output: Path
) -> None:
    """Write the proposals of a trained proposer in every video that has its features.

    Args:
        settings: how proposals are selected.
        corpus_manifest: manifest of the corpus.
        proposer_manifest: manifest of the proposer.
        folder: folder of all features.
        output: proposals to write.
    """
    bundle = load_proposer(proposer_manifest)
    features = bundle.open_features(folder, Corpus.open(corpus_manifest).num_shards)
    files = [corpus_manifest, proposer_manifest, *features.manifests]
    computation = Computation(STAGE, settings, files, [output])
    if computation.restore():
        return
    bundle.proposer.network.to(resolve_device(settings.device))
    inputs = open_inputs(features, limit_gb=0.0)
    proposals = propose(bundle.proposer, inputs, sorted(features.durations), settings, bundle.settings.batch_size)
    write_proposals(output, proposals, external_data_statement(features.manifests))
    computation.keep_outputs()


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, ProposalsEntry, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--proposer", type=Path, help="manifest of the proposer, if kind is `learned`")
    arguments.add_argument("--features", type=Path, help="folder of all features, if kind is `learned`")
    arguments.add_argument("--output", type=Path, required=True, help="proposals to write")
    args = arguments.parse_args(argv)
    settings = read_config(args.config, ProposalsEntry, STAGE).root
    match settings:
        case GroundTruthProposalSettings():
            write_ground_truth(settings, args.corpus, args.output)
        case FileProposalSettings():
            write_from_file(settings, args.corpus, args.output)
        case LearnedProposalSettings():
            if args.proposer is None or args.features is None:
                raise PipelineError(f"config: {STAGE}.kind = learned needs --proposer and --features")
            write_learned(settings, args.corpus, args.proposer, args.features, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
