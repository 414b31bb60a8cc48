r"""Caption the proposals of a split: greedily, by beam search, or by drawing words.

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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.captioning.beam import Beams
from pipeline.captioning.bundle import Trained, load_captioner
from pipeline.captioning.constraints import Rules
from pipeline.captioning.data import Batch, EventSequence, collate
from pipeline.captioning.decoding import Captions, beam, greedy, sample
from pipeline.captioning.proposal_bounds import check_inside
from pipeline.captioning.shuffled_control import derange, lend
from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.errors import PipelineError
from pipeline.features.combined import Features
from pipeline.io.atomic import write_json
from pipeline.localization.proposals import VERSION, Proposal, external_data, read_proposals
from pipeline.provenance.record import record
from pipeline.training.device import pick
from pipeline.features.cache import ClipCache, batches
from pipeline.training.log import Progress
from pipeline.training.seeds import generator

STAGE = "generate_captions"

Proposals = dict[str, list[Proposal]]
Rows = list[dict[str, Any]]


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
    """Caption events.

    Args:
        trained: the captioner.
        sequences: by the video that is captioned, which need not be the one that is looked at.
        cache: clip features.
        config: how words are chosen, batch size and device.

    Returns:
        For each video a sentence and its log-probability for each of its events.
    """
    device = pick(config.device)
    trained.captioner.to(device)
    said: dict[str, list[tuple[str, float]]] = {}
    progress = Progress("videos", len(sequences))
    for group in batches(list(sequences), config.batch_videos):
        sizes = {video: len(sequences[video].times) for video in group}
        batch = collate([sequences[video] for video in group], cache).to(device)
        captions = decoded(trained, batch, sizes, config)
        sentences = [trained.vocabulary.decode(ids) for ids in captions.ids()]
        spoken = iter(zip(sentences, captions.log_probs.sum(1).tolist(), strict=True))
        for video, size in sizes.items():
            said[video] = [next(spoken) for _ in range(size)]
        progress.step(len(group))
    return said


@torch.no_grad()
def decoded(trained: Trained, batch: Batch, sizes: Mapping[str, int], config: GenerateCaptions) -> Captions:
    """Captions of a batch, by the decoding that is asked for.

    Args:
        trained: the captioner, on the batch's device.
        batch: the events.
        sizes: how many of them are of each video, in their order. What is drawn for a video depends on its id and the
            seed alone.
        config: how words are chosen.
    """
    captioner, rules = trained.captioner, Rules.of(trained.vocabulary, config.block_ngrams)
    if config.decoding == "beam":
        return beam(captioner, batch, Beams(config.beam, config.length_power), rules)
    if config.decoding == "sample":
        words = captioner.architecture.max_words
        drawn = [generator(STAGE, config.seed, video).random((size, words)) for video, size in sizes.items()]
        draws = torch.tensor(np.concatenate(drawn)).to(batch.clips.device)
        return sample(captioner, batch, config.temperature, rules, draws)
    return greedy(captioner, batch, rules)


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
    check_inside(proposals, corpus, features, args.proposals)
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
