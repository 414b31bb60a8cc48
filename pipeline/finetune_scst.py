r"""Finetune a captioner by self-critical training, with METEOR as reward (section 2 of the paper).

In: the corpus (events and captions of `splits`; the split `val` to select an epoch), features, a captioner of
`train_captioner`, which decides features and vocabulary; proposals, if it is to be trained on them.
Out: as `train_captioner`. The weights that it starts from can be selected too (epoch 0).

A run that was stopped continues after its last epoch, with the same result.

Run it alone:
    python -m pipeline.finetune_scst --config '{"epochs": 1, "batch_videos": 16}' --seed 0 \
        --corpus results/demo/corpus/manifest.json --features results/demo/features \
        --captioner results/demo/captioners/sa_tsp/0/xe/manifest.json --state /tmp/state \
        --output /tmp/scst/manifest.json
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipeline.captioning.bundle import (
    METRICS,
    CaptionerBundle,
    load_captioner,
    rehearsal_note,
    save_captioner,
    word_vectors_note,
)
from pipeline.captioning.caption_scorer import CaptionScorer
from pipeline.captioning.event_sequences import check_proposal_ends, sentences_of
from pipeline.captioning.rewards import RewardFunction, RewardTokenizer
from pipeline.captioning.scst import ProposalSampler, scst_step
from pipeline.captioning.shared_training import (
    CaptionerTrainer,
    bad_ending_share,
    training_sequences,
    validate,
    validation_sequences,
)
from pipeline.captioning.streams import EventBatch, EventSequence, StreamCache
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.finetune_scst import FinetuneScst
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.tokenizer import tokenize
from pipeline.features.streams import FeatureStreams
from pipeline.localization.proposals import Proposal, read_proposals
from pipeline.provenance.computation import Computation
from pipeline.training.checkpoints import CheckpointManager, open_checkpoints
from pipeline.training.device import resolve_device
from pipeline.training.seeds import numpy_generator
from pipeline.training.training_loop import BestCheckpoint, TrainingLoop, ValidationPlan

STAGE = "finetune_scst"
ANNOTATED = "gt"
"""Value of `proposals` for the annotated times; no file is read for it."""


def finetune(
    config: FinetuneScst,
    seed: int,
    corpus: Corpus,
    features: FeatureStreams,
    bundle: CaptionerBundle,
    proposals: Mapping[str, Sequence[Proposal]] | None,
    checkpoints: CheckpointManager,
    metrics: Path,
) -> BestCheckpoint:
    """Finetune a captioner in place.

    Args:
        config: the section.
        seed: seed of samples, proposals and data order.
        corpus: the corpus.
        features: the features that the captioner reads.
        bundle: the captioner to start from.
        proposals: proposals by video; None: train at the annotated times.
        checkpoints: the state of a stopped run.
        metrics: file of metrics to write.

    Returns:
        the selected weights.

    Raises:
        PipelineError: no sequences to train on or to select with; no proposal overlaps an event.
    """
    captioner, vocabulary = bundle.captioner, bundle.vocabulary
    sequences = training_sequences(corpus, config.splits, features)
    val = validation_sequences(corpus, features, STAGE) if config.selection == "meteor" else []
    cache = StreamCache(features, config.cache_gb)
    captioner.to(resolve_device(config.device))
    optimizer = torch.optim.Adam(captioner.parameters(), lr=config.lr)
    sampler = ProposalSampler(sequences, proposals) if proposals is not None else None
    if sampler and sampler.num_unmatched == len(sentences_of(sequences)):
        raise PipelineError(
            f"{STAGE}: proposals: {config.proposals}: none of them overlaps an event of {' or '.join(config.splits)}; "
            "check that they are of these videos, with times in seconds"
        )
    copies = config.event_sequences if sampler else 1
    trainer = CaptionerTrainer(captioner, optimizer, sequences, cache, config, copies)
    logging.info("%d sequences of %d events", len(sequences), len(sentences_of(sequences)))

    with Meteor() as meteor:
        scorer = CaptionScorer(meteor.score, tokenize, vocabulary, sentences_of([*sequences, *val]))
        tokenizer = reward_tokenizer(config, bundle, scorer, sentences_of(sequences))
        reward = RewardFunction(tokenizer, config.reward, meteor, sentences_of(sequences))

        def step(batch: EventBatch, of_batch: list[EventSequence]) -> tuple[Tensor, dict[str, float]]:
            result = scst_step(
                captioner,
                batch,
                sentences_of(of_batch),
                reward,
                temperature=config.temperature,
                baseline=config.baseline,
                num_samples=config.samples,
            )
            return result.loss, {
                "loss": result.loss.item(),
                "reward_sampled": result.sampled_reward,
                **({} if result.greedy_reward is None else {"reward_greedy": result.greedy_reward}),
                "bad_endings_sampled": bad_ending_share(result.captions, vocabulary),
                "unended_sampled": result.unended_share,
            }

        def train_epoch(epoch: int) -> dict[str, float]:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate(epoch)
            if sampler:
                trainer.sequences = sampler.draw(copies, numpy_generator(STAGE, seed, epoch, "proposals"))
            order = numpy_generator(STAGE, seed, epoch).permutation(len(sequences)).tolist()
            # Without dropout, so that the rewards are those of the captioner that captions later. With dropout, samples
            # are much worse than the greedy captions of the baseline, and few of them are rewarded.
            return trainer.train_epoch(
                [index * copies + copy for index in order for copy in range(copies)], step, dropout=False
            )

        run = partial(validate, captioner, val, cache, scorer, vocabulary)
        validation = ValidationPlan(run, config.evaluate_every, metric="meteor", at_start=True) if val else None
        loop = TrainingLoop(captioner, optimizer, checkpoints, metrics, (STAGE, seed))
        return loop.run(config.epochs, train_epoch, validation)


def reward_tokenizer(
    config: FinetuneScst, bundle: CaptionerBundle, scorer: CaptionScorer, sentences: Sequence[str]
) -> RewardTokenizer:
    """Build the tokenizer of the rewards.

    Args:
        config: the section.
        bundle: the captioner.
        scorer: has the tokens of all words and sentences.
        sentences: the sentences of all training events.
    """
    if config.reward_strings == "words":
        return RewardTokenizer.from_words(scorer)
    return RewardTokenizer.from_ids(bundle.vocabulary, sentences, bundle.captioner.sizes.max_words)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, FinetuneScst, STAGE)
    arguments.add_argument("--seed", type=int, default=0, help="seed of the samples and of the data order")
    arguments.add_argument("--corpus", type=Path, required=True, help="corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--captioner", type=Path, required=True, help="manifest of the captioner to start from")
    arguments.add_argument("--proposals", type=Path, help=f"file of proposals; none if `proposals` is {ANNOTATED}")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the training state")
    arguments.add_argument("--output", type=Path, required=True, help="manifest of the captioner to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, FinetuneScst, STAGE)
    if (args.proposals is None) != (config.proposals == ANNOTATED):
        problem = "needs --proposals, the file of that entry" if args.proposals is None else "reads no --proposals"
        raise PipelineError(f"{STAGE}: proposals: {config.proposals} {problem}")

    corpus = Corpus.open(args.corpus)
    bundle = load_captioner(args.captioner)
    features = bundle.open_features(args.features, corpus.num_shards)
    inputs = [args.corpus, *features.manifests, args.captioner, *([args.proposals] if args.proposals else [])]
    proposals = read_proposals(args.proposals) if args.proposals else None
    if proposals:
        durations = features.durations
        with_features = {video: of_video for video, of_video in proposals.items() if of_video and video in durations}
        check_proposal_ends(with_features, corpus, durations, args.proposals)
    computation = Computation(STAGE, config, inputs, [args.output], seed=args.seed)
    checkpoints = open_checkpoints(args.state, computation)
    if checkpoints is None:
        return 0
    metrics = args.output.with_name(METRICS)
    selected = finetune(config, args.seed, corpus, features, bundle, proposals, checkpoints, metrics)
    metadata = {
        "stage": STAGE,
        "features": bundle.features,
        "combination": features.metadata(),
        "seed": args.seed,
        "started_from_epoch": bundle.epoch,
        **word_vectors_note(bundle.word_vectors),
        **rehearsal_note(config.steps_per_epoch),
    }
    save_captioner(args.output, bundle.captioner, bundle.vocabulary_path, selected, metadata, bundle.attributes)
    computation.keep_outputs()
    checkpoints.clear()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
