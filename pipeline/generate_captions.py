r"""Caption the proposals of a split: greedily, by beam search, or by sampling.

In: the corpus (which videos), features, a captioner, proposals.
Out: captions in ActivityNet's submission format, each with the log-probability of its words and its end. Videos of the
split that lack features or proposals are counted in the log and left out.

With --control each video is captioned from the features of another video, its events at the same relative times. The
score of these captions is what a captioner reaches without seeing the video.

Run it alone:
    python -m pipeline.generate_captions --corpus results/demo/corpus/manifest.json \
        --features results/demo/features --captioner results/demo/captioners/sa_tsp/0/scst/manifest.json \
        --proposals results/demo/proposals/gt.json --split test --output /tmp/captions.json
"""

import logging
from collections.abc import Collection
from pathlib import Path

from pipeline.captioning.bundle import load_captioner
from pipeline.captioning.event_sequences import MAX_LISTED, check_proposal_ends, draw_derangement, move_to_video
from pipeline.captioning.generation import caption_events, submission_rows
from pipeline.captioning.streams import EventSequence, StreamCache
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.errors import PipelineError
from pipeline.io.atomic import write_json
from pipeline.localization.proposals import VERSION, Proposal, external_data_statement, read_proposals
from pipeline.provenance.computation import Computation

STAGE = "generate_captions"

Proposals = dict[str, list[Proposal]]


def proposals_of_split(
    proposals: Proposals, corpus: Corpus, videos_with_features: Collection[str], split: str
) -> Proposals:
    """Return the proposals of the videos of a split that have features; the log counts the others."""
    videos = [row.video for row in corpus.videos_of_splits(split)]
    with_proposals = {video for video, of_video in proposals.items() if of_video}
    for name, available in (("features", videos_with_features), ("proposals", with_proposals)):
        missing = [video for video in videos if video not in available]
        if missing:
            names = ", ".join(missing[:MAX_LISTED])
            logging.info("%d of %d videos of %s have no %s: %s", len(missing), len(videos), split, name, names)
        videos = [video for video in videos if video in available]
    return {video: proposals[video] for video in videos}


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, GenerateCaptions, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--captioner", type=Path, required=True, help="manifest of the captioner")
    arguments.add_argument("--proposals", type=Path, required=True, help="proposals to caption")
    arguments.add_argument("--split", choices=SPLITS, required=True, help="split whose videos are captioned")
    arguments.add_argument(
        "--control", action="store_true", help="use the features of another video (shuffled control)"
    )
    arguments.add_argument("--output", type=Path, required=True, help="captions to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, GenerateCaptions, STAGE)

    corpus = Corpus.open(args.corpus)
    bundle = load_captioner(args.captioner)
    features = bundle.open_features(args.features, corpus.num_shards)
    inputs = [args.corpus, *features.manifests, args.captioner, args.proposals]
    computation = Computation(STAGE, config, inputs, [args.output], split=args.split, control=args.control)
    if computation.restore():
        return 0
    durations = features.durations
    proposals = proposals_of_split(read_proposals(args.proposals), corpus, durations, args.split)
    if not proposals:
        raise PipelineError(
            f"{args.proposals}: no video of the split {args.split} has both proposals and features; nothing to caption"
        )
    check_proposal_ends(proposals, corpus, durations, args.proposals)
    sequences = {
        video: EventSequence(video, tuple((proposal.start, proposal.end) for proposal in of_video))
        for video, of_video in proposals.items()
    }
    if args.control:
        source = draw_derangement(sorted(sequences), sorted(durations), config.control_seed)
        sequences = {video: move_to_video(one, source[video], durations) for video, one in sequences.items()}
    sentences = caption_events(bundle, sequences, StreamCache(features, 0.0), config)
    write_json(
        args.output,
        {
            "version": VERSION,
            "results": {video: submission_rows(of_video, sentences[video]) for video, of_video in proposals.items()},
            "external_data": external_data_statement(features.manifests),
        },
    )
    computation.keep_outputs()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
