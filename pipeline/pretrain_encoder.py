r"""Pretrain a clip encoder: TSP, or with concepts SA-TSP (Equation 1).

In:  the corpus; the re-encoded videos; the concepts, if a term of the loss needs them; pooled features of the videos,
     if the region head sees them.
Out: a manifest that lists model.safetensors (encoder and heads), config.json (settings, labels, concepts),
     metrics.jsonl (one line per epoch) and dropped.parquet (unused videos, with the reason); next to it card.md (what
     the encoder is, its metrics and its cost).

Training uses the split `train`. Each epoch is validated on the split `val`, and the epoch with the best `val_score` is
kept; without validation clips, the last epoch. A run that was interrupted, even killed, resumes from its last
checkpoint in `--state`, and its result equals that of an uninterrupted run.

    python -m pipeline.pretrain_encoder --name sa_tsp \
        --config '{"architecture": "r2plus1d_narrow", "initial_weights": null, "freeze_stem": false, "epochs": 1}' \
        --corpus results/demo/corpus/manifest.json --videos results/demo/video \
        --concepts results/demo/concepts.json --state /tmp/state --output /tmp/sa_tsp/manifest.json

With `accumulate_steps: 8`, `torchrun --standalone --nproc_per_node 8 -m pipeline.pretrain_encoder ...` shares the eight
micro-batches of a step among eight GPUs; one GPU computes the same, one micro-batch after another.
"""

import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.encoders import initial_weights_path
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.concepts import read_concepts
from pipeline.datasets.corpus import Corpus, RejectedVideo
from pipeline.encoders.clip_loader import ClipLoader, report_worker_deaths
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.model import PretrainingModel, write_model
from pipeline.encoders.model_card import TrainingSummary, build_card
from pipeline.encoders.pretraining_data import PretrainingData, build_pretraining_data
from pipeline.encoders.trainer import EncoderTrainer, build_optimizer
from pipeline.encoders.weight_files import load_initial_weights
from pipeline.errors import PipelineError
from pipeline.features.pooled import PooledVideoFeatures
from pipeline.io.atomic import sha256, write_text
from pipeline.io.tables import write_rows
from pipeline.provenance.computation import Computation
from pipeline.provenance.manifest import write_manifest
from pipeline.training.checkpoints import CheckpointManager, open_shared_checkpoints
from pipeline.training.device import device_summary, resolve_device
from pipeline.training.distributed import ProcessGroup, init_process_group
from pipeline.training.precision import to_device_inplace
from pipeline.training.seeds import seed_all
from pipeline.training.sweep_checkpoints import SweepCheckpoints
from pipeline.training.training_loop import TrainingLoop, ValidationPlan, cpu_state_dict
from pipeline.video.shard import ReencodedVideos

STAGE = "pretrain_encoder"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, EncoderEntry, STAGE)
    arguments.add_argument("--name", required=True, help="encoder name (shown on the model card)")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument(
        "--concepts", type=Path, required=True, help="concepts.json (read if a term of the loss needs concepts)"
    )
    arguments.add_argument(
        "--video-features", type=Path, nargs="*", default=[], help="manifest of the pooled features of the videos"
    )
    arguments.add_argument("--state", type=Path, required=True, help="folder of the checkpoints")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write; the files go next to it")
    args = arguments.parse_args(argv)
    config = read_config(args.config, EncoderEntry, STAGE)
    corpus = Corpus.open(args.corpus)
    videos = ReencodedVideos.open(args.videos, corpus.num_shards)
    concepts = read_concepts(args.concepts) if config.learns_concepts else []
    global_features = read_global_features(args.video_features, config)
    data = build_pretraining_data(corpus, videos.by_id, config, concepts, global_features)
    model = build_model(config, data, global_features.dim if global_features else 0)
    inputs = [args.corpus, *videos.manifests]
    inputs += [args.concepts] if concepts else []
    inputs += args.video_features
    inputs += [initial_weights_path(config.initial_weights)] if config.initial_weights else []
    computation = Computation(STAGE, config, inputs, [args.output], name=args.name)
    with init_process_group(resolve_device(config.device)) as (group, device):
        if config.accumulate_steps % group.world_size:
            raise PipelineError(
                f"{STAGE}.accumulate_steps {config.accumulate_steps} cannot be shared by {group.world_size} processes"
            )
        checkpoints = open_shared_checkpoints(args.state, computation, group)
        if checkpoints is None:
            return 0
        metrics = args.output.parent / "metrics.jsonl" if group.is_first else None
        reader = ClipReader(data.videos, config.clip)
        cache_videos(reader, data, config)
        loader = build_loader(reader, config, global_features, device)
        will_train = config.epochs > 0
        with report_worker_deaths():
            best, seconds = (
                pretrain(model, data, config, checkpoints, metrics, group, loader) if will_train else ({}, 0.0)
            )
    if not group.is_first:
        return 0
    if not will_train:
        write_text(args.output.parent / "metrics.jsonl", "")
    machine = device_summary(device, group.world_size)
    summary = TrainingSummary(seconds, machine, [*data.unused, *loader.rejects()])
    write_encoder(args.output, args.name, model, config, data, best, summary)
    computation.keep_outputs()
    checkpoints.clear()
    return 0


def read_global_features(manifests: list[Path], config: EncoderEntry) -> PooledVideoFeatures | None:
    """Read the pooled features of the videos, if the region head sees them.

    Raises:
        PipelineError: the config asks for them, but they are not given, or damaged.
    """
    if config.global_feature is None:
        return None
    if len(manifests) != 1:
        raise PipelineError(
            f"--video-features: give the manifest of the pooled features of {config.global_feature.feature}"
        )
    return PooledVideoFeatures.open(manifests[0])


