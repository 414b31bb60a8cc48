r"""Pretrain a clip encoder: TSP, and with concepts SA-TSP (equation 1).

In:  the corpus, the re-encoded videos, the concepts; global features, where the region head is to see them.
Out: a manifest vouching for model.safetensors (encoder and heads), config.json (settings, labels, concepts),
     metrics.jsonl (a line per epoch), dropped.parquet (videos that nothing was learned from, and why); beside it
     card.md (what the encoder is, how good, what it cost).

Training uses the videos of split `train`; after each epoch the split `val` is looked at, and the epoch with
the best mean score of the heads is kept (the last one, if `val` holds no clips). The state folder lets a run
that was interrupted, killed at any moment even, go on where it last saved, with the result of an undisturbed run.

    python -m pipeline.pretrain_encoder --name sa_tsp \
        --config '{"architecture": "r2plus1d_narrow", "initial_weights": null, "freeze_stem": false, "epochs": 1}' \
        --corpus results/demo/corpus/manifest.json --videos results/demo/video \
        --concepts results/demo/concepts.json --state /tmp/state --output /tmp/sa_tsp/manifest.json

With `replicas` 8 in the config, `torchrun --standalone --nproc_per_node 8 -m pipeline.pretrain_encoder ...` shares
the eight parts of a step among eight GPUs; one GPU computes the same, one part after another.
"""

import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.datasets.corpus import REJECTS, Corpus
from pipeline.encoders.card import Made, card
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.concept_labels import read_concepts
from pipeline.encoders.data import Data, gather
from pipeline.encoders.initial import load_initial
from pipeline.encoders.loader import Loader, readers_told
from pipeline.encoders.model import PretrainingModel, write_model
from pipeline.encoders.registry import weight_file
from pipeline.encoders.trainer import Fitting, optimiser
from pipeline.errors import PipelineError
from pipeline.features.pooled import Globals
from pipeline.io.atomic import sha256, write_text
from pipeline.io.tables import write_table
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import record
from pipeline.training.checkpoints import FollowedState, TrainingState
from pipeline.training.device import described, pick
from pipeline.training.distributed import Group, joined
from pipeline.training.lr_sweep import Search
from pipeline.training.precision import prepared
from pipeline.training.seeds import seed_all
from pipeline.training.trainer import Epochs, Validation, copy_of, identity
from pipeline.video.shard import Videos

STAGE = "pretrain_encoder"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = parser(__doc__)
    add_config(arguments, PretrainEncoder, STAGE)
    arguments.add_argument("--name", required=True, help="of the encoder, for its card")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the shards of re-encoded videos")
    arguments.add_argument("--concepts", type=Path, required=True, help="concepts.json (not read if beta is 0)")
    arguments.add_argument("--globals", type=Path, nargs="*", default=[], help="manifest of the global features")
    arguments.add_argument("--state", type=Path, required=True, help="folder for the state of an unfinished run")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write, payloads beside it")
    args = arguments.parse_args(argv)
    config = read_config(args.config, PretrainEncoder, STAGE)
    corpus = Corpus.open(args.corpus)
    videos = Videos.open(args.videos, corpus.manifest.facts["shards"])
    concepts = read_concepts(args.concepts) if config.beta > 0 else []
    known = read_globals(args.globals, config)
    data = gather(corpus, videos.rows, config, concepts, known)
    model = initial(config, data, known.dim if known else 0)
    inputs = [args.corpus, *videos.manifests]
    inputs += [args.concepts] if concepts else []
    inputs += args.globals
    inputs += [weight_file(config.initial_weights)] if config.initial_weights else []
    with joined(pick(config.device)) as (group, device):
        if config.replicas % group.world:
            raise PipelineError(
                f"pretrain_encoder.replicas {config.replicas} cannot be shared by {group.world} processes"
            )
        if group.first:
            state = TrainingState(args.state, identity(STAGE, config, inputs))
        group.wait()
        if not group.first:
            state = FollowedState(args.state)
        metrics = args.output.parent / "metrics.jsonl" if group.first else None
        loader = load(data, config, known, device)
        begun = config.epochs > 0
        with readers_told():
            best, seconds = pretrain(model, data, config, state, metrics, group, loader) if begun else ({}, 0.0)
    if not group.first:
        return 0
    if not config.epochs:
        write_text(args.output.parent / "metrics.jsonl", "")
    made = Made(seconds, described(device, group.world), [*data.dropped, *loader.rows()])
    publish(args.output, args.name, model, config, data, best, made)
    record(args.output, STAGE, config, inputs)
    state.clear()
    return 0


def read_globals(manifests: list[Path], config: PretrainEncoder) -> Globals | None:
    """The global features, where config asks for them.

    Raises:
        PipelineError: they are asked for but not given, or damaged.
    """
    if config.global_feature is None:
        return None
    if len(manifests) != 1:
        raise PipelineError(f"--globals: give the manifest of the global features of {config.global_feature.feature}")
    return Globals.open(manifests[0])


