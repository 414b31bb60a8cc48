"""Our own clip encoders (TAC, TSP, SA-TSP) as extractors."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.geometry import central_crop, prepare, stack
from pipeline.encoders.model import Pretrained
from pipeline.features.combined import ClipGrid
from pipeline.features.networks.image_transforms import pictures_at_once


class OwnEncoder:
    """Features of clips by an encoder that pretraining left; an `Extractor`.

    Args:
        name: of the encoder.
        pretrained: what pretraining left.
        stride: from one clip to the next, frames at the clip's rate.
        device: where the network computes.
    """

    def __init__(self, name: str, pretrained: Pretrained, stride: int, device: torch.device) -> None:
        self._clip = pretrained.config.clip
        self._encoder = pretrained.encoder.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.name = name
        self.modality: Literal["frames", "sound"] = "frames"
        self.dim = pretrained.encoder.dim
        self.grid = ClipGrid(self._clip.fps, self._clip.frames, stride)
        self.facts: dict[str, Any] = {
            "encoder": name,
            "architecture": pretrained.config.architecture,
            "weights_sha256": pretrained.weights_sha256,
            "clip": self._clip.model_dump(mode="json"),
        }

    def prepare(self, window: UInt8[Tensor, "frames height width 3"]) -> Float[Tensor, "frames crop crop 3"]:
        """A clip: resized, its middle cut out, normalised, as in validation."""
        return prepared(window, self._clip)

    @torch.no_grad()
    def __call__(self, windows: Sequence[Float[Tensor, "frames crop crop 3"]]) -> Float[Tensor, "batch dim"]:
        """Features of prepared clips."""
        features: Tensor = self._encoder(stack(windows))
        return features.float()


def prepared(window: UInt8[Tensor, "frames height width 3"], clip: Clip) -> Float[Tensor, "frames crop crop 3"]:
    """A clip as in validation, a few frames at a time where they are large."""
    height, width = window.shape[1:3]
    crop = central_crop(clip, clip.resized(height, width))
    parts = [prepare(some, clip, crop, flip=False) for some in window.split(pictures_at_once(height, width))]
    return torch.cat(parts) if len(parts) > 1 else parts[0]
