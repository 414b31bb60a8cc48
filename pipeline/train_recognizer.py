r"""Train a recognizer: the two-channel network on classes, captions or both, from pixels (Mahdisoltani et al., 2018).

In:  the corpus; the labels of its clips; the re-encoded videos.
Out: a manifest that lists model.safetensors, config.json (settings, classes, words), metrics.jsonl (one line per epoch)
     and dropped.parquet (unused videos, with the reason).

Each epoch draws one clip of each training video. The epoch with the best `val_score` on the split `val` is kept;
without validation clips, the last epoch. A run that was interrupted, even killed, resumes from its last checkpoint in
`--state`, and its result equals that of an uninterrupted run.

    python -m pipeline.train_recognizer \
        --config '{"size": "M(16-16)", "encoder_dim": 32, "decoder_dim": 32, "epochs": 1, "workers": 0}' \
        --corpus results/demoacts/corpus/manifest.json --labels results/demoacts/clip_labels/manifest.json \
        --videos results/demoacts/video --state /tmp/state --output /tmp/recognizer/manifest.json

With `accumulate_steps: 2`, `torchrun --standalone --nproc_per_node 2 -m pipeline.train_recognizer ...` shares the
micro-batches of a step among two GPUs; one GPU computes the same, one micro-batch after another.
"""

import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.train_recognizer import RecognizerEntry
from pipeline.datasets.clip_labels import ClipLabels
from pipeline.datasets.corpus import Corpus, RejectedVideo
from pipeline.encoders.clip_loader import ClipLoader, report_worker_deaths
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clip_transforms import BY_64
from pipeline.encoders.two_channel.data import RecognitionData, build_recognition_data
from pipeline.encoders.two_channel.network import TwoChannelNetwork
from pipeline.encoders.two_channel.recognizer import build_network, write_recognizer
from pipeline.encoders.two_channel.trainer import RecognizerTrainer
from pipeline.errors import PipelineError
from pipeline.io.tables import write_rows
from pipeline.provenance.computation import Computation
from pipeline.provenance.manifest import write_manifest
from pipeline.training.checkpoints import CheckpointManager, open_shared_checkpoints
from pipeline.training.device import resolve_device
from pipeline.training.distributed import ProcessGroup, init_process_group
from pipeline.training.precision import to_device_inplace
from pipeline.training.seeds import seed_all
from pipeline.training.training_loop import TrainingLoop, ValidationPlan
from pipeline.video.shard import ReencodedVideos

STAGE = "train_recognizer"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, RecognizerEntry, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--labels", type=Path, required=True, help="manifest of the labels of the clips")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the checkpoints")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write; the files go next to it")
    args = arguments.parse_args(argv)
    config = read_config(args.config, RecognizerEntry, STAGE)
    corpus = Corpus.open(args.corpus)
    videos = ReencodedVideos.open(args.videos, corpus.num_shards)
    data = build_recognition_data(corpus, ClipLabels.read(args.labels), videos.by_id, config)
    computation = Computation(STAGE, config, [args.corpus, args.labels, *videos.manifests], [args.output])
    with init_process_group(resolve_device(config.device)) as (group, device):
        if config.accumulate_steps % group.world_size:
            raise PipelineError(
                f"{STAGE}.accumulate_steps {config.accumulate_steps} cannot be shared by {group.world_size} processes"
            )
        checkpoints = open_shared_checkpoints(args.state, computation, group)
        if checkpoints is None:
            return 0
        seed_all(STAGE, config.seed, "weights")
        network = build_network(config, data.classes, data.tokens)
        loader = build_loader(data, config, device)
        metrics = args.output.parent / "metrics.jsonl" if group.is_first else None
        with report_worker_deaths():
            best = train(network, data, config, checkpoints, metrics, group, loader)
    if group.is_first:
        write_outputs(args.output, network, config, data, best, loader.rejects())
        computation.keep_outputs()
        checkpoints.clear()
    return 0


