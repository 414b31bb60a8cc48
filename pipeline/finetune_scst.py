r"""Finetune an event captioner by self-critical training with METEOR as reward (section 2).

In: the corpus (events and captions of the splits `train` and `enlarged`, for selection those of `val`), clip
features, a captioner from `train_captioner`, whose features and vocabulary are taken over; proposals, if it is to learn
from them.
Out: as `train_captioner`. The weights it starts from are a candidate for selection too (epoch 0).

A run that is stopped goes on after its last epoch, as if it had not been stopped.

Alone:
    python -m pipeline.finetune_scst --config '{"epochs": 1, "batch_videos": 16}' --seed 0 \
        --corpus results/demo/corpus/manifest.json --features results/demo/features \
        --captioner results/demo/captioners/sa_tsp/0/xe/manifest.json --state /tmp/state \
        --output /tmp/scst/manifest.json
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipeline.captioning.bundle import METRICS, Trained, cut_short, load_captioner, save_captioner
from pipeline.captioning.data import Batch, sentences_of
from pipeline.captioning.proposal_bounds import check_inside
from pipeline.captioning.proposal_sampling import Proposed
from pipeline.captioning.reward_workers import Counter, Crew
from pipeline.captioning.rewards import Rewards, Strings
from pipeline.captioning.scst import self_critical
from pipeline.captioning.trainer import Course, selection_events, training_events
from pipeline.captioning.validation import Judge, bad_endings, validate
from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.finetune_scst import FinetuneScst
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.cider_d import CiderD
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.tokenizer import tokenize
from pipeline.features.combined import Features
from pipeline.localization.proposals import Proposal, read_proposals
from pipeline.provenance.record import record
from pipeline.training.checkpoints import TrainingState
from pipeline.training.device import pick
from pipeline.features.cache import ClipCache
from pipeline.training.seeds import generator
from pipeline.training.trainer import Epochs, Selected, Validation, identity

STAGE = "finetune_scst"
ANNOTATED = "gt"
"""What the config calls the annotated times; there is no file of them to be read."""


def finetune(
    config: FinetuneScst,
    seed: int,
    corpus: Corpus,
    features: Features,
    trained: Trained,
    proposals: Mapping[str, Sequence[Proposal]] | None,
    state: TrainingState,
    metrics: Path,
) -> Selected:
    """Finetune a captioner, in place.

    Args:
        config: the section.
        seed: of samples, proposals and order.
        corpus: whose events it learns from.
        features: that it reads.
        trained: the captioner.
        proposals: by video; None trains at annotated times.
        state: of the run.
        metrics: file of metrics.

    Returns:
        The weights that were selected.

    Raises:
        PipelineError: nothing to train on, or nothing to select with; no proposal overlaps an event.
    """
    captioner, vocabulary = trained.captioner, trained.vocabulary
    events = training_events(corpus, config.splits, features)
    val = selection_events(corpus, features, STAGE) if config.selection == "meteor" else []
    cache = ClipCache(features, config.cache_gb)
    captioner.to(pick(config.device))
    optimizer = torch.optim.Adam(captioner.parameters(), lr=config.lr)
    proposed = Proposed(events, proposals) if proposals is not None else None
    if proposed and proposed.alone == len(sentences_of(events)):
        raise PipelineError(
            f"{STAGE}: proposals: {config.proposals}: none of them overlaps an event of {' or '.join(config.splits)}; "
            "are they of these videos, in seconds?"
        )
    drawn = config.event_sequences if proposed else 1
    limits = (config.batch_videos * drawn, config.clip_gradient, config.steps_per_epoch)
    course = Course(captioner, optimizer, events, cache, *limits)
    logging.info("%d sequences of %d events", len(events), len(sentences_of(events)))

    with Meteor() as meteor:
        judge = Judge(meteor.score, tokenize, vocabulary, sentences_of([*events, *val]))
        with rewarding(config, trained, judge, sentences_of(events), meteor) as rewards:

            def step(batch: Batch, sentences: list[str]) -> tuple[Tensor, dict[str, float]]:
                made = self_critical(
                    captioner,
                    batch,
                    sentences,
                    rewards,
                    temperature=config.temperature,
                    baseline=config.baseline,
                    samples=config.samples,
                )
                return made.loss, {
                    "loss": made.loss.item(),
                    "reward_sampled": made.sampled,
                    **({} if made.greedy is None else {"reward_greedy": made.greedy}),
                    "bad_endings_sampled": bad_endings(made.captions, vocabulary),
                    "unended_sampled": made.unended,
                }

            def epoch(number: int) -> dict[str, float]:
                for group in optimizer.param_groups:
                    group["lr"] = config.lr * config.lr_decay ** ((number - 1) // config.lr_decay_every)
                if proposed:
                    course.sequences = proposed.draw(drawn, generator(STAGE, seed, number, "proposals"))
                order = generator(STAGE, seed, number).permutation(len(events)).tolist()
                # Without dropout: what is praised is then the captioner that is to caption. With it, samples are much
                # worse than the greedy captions they are measured by, and there is little to praise.
                return course.one_pass(
                    [index * drawn + copy for index in order for copy in range(drawn)], step, dropout=False
                )

            measure = partial(validate, captioner, val, cache, judge, vocabulary)
            validation = Validation(measure, config.evaluate_every, select="meteor", before=True) if val else None
            return Epochs(captioner, optimizer, state, metrics, (STAGE, seed)).run(config.epochs, epoch, validation)


@contextlib.contextmanager
def rewarding(
    config: FinetuneScst, trained: Trained, judge: Judge, sentences: Sequence[str], meteor: Meteor
) -> Iterator[Rewards]:
    """Rewards as the config wants them, and the processes that compute them.

    Args:
        config: the section.
        trained: whose captions are rewarded.
        judge: knows the tokens of all words and sentences.
        sentences: of all training events.
        meteor: computes the rewards where no other process does.
    """
    if config.reward_strings == "words":
        strings = Strings.of_words(judge)
    else:
        strings = Strings.of_indices(trained.vocabulary, sentences, trained.captioner.architecture.max_words)
    texts = [*strings.tokens, *strings.references.values()]
    cider_d = CiderD(strings.references[sentence] for sentence in sentences) if config.reward.cider_d else None
    opened = Meteor if config.reward_workers else lambda: meteor
    counter = Counter(opened if config.reward.meteor else None, cider_d, texts)
    with Crew(counter, config.reward_workers) as crew:
        yield Rewards(strings, config.reward, crew.ask)


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, FinetuneScst, STAGE)
    arguments.add_argument("--seed", type=int, default=0, help="of the samples and the order of training")
    arguments.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--captioner", type=Path, required=True, help="manifest of the captioner to start from")
    arguments.add_argument("--proposals", type=Path, help=f"file of proposals, unless `proposals` is {ANNOTATED}")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the training state")
    arguments.add_argument("--output", type=Path, required=True, help="the captioner's manifest to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, FinetuneScst, STAGE)
    if (args.proposals is None) != (config.proposals == ANNOTATED):
        raise PipelineError(
            f"{STAGE}: proposals: {config.proposals} "
            + ("needs --proposals, the file of that entry" if args.proposals is None else "reads no --proposals")
        )

    corpus = Corpus.open(args.corpus)
    trained = load_captioner(args.captioner)
    features = trained.open(args.features, corpus.manifest.facts["shards"])
    inputs = [args.corpus, *features.manifests, args.captioner, *([args.proposals] if args.proposals else [])]
    proposals = read_proposals(args.proposals) if args.proposals else None
    if proposals:
        shown = {video: found for video, found in proposals.items() if found and video in features.videos}
        check_inside(shown, corpus, features, args.proposals)
    state = TrainingState(args.state, identity(STAGE, config, inputs, seed=args.seed))
    metrics = args.output.with_name(METRICS)
    selected = finetune(config, args.seed, corpus, features, trained, proposals, state, metrics)
    facts = {
        "stage": STAGE,
        "features": trained.features,
        "combination": features.facts(),
        "seed": args.seed,
        "started_from_epoch": trained.epoch,
    }
    facts |= cut_short(config.steps_per_epoch)
    save_captioner(args.output, trained.captioner, trained.words, selected, facts)
    record(args.output, STAGE, config, inputs)
    state.clear()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
