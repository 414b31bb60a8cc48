r"""Clip features of a shard's videos, by a pretrained encoder.

In:  the manifest of an encoder, the manifest of a shard of re-encoded videos.
Out: a manifest vouching for features.zarr (one array [clips, channels]) and index.parquet (which rows are
    whose).

Each video is decoded once, in order. A clip begins every `stride` frames (counted at the clip's frame rate);
what is left at the end and does not fill a clip is dropped, as TSP does. A video shorter than one clip gives
one clip, its last frame repeated, and is marked `padded` in the index.

    python -m pipeline.extract_features --config '{"encoder": "sa_tsp", "stride": 8}' \
        --encoder results/demo/encoders/sa_tsp/manifest.json \
        --videos results/demo/video/0000/manifest.json --output /tmp/features/manifest.json
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.errors import PipelineError
from pipeline.config.extract_features import ExtractFeatures
from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.encoder import ClipEncoder
from pipeline.encoders.geometry import central_crop, prepare, stack
from pipeline.encoders.model import read_encoder
from pipeline.encoders.reading import frame_step, length, pad
from pipeline.store.features import ClipGrid, write_features
from pipeline.store.provenance import record
from pipeline.training.device import pick
from pipeline.training.log import Progress
from pipeline.video.decode import frames
from pipeline.video.shard import VideoRow, Videos

STAGE = "extract_features"

Prepared = Float[Tensor, "frames crop crop 3"]
Feature = Float[np.ndarray, "dim"]


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = parser(__doc__)
    add_config(arguments, ExtractFeatures, STAGE)
    arguments.add_argument("--encoder", type=Path, required=True, help="manifest of the encoder")
    arguments.add_argument("--videos", type=Path, required=True, help="manifest of the shard of videos")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write, payloads beside it")
    args = arguments.parse_args(argv)
    config = read_config(args.config, ExtractFeatures, STAGE)
    pretrained = read_encoder(args.encoder)
    clip = pretrained.config.clip
    rows = [row for _, row in sorted(Videos.read([args.videos]).rows.items())]
    for row in rows:
        frame_step(row, clip)  # a rate that does not fit is said before any work
    device = pick(config.device)
    encoder = pretrained.encoder.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    write_features(
        args.output,
        extract(encoder, clip, rows, config, device),
        dim=pretrained.encoder.dim,
        grid=ClipGrid(clip.fps, clip.frames, config.stride),
        facts={
            "encoder": config.encoder,
            "architecture": pretrained.config.architecture,
            "weights_sha256": pretrained.weights_sha256,
            "clip": clip.model_dump(mode="json"),
        },
    )
    record(args.output, STAGE, config, [args.encoder, args.videos])
    return 0


def extract(
    encoder: ClipEncoder, clip: Clip, rows: list[VideoRow], config: ExtractFeatures, device: torch.device
) -> Iterator[tuple[str, float, Float[np.ndarray, "_ dim"]]]:
    """Features of every video in turn; a batch holds clips of several videos where one does not fill it.

    Args:
        encoder: on the device, in evaluation mode.
        clip: what it expects.
        rows: the videos.
        config: stride and batch size.
        device: where to compute.

    Yields:
        id, duration in seconds, features.

    Raises:
        PipelineError: a video that cannot be decoded.
    """
    progress = Progress(f"{STAGE}, videos", len(rows))
    features = encode(encoder, _prepared(rows, clip, config.stride, device), config.batch_size)
    for number, of_video in groupby(features, key=itemgetter(0)):
        yield rows[number].video, rows[number].duration, np.stack([feature for _, feature in of_video])
        progress.step()
    logging.info("%s: %d videos", STAGE, progress.done)


def _prepared(rows: list[VideoRow], clip: Clip, stride: int, device: torch.device) -> Iterator[tuple[int, Prepared]]:
    """Every clip of every video, as the network is to see it, after the number of its video."""
    for number, row in enumerate(rows):
        crop = central_crop(clip, clip.resized(row.height, row.width))
        for found in clips(_whole(row, clip), clip.frames, stride):
            yield number, prepare(torch.from_numpy(found).to(device), clip, crop, flip=False)


def _whole(row: VideoRow, clip: Clip) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Frames of a video at the clip's frame rate; a file that ends too early would otherwise just give fewer."""
    count = 0
    for frame in frames(row.path, step=frame_step(row, clip)):
        yield frame
        count += 1
    if count != length(row, clip):
        raise PipelineError(
            f"{row.path}: {count} frames could be decoded where {length(row, clip)} were expected; re-encode it"
        )


def clips(
    decoded: Iterable[UInt8[np.ndarray, "height width 3"]], size: int, stride: int
) -> Iterator[UInt8[np.ndarray, "size height width 3"]]:
    """Cut frames into clips, holding no more than one clip's frames.

    Args:
        decoded: frames of one video, at least one, at the clip's frame rate.
        size: frames of a clip.
        stride: frames from one clip's start to the next one's; more than `size` leaves frames out.

    Yields:
        at least one clip.
    """
    held: list[UInt8[np.ndarray, "height width 3"]] = []
    skip, cut = 0, 0
    for frame in decoded:
        if skip:
            skip -= 1
            continue
        held.append(frame)
        if len(held) == size:
            yield np.stack(held)
            cut += 1
            held, skip = held[stride:], max(0, stride - size)
    if cut == 0:
        yield pad(np.stack(held), size)


@torch.no_grad()
def encode(
    encoder: ClipEncoder, prepared: Iterable[tuple[int, Prepared]], batch_size: int
) -> Iterator[tuple[int, Feature]]:
    """Features of clips, in their order, whole batches at a time.

    Args:
        encoder: on the clips' device, in evaluation mode.
        prepared: clips, each after a number that is passed on.
        batch_size: clips per forward pass.
    """
    waiting: list[tuple[int, Prepared]] = []

    def flush() -> Iterator[tuple[int, Feature]]:
        features = encoder(stack([clip for _, clip in waiting])).float().cpu().numpy()
        yield from zip([number for number, _ in waiting], features, strict=True)
        waiting.clear()

    for item in prepared:
        waiting.append(item)
        if len(waiting) == batch_size:
            yield from flush()
    if waiting:
        yield from flush()


if __name__ == "__main__":
    raise SystemExit(main())
