r"""Propose events: the annotated ones, those of a file, or those that a temporal network finds.

In: the corpus; for a learned proposer clip features too. It is trained on the events of the split `train`.
Out: proposals of every video (annotated ones: of every captioned video) in ActivityNet's format. A learned
proposer leaves `<name>.metrics.jsonl` beside them: by epoch the loss, and the agreement with `val`'s annotators;
a file leaves `<name>.rejects.parquet`: what did not fit the corpus, and why.

A run that is stopped goes on after its last epoch, as if it had not been stopped.

Alone:
    python -m pipeline.propose_events --config '{"kind": "boundary", "features": ["sa_tsp"]}' \
        --corpus results/demo/corpus/manifest.json --features results/demo/features --state /tmp/state \
        --output /tmp/proposals.json
"""

import itertools
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.propose_events import Bmn, Boundary, File, GroundTruth, Kind, Learned
from pipeline.datasets.corpus import REJECTS, Corpus
from pipeline.errors import PipelineError
from pipeline.features.combined import Features
from pipeline.io.tables import write_table
from pipeline.localization.bmn.learner import BmnLearner
from pipeline.localization.boundary import BoundaryLearner
from pipeline.localization.ground_truth import annotated_events
from pipeline.localization.learner import Clips, Learner, Times
from pipeline.localization.proposal_files import admit, read_given
from pipeline.localization.proposals import Proposal, external_data, write_proposals
from pipeline.localization.validation import agreement
from pipeline.provenance.record import record
from pipeline.training.checkpoints import TrainingState
from pipeline.training.device import pick
from pipeline.features.cache import ClipCache, batches
from pipeline.training.log import Progress
from pipeline.training.seeds import generator, seed_all
from pipeline.training.trainer import Epochs, Metrics, Validation, identity

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


def _learner(config: Learned, clips: Clips) -> Learner:
    match config:
        case Boundary():
            return BoundaryLearner(config, clips)
        case Bmn():
            return BmnLearner(config, clips)
    raise TypeError(f"{type(config).__name__} has no network")


class Proposer:
    """A learned proposer: how its network is trained and used on videos.

    Args:
        config: its settings.
        cache: clip features of the videos.
    """

    def __init__(self, config: Learned, cache: ClipCache) -> None:
        self.config, self.cache = config, cache
        seed_all(STAGE, config.seed, "weights")
        self.learner = _learner(config, Clips(cache))
        self.network = self.learner.network

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
        self.learner.standardise.measure(self.learner.clips.read(video) for video in events)
        self.network.to(pick(self.config.device))
        optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.config.lr, weight_decay=self.config.weight_decay
        )
        wanted = {video: [event for one in given for event in one] for video, given in events.items()}
        val = annotated(corpus, "val", features)
        logging.info("%d videos to train on, %d to look at", len(events), len(val))

        def epoch(number: int) -> Metrics:
            for group in optimizer.param_groups:
                group["lr"] = self.config.lr_in(number)
            order = generator(STAGE, self.config.seed, number).permutation(sorted(events)).tolist()
            return self._epoch(order, wanted, optimizer)

        epochs = Epochs(self.network, optimizer, state, metrics, (STAGE, self.config.seed))
        validation = Validation(lambda: agreement(self.propose(sorted(val)), val)) if val else None
        epochs.run(self.config.epochs, epoch, validation)

    def propose(self, videos: list[str]) -> dict[str, list[Proposal]]:
        """Proposals of each video, at least one."""
        proposals: dict[str, list[Proposal]] = {}
        progress = Progress("videos", len(videos))
        for group in batches(videos, self.config.batch_size):
            proposals |= zip(group, self.learner.propose(group), strict=True)
            progress.step(len(group))
        return proposals

    def _epoch(self, order: list[str], wanted: Mapping[str, Times], optimizer: torch.optim.Optimizer) -> Metrics:
        """One pass over the videos; gives the means of the losses."""
        self.network.train()
        steps: list[dict[str, float]] = []
        for group in itertools.islice(batches(order, self.config.batch_size), self.config.steps_per_epoch):
            losses = self.learner.losses({video: wanted[video] for video in group})
            optimizer.zero_grad()
            losses["loss"].backward()
            optimizer.step()
            steps.append({name: loss.item() for name, loss in losses.items()})
        return {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}


def write_annotated(config: GroundTruth, corpus: Path, output: Path) -> None:
    """Write the annotated events."""
    proposals = annotated_events(Corpus.open(corpus), config.annotator)
    if not proposals:
        raise PipelineError(f"{corpus}: no video that is there has captions; there are no events to propose")
    write_proposals(output, proposals, {"used": False, "details": ""})
    record(output, STAGE, config, [corpus])


def write_given(config: File, corpus: Path, output: Path) -> None:
    """Write the proposals of a file, within their videos, and beside them what was wrong with it.

    Raises:
        PipelineError: the file is absent or malformed, or nothing in it fits the corpus.
    """
    path = Path(config.path)
    durations = {row["video"]: row["duration"] for row in Corpus.open(corpus).videos}
    proposals, rejects = admit(read_given(path, config.score), durations, path.name)
    for reason, count in sorted(Counter(row["reason"] for row in rejects).items()):
        logging.info("%s: %d x %s", path, count, reason)
    if not proposals:
        raise PipelineError(f"{path}: no proposal fits a video of {corpus}; are these its videos, in seconds?")
    write_table(output.with_name(f"{output.stem}.rejects.parquet"), rejects, REJECTS)
    write_proposals(output, proposals, {"used": True, "details": f"proposals {path.name}, made elsewhere"})
    record(output, STAGE, config, [corpus, path])


def write_learned(config: Learned, corpus: Path, folder: Path, state_folder: Path, output: Path) -> None:
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
    elif kind == "file":
        write_given(read_config(args.config, File, STAGE), args.corpus, args.output)
    else:
        section = Bmn if kind == "bmn" else Boundary
        write_learned(read_config(args.config, section, STAGE), args.corpus, args.features, args.state, args.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
