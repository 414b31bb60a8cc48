"""Clip encoders (R(2+1)D, R3D) as extractors: those trained here (TAC, TSP, SA-TSP), and the published ones."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.extractors import Modality, PublishedFeatureSettings
from pipeline.encoders.clip_transforms import central_crop_offset, stack_clips, transform_clip
from pipeline.encoders.pretrained import PretrainedEncoder
from pipeline.encoders.r2plus1d import build_encoder
from pipeline.encoders.weight_files import load_initial_weights
from pipeline.features.networks.base import BuildContext, BuiltExtractor, make_grid
from pipeline.features.networks.image_transforms import frames_per_resize
from pipeline.features.time_grid import ClipGrid


class VideoEncoderExtractor:
    """Extractor of clip features by an encoder that `pretrain_encoder` trained; an `Extractor`.

    Args:
        name: name of the encoder.
        pretrained: the trained encoder.
        stride: frames at the clip's frame rate from one clip to the next.
        device: device of the network.
        files: the files that the encoder was read from.
        snippets: number of snippets of a video, instead of a stride.
    """

    def __init__(
        self,
        name: str,
        pretrained: PretrainedEncoder,
        stride: int,
        device: torch.device,
        files: Sequence[Path] = (),
        *,
        snippets: int | None = None,
    ) -> None:
        self._clip = pretrained.clip
        self.network = pretrained.encoder.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.name = name
        self.modality: Modality = "frames"
        self.dim = pretrained.encoder.dim
        self.grid = make_grid(ClipGrid(self._clip.fps, self._clip.frames, stride), snippets)
        self.files = files
        self.metadata: dict[str, Any] = {
            "encoder": name,
            "architecture": pretrained.architecture,
            "weights_sha256": pretrained.weights_sha256,
            "clip": self._clip.model_dump(mode="json"),
        }

    def prepare(self, window: UInt8[Tensor, "frames height width 3"]) -> Float[Tensor, "frames crop crop 3"]:
        """Resize, centre-crop and normalise a clip, as in validation."""
        return transform_window(window, self._clip)

    def collate(self, windows: Sequence[Float[Tensor, "frames crop crop 3"]]) -> Float[Tensor, "batch 3 frames _ _"]:
        """Turn prepared clips into a batch."""
        return stack_clips(windows)

    @torch.no_grad()
    def __call__(self, windows: Sequence[Float[Tensor, "frames crop crop 3"]]) -> Float[Tensor, "batch dim"]:
        """Compute the features of prepared clips."""
        features: Tensor = self.network(self.collate(windows))
        return features.float()


def transform_window(
    window: UInt8[Tensor, "frames height width 3"], clip: ClipGeometry
) -> Float[Tensor, "frames crop crop 3"]:
    """Resize, centre-crop and normalise a clip, as in validation; large frames a few at a time."""
    height, width = window.shape[1:3]
    crop = central_crop_offset(clip, clip.resized(height, width))
    chunks = window.split(frames_per_resize(height, width))
    prepared = [transform_clip(chunk, clip, crop, flip=False) for chunk in chunks]
    return torch.cat(prepared) if len(prepared) > 1 else prepared[0]


def build(context: BuildContext[PublishedFeatureSettings], architecture: str) -> BuiltExtractor:
    """Build a published encoder, with TSP's geometry of clips.

    Args:
        context: of the extractor.
        architecture: name of the encoder in `pipeline.config.encoders`.
    """
    clip = ClipGeometry()
    with context.source.seeded_init():
        encoder = build_encoder(architecture)
    metadata: dict[str, Any] = {"weights": "random", "weights_sha256": None}
    if context.source.location != "random":
        path = context.source.find_file(context.weights)
        metadata = {"weights": path.name, "weights_sha256": load_initial_weights(path, encoder).sha256}
    metadata |= {"architecture": architecture, "clip": clip.model_dump(mode="json")}
    encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return BuiltExtractor(encoder, partial(transform_window, clip=clip), metadata, stack_clips)