def build_loader(data: RecognitionData, config: RecognizerEntry, device: torch.device) -> ClipLoader:
    """Build the loader of clips, with as many videos in memory as the config allows.

    A video that is shorter than a clip gets its first and its last frame repeated, as in the paper.
    """
    reader = ClipReader(data.videos, config.clip, padding="both")
    if config.cache_gb > 0:
        reader.cache([*data.train, *data.val], int(config.cache_gb * 1e9), threads=max(1, config.workers))
    return ClipLoader(reader, config.clip, device, config.workers, normalization=BY_64, stage=STAGE)


def train(
    network: TwoChannelNetwork,
    data: RecognitionData,
    config: RecognizerEntry,
    checkpoints: CheckpointManager,
    metrics: Path | None,
    group: ProcessGroup,
    loader: ClipLoader,
) -> dict[str, Any]:
    """Train the network, from the newest checkpoint if there is one; it then has the weights of the selected epoch.

    Args:
        network: with its initial weights.
        data: targets of the clips.
        config: section of the stage.
        checkpoints: the checkpoints of the run.
        metrics: file of metrics; None in processes other than the first.
        group: the processes that train.
        loader: loads the clips onto this process's device.

    Returns:
        metrics of the selected epoch.

    Raises:
        PipelineError: too many videos are unreadable, or the loss is not finite.
    """
    to_device_inplace(network, loader.device, channels_last=config.channels_last, compiled=False)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    loop = TrainingLoop(network, optimizer, checkpoints, metrics, (STAGE, config.seed, "epoch"))

    def scores() -> list[float]:
        return [row["val_score"] for row in loop.log.rows if "val_score" in row]

    trainer = RecognizerTrainer(network, optimizer, config, loader, loader.device, group, data=data, scores=scores)
    val_samples = data.val_samples(config)
    if not val_samples:
        logging.warning("no validation clips in split val: keeping the last epoch without validation")
    validate = partial(trainer.validate, val_samples, config.epochs)
    validation = ValidationPlan(validate, metric="val_score") if val_samples else None
    best = loop.run(config.epochs, partial(draw_and_train_epoch, trainer, loop), validation)
    network.load_state_dict(best.weights)
    return next(row for row in loop.log.rows if row["epoch"] == best.epoch)


def draw_and_train_epoch(trainer: RecognizerTrainer, loop: TrainingLoop, epoch: int) -> dict[str, float]:
    """Draw the clips of an epoch, and train on them.

    Args:
        trainer: trains on clips.
        loop: the run of the epoch.
        epoch: number of the epoch, from 1.
    """
    samples = trainer.data.train_samples(epoch, trainer.config)
    start_time = time.monotonic()
    metrics = trainer.train_epoch(epoch, samples, loop.mid_epoch)
    seconds = time.monotonic() - start_time
    logging.info("epoch %d of %d: %.1f clips/s", epoch, trainer.config.epochs, len(samples) / seconds)
    return {"lr": trainer.optimizer.param_groups[0]["lr"], **metrics}


def write_outputs(
    output: Path,
    network: TwoChannelNetwork,
    config: RecognizerEntry,
    data: RecognitionData,
    best: dict[str, Any],
    unreadable: list[RejectedVideo],
) -> None:
    """Write the files and, last, the manifest.

    Args:
        output: the manifest.
        network: with the selected weights.
        config: settings of the training.
        data: data of the training.
        best: metrics of the selected epoch.
        unreadable: videos that could not be read.
    """
    files = write_recognizer(output.parent, network, config, data.classes, data.tokens)
    dropped = output.parent / "dropped.parquet"
    write_rows(dropped, [*data.unused, *unreadable], RejectedVideo)
    metadata = {
        "size": config.size,
        "dim": config.encoder_dim,
        "clip": config.clip.model_dump(mode="json"),
        "classes": len(data.classes),
        "vocabulary": data.tokens.size if data.tokens else 0,
        "clips": {"train": len(data.train), "val": len(data.val)},
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "best": best,
    }
    write_manifest(output, [*files, dropped, output.parent / "metrics.jsonl"], metadata)


if __name__ == "__main__":
    raise SystemExit(main())
