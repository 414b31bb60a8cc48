r"""Train an event captioner by cross-entropy (sections 1 and 1.4).

In: the corpus (events and captions of `splits`, for selection those of the split `val`), clip features, the
caption vocabulary.
Out, beside the manifest: model.safetensors, config.json, vocabulary.json, metrics.jsonl, card.md. Facts:
architecture, features, vocabulary digest, seed, selected epoch and its METEOR on `val`.

A run that is stopped goes on after its last epoch, as if it had not been stopped.

Alone:
    python -m pipeline.train_captioner --config '{"features": ["sa_tsp"], "epochs": 2, "selection": "last"}' \
        --seed 0 --corpus results/demo/corpus/manifest.json --features results/demo/features \
        --vocabulary results/demo/vocabulary.json --state /tmp/state --output /tmp/captioner/manifest.json
"""

import contextlib
import logging
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipeline.captioning.bundle import METRICS, cut_short, parameters, save_captioner
from pipeline.captioning.data import Batch, sentences_of, targets
from pipeline.captioning.event_captioner import Architecture, Captioner, cross_entropy
from pipeline.captioning.registry import named
from pipeline.captioning.trainer import Course, selection_events, training_events
from pipeline.captioning.validation import Judge, validate
from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.train_captioner import TrainCaptioner
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.errors import PipelineError
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.tokenizer import tokenize
from pipeline.features.combined import Features
from pipeline.provenance.record import record
from pipeline.training.checkpoints import TrainingState
from pipeline.training.device import pick
from pipeline.features.cache import ClipCache
from pipeline.training.seeds import generator, seed_all
from pipeline.training.trainer import Epochs, Selected, Validation, identity

STAGE = "train_captioner"


def train(
    config: TrainCaptioner,
    seed: int,
    corpus: Corpus,
    features: Features,
    vocabulary: Vocabulary,
    state: TrainingState,
    metrics: Path,
) -> tuple[Captioner, Selected]:
    """Train a captioner.

    Returns:
        The captioner, and the weights that were selected.

    Raises:
        PipelineError: nothing to train on, or nothing to select with; a vocabulary of other sentences.
    """
    events = training_events(corpus, config.splits, features)
    share = vocabulary.share_known(sentences_of(events))
    if not share:
        raise PipelineError(
            f"--vocabulary: none of its {len(vocabulary.words)} words (digest {vocabulary.digest}) is in any sentence "
            f"of {' or '.join(config.splits)}; make it from this corpus, with mine_concepts"
        )
    logging.info("the vocabulary holds %.1f %% of the words of training sentences", 100 * share)
    cache = ClipCache(features, config.cache_gb)
    seed_all(STAGE, seed, "weights")
    kind = named(config.architecture)
    captioner = kind(
        Architecture(
            features.dim,
            config.hidden,
            vocabulary.size,
            config.max_words,
            config.dropout,
            relations=config.relations,
            context=config.context,
        )
    )
    captioner.standardise.measure(cache.read(video) for video in dict.fromkeys(one.video for one in events))
    captioner.to(pick(config.device))
    optimizer = torch.optim.Adam(captioner.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    limits = (config.batch_videos, config.clip_gradient, config.steps_per_epoch)
    course = Course(captioner, optimizer, events, cache, *limits)
    logging.info(
        "%d sequences of %d events, %d channels, %d words, %d parameters",
        len(events),
        len(sentences_of(events)),
        features.dim,
        vocabulary.size,
        parameters(captioner),
    )

    def epoch(number: int) -> dict[str, float]:
        sampled = scheduled(config, number)

        def step(batch: Batch, sentences: list[str]) -> tuple[Tensor, dict[str, float]]:
            words = targets(sentences, vocabulary, config.max_words).to(batch.rows.device)
            loss = cross_entropy(captioner(batch, words, sampled), words)
            return loss, {"loss": loss.item()}

        order = generator(STAGE, seed, number).permutation(len(events)).tolist()
        return course.one_pass(order, step, dropout=True)

    with contextlib.ExitStack() as stack:
        validation = None
        if config.selection == "meteor":
            val = selection_events(corpus, features, STAGE)
            meteor = stack.enter_context(Meteor())
            judge = Judge(meteor.score, tokenize, vocabulary, sentences_of(val))
            measure = partial(validate, captioner, val, cache, judge, vocabulary)
            validation = Validation(measure, config.evaluate_every, select="meteor")
        epochs = Epochs(captioner, optimizer, state, metrics, (STAGE, seed))
        selected = epochs.run(config.epochs, epoch, validation)
    return captioner, selected


def scheduled(config: TrainCaptioner, epoch: int) -> float:
    """Share of words that are read as drawn in an epoch, counted from 1."""
    return config.scheduled_sampling * min(1.0, (epoch - 1) / config.scheduled_sampling_epochs)


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, TrainCaptioner, STAGE)
    arguments.add_argument("--seed", type=int, default=0, help="of the weights and the order of training")
    arguments.add_argument("--corpus", type=Path, required=True, help="the corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--vocabulary", type=Path, required=True, help="the caption vocabulary")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the training state")
    arguments.add_argument("--output", type=Path, required=True, help="the captioner's manifest to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, TrainCaptioner, STAGE)

    corpus = Corpus.open(args.corpus)
    shards = corpus.manifest.facts["shards"]
    features = Features.open(args.features, config.features, shards, align=config.align, missing=config.missing)
    vocabulary = Vocabulary.read(args.vocabulary)
    inputs = [args.corpus, *features.manifests, args.vocabulary]
    state = TrainingState(args.state, identity(STAGE, config, inputs, seed=args.seed))
    metrics = args.output.with_name(METRICS)
    captioner, selected = train(config, args.seed, corpus, features, vocabulary, state, metrics)
    facts = {"stage": STAGE, "features": config.features, "combination": features.facts(), "seed": args.seed}
    facts |= cut_short(config.steps_per_epoch)
    save_captioner(args.output, captioner, args.vocabulary, selected, facts)
    record(args.output, STAGE, config, inputs)
    state.clear()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
