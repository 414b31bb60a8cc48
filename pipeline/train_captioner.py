r"""Train a captioner by cross-entropy (sections 1 and 1.4 of the paper).

In: the corpus (events and captions of `splits`; the split `val` to select an epoch), features, the caption vocabulary.
Out, in the folder of the manifest: model.safetensors, config.json, vocabulary.json, metrics.jsonl, card.md. The
manifest's metadata lists architecture, features, vocabulary digest, seed, the selected epoch and its METEOR on `val`.

A run that was stopped continues after its last epoch, with the same result.

Run it alone:
    python -m pipeline.train_captioner --config '{"features": ["sa_tsp"], "epochs": 2, "selection": "last"}' \
        --seed 0 --corpus results/demo/corpus/manifest.json --features results/demo/features \
        --vocabulary results/demo/vocabulary.json --state /tmp/state --output /tmp/captioner/manifest.json
"""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipeline.captioning.attributes.attribute_list import AttributeList, find_attributes
from pipeline.captioning.base import Captioner, CaptionerSizes, WordVectorsNote
from pipeline.captioning.bundle import (
    METRICS,
    CaptionerBundle,
    count_parameters,
    load_captioner,
    rehearsal_note,
    save_captioner,
    word_vectors_note,
)
from pipeline.captioning.caption_scorer import CaptionScorer
from pipeline.captioning.event_sequences import sentences_of
from pipeline.captioning.shared_training import (
    CaptionerTrainer,
    training_sequences,
    validate,
    validation_sequences,
)
from pipeline.captioning.streams import EventBatch, EventSequence, StreamCache
from pipeline.captioning.targets import TargetEncoder
from pipeline.config.captioners import CAPTIONERS
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.train_captioner import CaptionerEntry, CrossEntropySettings
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import Vocabulary, count_vocabulary, write_vocabulary
from pipeline.errors import PipelineError
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.tokenizer import tokenize
from pipeline.features.streams import FeatureStreams
from pipeline.provenance.computation import Computation
from pipeline.training.checkpoints import CheckpointManager, open_checkpoints
from pipeline.training.device import resolve_device
from pipeline.training.seeds import numpy_generator, seed_all
from pipeline.training.training_loop import BestCheckpoint, TrainingLoop, ValidationPlan

STAGE = "train_captioner"


@dataclass(frozen=True)
class TrainedCaptioner:
    """A captioner after its training.

    Attributes:
        captioner: the captioner, with the weights of the last epoch.
        checkpoint: the selected weights.
        word_vectors: what the card says about word vectors.
        attributes: the attributes that it predicts; None: none.
    """

    captioner: Captioner
    checkpoint: BestCheckpoint
    word_vectors: WordVectorsNote
    attributes: AttributeList | None


