r"""Propose events: the annotated ones, or those that a temporal network finds.

In: the corpus; for a learned proposer clip features too. It is trained on the events of the split `train`.
Out: proposals of every video (annotated ones: of every captioned video) in ActivityNet's format. A learned
proposer leaves `<name>.metrics.jsonl` beside them: by epoch the loss, and the agreement with `val`'s annotators.

A run that is stopped goes on after its last epoch, as if it had not been stopped.

Alone:
    python -m pipeline.propose_events --config '{"kind": "boundary", "features": ["sa_tsp"]}' \
        --corpus results/demo/corpus/manifest.json --features results/demo/features --state /tmp/state \
        --output /tmp/proposals.json
"""

import logging
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.errors import PipelineError
from pipeline.config.propose_events import Boundary, GroundTruth, Kind
from pipeline.datasets.corpus import Corpus
from pipeline.proposers.agreement import agreement
from pipeline.proposers.boundary import BoundaryNetwork, balanced_loss, boundaries, edges, labels, pad
from pipeline.proposers.candidates import propose
from pipeline.proposers.ground_truth import annotated_events
from pipeline.proposers.proposals import Proposal, external_data, write_proposals
from pipeline.store.features import Features
from pipeline.store.provenance import record
from pipeline.training.clips import ClipCache, batches
from pipeline.training.device import pick
from pipeline.training.epochs import Epochs, Validation, identity
from pipeline.training.log import Progress
from pipeline.training.seeds import generator, seed_all
from pipeline.training.state import TrainingState

STAGE = "propose_events"

Events = dict[str, list[list[tuple[float, float]]]]
"""Start and end of events, seconds, by video and annotator."""


def annotated(corpus: Corpus, split: str, features: Features) -> Events:
    """Events of the videos of a split that have captions and features."""
    inside = {row["video"] for row in corpus.videos if row["split"] == split} & features.videos.keys()
    found: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in corpus.captions:
        if row["video"] in inside:
            found[row["video"]][row["annotator"]].append((row["start"], row["end"]))
    return {video: list(given.values()) for video, given in sorted(found.items())}


class Proposer:
    """A temporal network and how it is used on videos.

    Args:
        config: its settings.
        cache: clip features of the videos.
    """

    def __init__(self, config: Boundary, cache: ClipCache) -> None:
        self.config, self.cache = config, cache
        seed_all(STAGE, config.seed, "weights")
        self.network = BoundaryNetwork(cache.features.dim, config.hidden, config.dropout)

    def train(self, corpus: Corpus, state: TrainingState, metrics: Path) -> None:
        """Train on the events of `train`, all annotators' together; the last epoch is kept.

        Raises:
            PipelineError: there are no events to train on.
        """
        features = self.cache.features
        events = annotated(corpus, "train", features)
        if not events:
            raise PipelineError(
                f"{corpus.manifest.path}: no video of train has both captions and features; a learned "
                "proposer has nothing to train on (look into rejects.parquet beside it)"
            )
        self.network.standardise.measure(self.cache.read(video) for video in events)
        self.network.to(pick(self.config.device))
        optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.config.lr, weight_decay=self.config.weight_decay
        )
        wanted = {
            video: labels([event for one in given for event in one], self.edges(video))
            for video, given in events.items()
        }
        val = annotated(corpus, "val", features)
        logging.info("%d videos to train on, %d to look at", len(events), len(val))

        def epoch(number: int) -> dict[str, float]:
            order = generator(STAGE, self.config.seed, number).permutation(sorted(events)).tolist()
            return self._epoch(order, wanted, optimizer)

        epochs = Epochs(self.network, optimizer, state, metrics, (STAGE, self.config.seed))
        validation = Validation(lambda: agreement(self.propose(sorted(val)), val)) if val else None
        epochs.run(self.config.epochs, epoch, validation)

    def propose(self, videos: list[str]) -> dict[str, list[Proposal]]:
        """Proposals of each video, at least one."""
        proposals = {}
        progress = Progress("videos", len(videos))
        for group in batches(videos, self.config.batch_size):
            said = boundaries(self.network, [self.cache.read(video) for video in group])
            for video, found in zip(group, said, strict=True):
                proposals[video] = propose(
                    found,
                    self.edges(video),
                    sigma=self.config.soft_nms_sigma,
                    keep=self.config.max_proposals,
                    min_score=self.config.min_score,
                )
            progress.step(len(group))
        return proposals

    def edges(self, video: str) -> Float[np.ndarray, " edges"]:
        """Edges of a video's clips, seconds."""
        features = self.cache.features
        return edges(features.grid.centres(len(self.cache.read(video))), features.videos[video])

    def _epoch(
        self, order: list[str], wanted: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer
    ) -> dict[str, float]:
        self.network.train()
        device = next(self.network.parameters()).device
        losses = []
        for group in batches(order, self.config.batch_size):
            padded = pad([self.cache.read(video) for video in group])
            truth = pad([wanted[video] for video in group])
            mask = padded.mask.to(device)
            loss = balanced_loss(self.network(padded.clips.to(device), mask), truth.clips.to(device), mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return {"loss": sum(losses) / len(losses)}


def write_annotated(config: GroundTruth, corpus: Path, output: Path) -> None:
    """Write the annotated events."""
    proposals = annotated_events(Corpus.open(corpus), config.annotator)
    if not proposals:
        raise PipelineError(f"{corpus}: no video that is there has captions; there are no events to propose")
    write_proposals(output, proposals, {"used": False, "details": ""})
    record(output, STAGE, config, [corpus])


def write_learned(config: Boundary, corpus: Path, folder: Path, state_folder: Path, output: Path) -> None:
    """Train a proposer and write what it finds in every video with features."""
    opened = Corpus.open(corpus)
    shards = opened.manifest.facts["shards"]
    features = Features.open(folder, config.features, shards, align=config.align, missing=config.missing)
    inputs = [corpus, *features.manifests]
    state = TrainingState(state_folder, identity(STAGE, config, inputs))
    proposer = Proposer(config, ClipCache(features, config.cache_gb))
    proposer.train(opened, state, output.with_name(f"{output.stem}.metrics.jsonl"))
    write_proposals(output, proposer.propose(sorted(features.videos)), external_data(features.manifests))
    record(output, STAGE, config, inputs)
    state.clear()


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, Boundary, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the training state")
    arguments.add_argument("--output", type=Path, required=True, help="the proposals to write")
    args = arguments.parse_args(argv)
    kind = read_config(args.config, Kind, STAGE).kind
    if kind == "gt":
        write_annotated(read_config(args.config, GroundTruth, STAGE), args.corpus, args.output)
    else:
        config = read_config(args.config, Boundary, STAGE)
        write_learned(config, args.corpus, args.features, args.state, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