def build_model(config: EncoderEntry, data: PretrainingData, global_dim: int) -> PretrainingModel:
    """Build the model with its initial weights.

    Raises:
        PipelineError: the initial weights are absent, damaged or of another architecture.
    """
    seed_all(STAGE, config.seed, "weights")
    model = PretrainingModel(config, data.num_labels, global_dim)
    if config.initial_weights:
        path = initial_weights_path(config.initial_weights)
        load_initial_weights(path, model.encoder, model.heads if config.keep_heads else None)
    return model


def cache_videos(reader: ClipReader, data: PretrainingData, config: EncoderEntry) -> None:
    """Decode whole videos into the reader's memory, as far as the config allows."""
    if config.cache_gb > 0 and config.epochs:
        reader.cache(data.videos_with_clips(), int(config.cache_gb * 1e9), threads=max(1, config.workers))


def build_loader(
    reader: ClipReader, config: EncoderEntry, global_features: PooledVideoFeatures | None, device: torch.device
) -> ClipLoader:
    """Build the loader of clips; it also yields the global features of their videos, if the region head sees them."""
    if global_features is None or config.global_feature is None:
        return ClipLoader(reader, config.clip, device, config.workers)
    vectors = torch.from_numpy(global_features.vectors(config.global_feature.pool))
    return ClipLoader(reader, config.clip, device, config.workers, global_features.videos, vectors)


def pretrain(
    model: PretrainingModel,
    data: PretrainingData,
    config: EncoderEntry,
    checkpoints: CheckpointManager,
    metrics: Path | None,
    group: ProcessGroup,
    loader: ClipLoader,
) -> tuple[dict[str, Any], float]:
    """Train the model, from the newest checkpoint if there is one; it then has the weights of the selected epoch.

    Args:
        model: the model with its initial weights.
        data: segments and labels.
        config: section of the stage.
        checkpoints: the checkpoints of the run.
        metrics: file of metrics; None in processes other than the first.
        group: the processes that train.
        loader: loads the clips onto this process's device.

    Returns:
        metrics of the selected epoch; training time in seconds.

    Raises:
        PipelineError: a clip cannot be read, the loss is not finite, or there are several learning rates but no
            validation clips.
    """
    to_device_inplace(model, loader.device, channels_last=config.channels_last, compiled=config.compile)
    val_samples = data.val_samples(config)
    if not val_samples:
        if len(config.head_lr) > 1:
            raise PipelineError(
                f"{STAGE}.head_lr: {len(config.head_lr)} rates, but no validation clips in split val to choose by"
            )
        logging.warning("no validation clips in split val: keeping the last epoch without validation")
    sweep, initial_state = SweepCheckpoints(checkpoints, loader.unreadable), cpu_state_dict(model)
    for head_lr in config.head_lr[sweep.num_finished :]:
        model.load_state_dict(initial_state)
        optimizer = build_optimizer(model, config, head_lr)
        encoder_trainer = EncoderTrainer(model, optimizer, config, loader, loader.device, group)
        loop = TrainingLoop(model, optimizer, sweep, metrics, (STAGE, config.seed, "epoch"), sweep.rows)
        extra_metrics = {"head_lr": head_lr} if len(config.head_lr) > 1 else {}
        train = partial(draw_and_train_epoch, encoder_trainer, data, loop, extra_metrics)
        validate = partial(encoder_trainer.validate, val_samples)
        validation = ValidationPlan(validate, metric="val_score") if val_samples else None
        sweep.finish_run(loop.run(config.epochs, train, validation), loop.log.rows, loop.seconds)
    weights, best = sweep.best
    model.load_state_dict(weights)
    return best, sweep.seconds


def draw_and_train_epoch(
    encoder_trainer: EncoderTrainer,
    data: PretrainingData,
    loop: TrainingLoop,
    extra_metrics: dict[str, float],
    epoch: int,
) -> dict[str, float]:
    """Draw the clips of an epoch, and train on them.

    Args:
        encoder_trainer: trains on clips.
        data: the data that the clips are drawn from.
        loop: the run of the epoch.
        extra_metrics: further metrics to report.
        epoch: number of the epoch, from 1.
    """
    samples = data.train_samples(epoch, encoder_trainer.config)
    start_time = time.monotonic()
    metrics = encoder_trainer.train_epoch(epoch, samples, loop.mid_epoch)
    seconds = time.monotonic() - start_time
    logging.info("epoch %d of %d: %.0f clips/s", epoch, encoder_trainer.config.epochs, len(samples) / seconds)
    return {**extra_metrics, **metrics}


def write_encoder(
    output: Path,
    name: str,
    model: PretrainingModel,
    config: EncoderEntry,
    data: PretrainingData,
    best: dict[str, Any],
    summary: TrainingSummary,
) -> None:
    """Write the files, the card and, last, the manifest.

    Args:
        output: the manifest.
        name: name of the encoder.
        model: the model with the selected weights.
        config: settings of the training.
        data: data of the training.
        best: metrics of the selected epoch.
        summary: cost and rejects of the training.
    """
    words = [concept.word for concept in data.concepts]
    files = write_model(output.parent, model, config, labels=data.labels, concepts=words)
    metadata = {
        "architecture": config.architecture,
        "dim": model.encoder.dim,
        "clip": config.clip.model_dump(mode="json"),
        "labels": data.labels,
        "concepts": len(words),
        "best": best,
    }
    dropped = output.parent / "dropped.parquet"
    write_rows(dropped, summary.unused, RejectedVideo)
    card = build_card(name, config, data, metadata, sha256(files[0]), summary)
    write_text(output.parent / "card.md", card)
    write_manifest(output, [*files, dropped, output.parent / "metrics.jsonl"], metadata)


if __name__ == "__main__":
    raise SystemExit(main())