def train(
    config: CrossEntropySettings,
    seed: int,
    corpus: Corpus,
    features: FeatureStreams,
    vocabulary: Vocabulary,
    checkpoints: CheckpointManager,
    metrics: Path,
    teacher: CaptionerBundle | None = None,
) -> TrainedCaptioner:
    """Train a captioner.

    Args:
        config: settings of the captioner and its training.
        seed: seed for weight initialisation and data order.
        corpus: the corpus.
        features: the features that the captioner reads.
        vocabulary: the vocabulary of its captions.
        checkpoints: the state of a stopped run.
        metrics: file of metrics to write.
        teacher: the teacher, if the settings name one.

    Raises:
        PipelineError: no sequences to train on or to select with; the vocabulary is of other sentences; word vectors
            cannot be read; no word can be an attribute; the teacher is of another kind, size or vocabulary.
    """
    sequences = training_sequences(corpus, config.splits, features)
    _check_vocabulary(vocabulary, sentences_of(sequences), config.splits)
    settings, attributes = config.architecture_settings, None
    if settings.num_attributes:
        attributes = find_attributes(sentences_of(sequences), vocabulary, settings.num_attributes)
    targets = TargetEncoder(sequences, vocabulary, config.max_words, attributes)
    cache = StreamCache(features, config.cache_gb)
    seed_all(STAGE, seed, "weights")
    num_attributes = len(attributes.words) if attributes else 0
    sizes = CaptionerSizes(features.dims, vocabulary.size, config.max_words, num_attributes)
    captioner: Captioner = CAPTIONERS[config.architecture].load()(sizes, settings)
    word_vectors = captioner.initialize_words(vocabulary.words)
    captioner.fit_feature_norms(cache.read_streams(list(dict.fromkeys(sequence.video for sequence in sequences))))
    if teacher is not None:
        _check_teacher(teacher, vocabulary)
        captioner.start_from_teacher(teacher.captioner)
    captioner.to(resolve_device(config.device))
    optimizer = torch.optim.Adam(captioner.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    trainer = CaptionerTrainer(captioner, optimizer, sequences, cache, config)
    logging.info(
        "%d sequences of %d events, %s channels, %d words, %d parameters",
        len(sequences),
        len(sentences_of(sequences)),
        " + ".join(map(str, features.dims.values())),
        vocabulary.size,
        count_parameters(captioner),
    )

    def train_epoch(epoch: int) -> dict[str, float]:
        sampling_prob = config.sampling_prob(epoch)

        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate(epoch)

        def step(batch: EventBatch, of_batch: list[EventSequence]) -> tuple[Tensor, dict[str, float]]:
            device = batch.sequence_index.device
            losses = captioner.compute_losses(batch, targets.encode(of_batch).to(device), sampling_prob)
            loss = torch.stack(list(losses.values())).sum()
            terms = {f"loss_{name}": term.item() for name, term in losses.items()} if len(losses) > 1 else {}
            return loss, {"loss": loss.item(), **terms}

        order = numpy_generator(STAGE, seed, epoch).permutation(len(sequences)).tolist()
        return trainer.train_epoch(order, step, dropout=True)

    with contextlib.ExitStack() as stack:
        validation = None
        if config.selection == "meteor":
            val = validation_sequences(corpus, features, STAGE)
            meteor = stack.enter_context(Meteor())
            scorer = CaptionScorer(meteor.score, tokenize, vocabulary, sentences_of(val))
            run = partial(validate, captioner, val, cache, scorer, vocabulary)
            validation = ValidationPlan(run, config.evaluate_every, metric="meteor")
        loop = TrainingLoop(captioner, optimizer, checkpoints, metrics, (STAGE, seed))
        return TrainedCaptioner(captioner, loop.run(config.epochs, train_epoch, validation), word_vectors, attributes)


def _check_teacher(teacher: CaptionerBundle, vocabulary: Vocabulary) -> None:
    if teacher.vocabulary.digest != vocabulary.digest:
        raise PipelineError(
            f"{teacher.vocabulary_path}: the vocabulary of the teacher (digest {teacher.vocabulary.digest}) is not "
            f"that of this training (digest {vocabulary.digest}); train the teacher with the same vocabulary"
        )


def _open_vocabulary(
    entry: CrossEntropySettings, path: Path, corpus: Corpus, features: FeatureStreams, output: Path
) -> Path:
    """Return the file of the captioner's vocabulary: `path`, or `output` if the captioner counts its own."""
    if entry.vocabulary is None:
        return path
    sentences = sentences_of(training_sequences(corpus, entry.splits, features))
    words = count_vocabulary(sentences, entry.vocabulary.min_count, entry.vocabulary.word_split)
    write_vocabulary(output, words, entry.vocabulary.min_count, entry.vocabulary.word_split)
    return output


def _check_vocabulary(vocabulary: Vocabulary, sentences: Sequence[str], splits: Sequence[str]) -> None:
    share = vocabulary.coverage(sentences)
    if not share:
        raise PipelineError(
            f"--vocabulary: none of its {len(vocabulary.words)} words (digest {vocabulary.digest}) is in any sentence "
            f"of {' or '.join(splits)}; make it from this corpus, with mine_concepts"
        )
    logging.info("the vocabulary holds %.1f %% of the words of training sentences", 100 * share)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, CaptionerEntry, STAGE)
    arguments.add_argument("--seed", type=int, default=0, help="seed for weight initialisation and data order")
    arguments.add_argument("--corpus", type=Path, required=True, help="corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--vocabulary", type=Path, required=True, help="caption vocabulary")
    arguments.add_argument("--teacher", type=Path, help="manifest of the teacher, if the settings name one")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the training state")
    arguments.add_argument("--output", type=Path, required=True, help="manifest of the captioner to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, CaptionerEntry, STAGE)
    entry = config.root
    if (args.teacher is None) != (entry.architecture_settings.teacher_name is None):
        problem = "reads no --teacher" if args.teacher else "needs --teacher, the manifest of its teacher"
        raise PipelineError(f"{STAGE}: architecture {entry.architecture} {problem}")

    corpus = Corpus.open(args.corpus)
    features = FeatureStreams.open(
        args.features, entry.streams, corpus.num_shards, align=entry.align, missing=entry.missing
    )
    inputs = [args.corpus, *features.manifests, args.vocabulary, *map(Path, entry.architecture_settings.input_files)]
    inputs += [args.teacher] if args.teacher else []
    computation = Computation(STAGE, config, inputs, [args.output], seed=args.seed)
    checkpoints = open_checkpoints(args.state, computation)
    if checkpoints is None:
        return 0
    metrics = args.output.with_name(METRICS)
    vocabulary_path = _open_vocabulary(
        entry, args.vocabulary, corpus, features, args.output.with_name("vocabulary.json")
    )
    vocabulary = Vocabulary.read(vocabulary_path)
    teacher = load_captioner(args.teacher) if args.teacher else None
    trained = train(entry, args.seed, corpus, features, vocabulary, checkpoints, metrics, teacher)
    metadata = {
        "stage": STAGE,
        "features": entry.features,
        "combination": features.metadata(),
        "seed": args.seed,
        **word_vectors_note(trained.word_vectors),
        **rehearsal_note(entry.steps_per_epoch),
    }
    save_captioner(args.output, trained.captioner, vocabulary_path, trained.checkpoint, metadata, trained.attributes)
    computation.keep_outputs()
    checkpoints.clear()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
