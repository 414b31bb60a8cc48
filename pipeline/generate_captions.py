r"""Caption the proposals of a split, greedily.

In: the corpus (which videos), clip features, a captioner, proposals.
Out: captions in ActivityNet's submission format, each with the log-probability of its words and its end.
Videos of the split without features or without proposals are counted in the log and left out.

With --control each video is captioned from another video's features, events at the same shares of the
duration: what is then scored is what a captioner knows without looking.

Alone:
    python -m pipeline.generate_captions --corpus results/demo/corpus/manifest.json \
        --features results/demo/features --captioner results/demo/captioners/sa_tsp/0/scst/manifest.json \
        --proposals results/demo/proposals/gt.json --split test --output /tmp/captions.json
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.captioners.bundle import Trained, load_captioner
from pipeline.captioners.data import EventSequence, collate
from pipeline.captioners.decode import greedy
from pipeline.captioners.donors import derange, lend
from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.errors import PipelineError
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.proposers.proposals import VERSION, Proposal, external_data, read_proposals
from pipeline.store.atomic import write_json
from pipeline.store.features import Features
from pipeline.store.provenance import record
from pipeline.training.clips import ClipCache, batches
from pipeline.training.device import pick
from pipeline.training.log import Progress

STAGE = "generate_captions"
TOLERANCE_S = 1.0
"""A proposal may end this much after its video: annotators and players round."""

Proposals = dict[str, list[Proposal]]
Rows = list[dict[str, Any]]


def inside(proposals: Proposals, corpus: Corpus, features: Features, path: Path) -> None:
    """See that proposals lie within their videos, as long as those are measured or annotated to be.

    Annotators saw some videos longer than they are now; their events are captioned from what is left.

    Raises:
        PipelineError: one does not; names the file and the video.
    """
    longest = defaultdict(float, features.videos)
    ends = [(row["video"], row["duration"]) for row in corpus.videos if row["duration"] is not None]
    for video, end in ends + [(row["video"], row["end"]) for row in corpus.captions]:
        longest[video] = max(longest[video], end)
    for video, found in proposals.items():
        last = max(proposal.end for proposal in found)
        if last > longest[video] + TOLERANCE_S:
            raise PipelineError(
                f"{path}: video {video}: a proposal ends at {last:.2f} s, the video at {longest[video]:.2f} "
                "s; are its times in seconds, and of this video?"
            )


def to_caption(proposals: Proposals, corpus: Corpus, features: Features, split: str) -> Proposals:
    """Proposals of the videos of a split that have features; says how many are left out, and which first."""
    videos = [row["video"] for row in corpus.of_splits(split)]
    proposed = {video for video, found in proposals.items() if found}
    for what, there in (("features", features.videos.keys()), ("proposals", proposed)):
        without = [video for video in videos if video not in there]
        if without:
            names = ", ".join(without[:3])
            logging.info("%d of %d videos of %s have no %s: %s", len(without), len(videos), split, what, names)
        videos = [video for video in videos if video in there]
    return {video: proposals[video] for video in videos}


def caption(
    trained: Trained, sequences: Mapping[str, EventSequence], cache: ClipCache, config: GenerateCaptions
) -> dict[str, list[tuple[str, float]]]:
    """Caption events greedily.

    Args:
        trained: the captioner.
        sequences: by the video that is captioned, which need not be the one that is looked at.
        cache: clip features.
        config: batch size and device.

    Returns:
        For each video a sentence and its log-probability for each of its events.
    """
    device = pick(config.device)
    captioner = trained.captioner.to(device)
    said: dict[str, list[tuple[str, float]]] = {}
    progress = Progress("videos", len(sequences))
    for group in batches(list(sequences), config.batch_videos):
        captions = greedy(captioner, collate([sequences[video] for video in group], cache).to(device))
        sentences = [trained.vocabulary.decode(ids) for ids in captions.ids()]
        spoken = iter(zip(sentences, captions.log_probs.sum(1).tolist(), strict=True))
        for video in group:
            said[video] = [next(spoken) for _ in sequences[video].times]
        progress.step(len(group))
    return said


def rows(proposals: Sequence[Proposal], said: Sequence[tuple[str, float]]) -> Rows:
    """Captions of one video as the submission format has them."""
    return [
        {
            "sentence": sentence,
            "timestamp": [proposal.start, proposal.end],
            "proposal_score": proposal.score,
            "log_prob": log_prob,
        }
        for proposal, (sentence, log_prob) in zip(proposals, said, strict=True)
    ]


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, GenerateCaptions, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--captioner", type=Path, required=True, help="the captioner's manifest")
    arguments.add_argument("--proposals", type=Path, required=True, help="what to caption")
    arguments.add_argument("--split", choices=SPLITS, required=True, help="whose videos are captioned")
    arguments.add_argument("--control", action="store_true", help="look at another video than the captioned one")
    arguments.add_argument("--output", type=Path, required=True, help="the captions to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, GenerateCaptions, STAGE)

    corpus = Corpus.open(args.corpus)
    trained = load_captioner(args.captioner)
    features = trained.open(args.features, corpus.manifest.facts["shards"])
    proposals = to_caption(read_proposals(args.proposals), corpus, features, args.split)
    if not proposals:
        raise PipelineError(
            f"{args.proposals}: no video of the split {args.split} has both proposals and clip features; "
            "nothing to caption"
        )
    inside(proposals, corpus, features, args.proposals)
    sequences = {
        video: EventSequence(video, tuple((proposal.start, proposal.end) for proposal in found))
        for video, found in proposals.items()
    }
    if args.control:
        donors = derange(sorted(sequences), sorted(features.videos), config.control_seed)
        sequences = {video: lend(one, donors[video], features) for video, one in sequences.items()}
    said = caption(trained, sequences, ClipCache(features, 0.0), config)
    write_json(
        args.output,
        {
            "version": VERSION,
            "results": {video: rows(found, said[video]) for video, found in proposals.items()},
            "external_data": external_data(features.manifests),
        },
    )
    record(args.output, STAGE, config, [args.corpus, *features.manifests, args.captioner, args.proposals])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