def initial(config: PretrainEncoder, data: Data, global_dim: int) -> PretrainingModel:
    """The model before training.

    Raises:
        PipelineError: initial weights that are absent, damaged or of another architecture.
    """
    seed_all(STAGE, config.seed, "weights")
    model = PretrainingModel(config, len(data.labels), len(data.concepts), global_dim)
    if config.initial_weights:
        weights = weight_file(config.initial_weights)
        load_initial(weights, model.encoder, model.heads if config.keep_heads else None)
    return model


def load(data: Data, config: PretrainEncoder, known: Globals | None, device: torch.device) -> Loader:
    """What reads the clips: files now and then, or once, into memory; and the global features of their videos."""
    reader = ClipReader(data.rows, config.clip)
    if config.cache_gb > 0 and config.epochs:
        reader.cache(data.videos_by_use(), int(config.cache_gb * 1e9), threads=max(1, config.workers))
    if known is None or config.global_feature is None:
        return Loader(reader, config.clip, device, config.workers)
    pooled = torch.from_numpy(known.pooled(config.global_feature.pool))
    return Loader(reader, config.clip, device, config.workers, known.videos, pooled)


def pretrain(
    model: PretrainingModel,
    data: Data,
    config: PretrainEncoder,
    state: TrainingState,
    metrics: Path | None,
    group: Group,
    loader: Loader,
) -> tuple[dict[str, Any], float]:
    """Train the model, from the newest state if there is one; it then holds the chosen epoch's weights.

    Args:
        model: as it begins.
        data: segments and labels.
        config: how.
        state: where an unfinished run keeps what it needs to go on.
        metrics: the file of metrics, in the first process.
        group: the processes that train.
        loader: of the clips, onto this process's device.

    Returns:
        the metrics of the chosen epoch, and the seconds that training took.

    Raises:
        PipelineError: a clip that cannot be read, a loss that is not finite, or rates and nothing to choose them by.
    """
    prepared(model, loader.device, channels_last=config.channels_last, compiled=config.compile)
    looked_at = data.validation(config)
    if not looked_at:
        if len(config.head_lr) > 1:
            raise PipelineError(
                f"{STAGE}.head_lr: {len(config.head_lr)} rates, but split val holds no clips to choose by"
            )
        logging.warning("split val holds no clips: the last epoch is kept, and nothing says how good it is")
    look = Validation(lambda: fitting.validate(looked_at), select="val_score") if looked_at else None
    search, start = Search(state, loader.unreadable), copy_of(model)
    for rate in config.head_lr[search.number :]:
        model.load_state_dict(start)
        fitting = Fitting(
            model, optimiser(model, config, rate), config, len(data.concepts), loader, loader.device, group
        )
        seeds = (STAGE, config.seed, "epoch")
        epochs = Epochs(model, fitting.optimiser, search, metrics, seeds, search.rows)
        train = partial(one_epoch, fitting, data, epochs, {"head_lr": rate} if len(config.head_lr) > 1 else {})
        search.close(epochs.run(config.epochs, train, look), epochs.log.rows, epochs.seconds)
    weights, best = search.best
    model.load_state_dict(weights)
    return best, search.seconds


def one_epoch(fitting: Fitting, data: Data, epochs: Epochs, told: dict[str, float], number: int) -> dict[str, float]:
    """Train one epoch.

    Args:
        fitting: how.
        data: what its clips are drawn from.
        epochs: the run that it belongs to.
        told: what else its metrics tell.
        number: of the epoch, from 1.
    """
    samples = data.epoch(number, fitting.config)
    began = time.monotonic()
    found = fitting.train(number, samples, epochs.within)
    took = time.monotonic() - began
    logging.info("epoch %d of %d: %.0f clips/s", number, fitting.config.epochs, len(samples) / took)
    return {**told, **found}


def publish(
    output: Path,
    name: str,
    model: PretrainingModel,
    config: PretrainEncoder,
    data: Data,
    best: dict[str, Any],
    made: Made,
) -> None:
    """Write the payloads, the card and, last, the manifest.

    Args:
        output: the manifest.
        name: of the encoder.
        model: with the chosen weights.
        config: what it was trained with.
        data: what it was trained on.
        best: metrics of the chosen epoch.
        made: how it was made.
    """
    words = [concept.word for concept in data.concepts]
    files = write_model(output.parent, model, config, labels=data.labels, concepts=words)
    facts = {
        "architecture": config.architecture,
        "dim": model.encoder.dim,
        "clip": config.clip.model_dump(mode="json"),
        "labels": data.labels,
        "concepts": len(words),
        "best": best,
    }
    dropped = output.parent / "dropped.parquet"
    write_table(dropped, made.unused, REJECTS)
    write_text(output.parent / "card.md", card(name, config, data, facts, sha256(files[0]), made))
    write_manifest(output, [*files, dropped, output.parent / "metrics.jsonl"], facts)


if __name__ == "__main__":
    raise SystemExit(main())
