"""From decoded frames to the input that each network was trained on: size, crop, normalisation."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, UInt8
from torch import Tensor

MAX_RESIZE_BYTES = 32 * 2**20
"""Size of the float32 frames that are resized together, bytes."""


def frames_per_resize(height: int, width: int) -> int:
    """Return how many decoded frames to resize together, at least one, so that large frames fit in memory.

    Args:
        height: pixels.
        width: pixels.
    """
    return max(1, MAX_RESIZE_BYTES // (height * width * 3 * 4))


@dataclass(frozen=True)
class ResizeAndCrop:
    """Resizing and centre crop of frames.

    Attributes:
        short_side: short side after resizing, pixels. The long side is rounded down, as torchvision does.
        crop: side of the square centre crop, pixels.
        mode: interpolation.
        antialias: average the pixels between samples and round to integers, as PIL does. False for networks whose
            authors resized with PyTorch's plain interpolation.
    """

    short_side: int
    crop: int
    mode: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True

    def resize(self, frames: UInt8[Tensor, "frames height width 3"]) -> Float[Tensor, "frames 3 _ _"]:
        """Resize whole frames; values stay in [0, 255]."""
        height, width = frames.shape[1:3]
        short = min(height, width)
        size = self.short_side * height // short, self.short_side * width // short
        # A window of large frames would take gigabytes as float32. Each frame is resized by itself anyway.
        chunks = frames.split(frames_per_resize(height, width))
        resized = [self._resize(chunk, size) for chunk in chunks]
        return torch.cat(resized) if len(resized) > 1 else resized[0]

    def _resize(
        self, frames: UInt8[Tensor, "frames height width 3"], size: tuple[int, int]
    ) -> Float[Tensor, "frames 3 _ _"]:
        height, width = frames.shape[1:3]
        planar = frames.permute(0, 3, 1, 2).float()
        if size == (height, width):
            return planar
        if not self.antialias:
            return F.interpolate(planar, size, mode=self.mode, align_corners=False)
        for step in ((height, size[1]), size):  # PIL resizes and rounds rows first, then columns
            planar = F.interpolate(planar, step, mode=self.mode, align_corners=False, antialias=True)
            planar = planar.round_().clamp_(0, 255)
        return planar

    def center_crop(self, images: Float[Tensor, "frames channels _ _"]) -> Float[Tensor, "frames channels crop crop"]:
        """Crop the centre; halves are rounded as in torchvision's CenterCrop."""
        top, left = (round((side - self.crop) / 2) for side in images.shape[2:])
        return images[:, :, top : top + self.crop, left : left + self.crop]

    @property
    def metadata(self) -> dict[str, Any]:
        """What the manifest of a feature states about the geometry."""
        return {"short_side": self.short_side, "crop": self.crop, "mode": self.mode, "antialias": self.antialias}


@dataclass(frozen=True)
class Normalisation:
    """Normalisation of the channels, for values in [0, 255].

    Attributes:
        mean: subtracted, in the order of the network's channels.
        std: divided by, in the same order.
        bgr: the network's channels are blue, green, red.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    @classmethod
    def from_unit_range(cls, mean: tuple[float, float, float], std: tuple[float, float, float]) -> "Normalisation":
        """Convert mean and standard deviation that are stated for RGB values in [0, 1]."""
        return cls(_times_255(mean), _times_255(std))

    def normalise(self, images: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "frames 3 height width"]:
        """Normalise RGB images."""
        mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (self.mean, self.std))
        return ((images.flip(1) if self.bgr else images) - mean) / std


def _times_255(values: tuple[float, float, float]) -> tuple[float, float, float]:
    first, second, third = values
    return 255 * first, 255 * second, 255 * third


def image_input(geometry: ResizeAndCrop, normalisation: Normalisation, window: Tensor) -> Float[Tensor, "3 crop crop"]:
    """Turn the first frame of a window into the input of an image network."""
    return normalisation.normalise(geometry.center_crop(geometry.resize(window[:1])))[0]


def clip_input(
    geometry: ResizeAndCrop, normalisation: Normalisation, window: Tensor
) -> Float[Tensor, "3 frames crop crop"]:
    """Turn all frames of a window into the input of a video network."""
    return normalisation.normalise(geometry.center_crop(geometry.resize(window))).transpose(0, 1)


SHORT_256 = ResizeAndCrop(short_side=256, crop=224)
PLAIN_256 = ResizeAndCrop(short_side=256, crop=224, antialias=False)
CLIP_224 = ResizeAndCrop(short_side=224, crop=224, mode="bicubic")
CLIP_288 = ResizeAndCrop(short_side=288, crop=288, mode="bicubic")
CLIP_112 = ResizeAndCrop(short_side=112, crop=112)

IMAGENET = Normalisation.from_unit_range((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision's image networks."""
CAFFE = Normalisation((104.0, 117.0, 128.0), (1.0, 1.0, 1.0), bgr=True)
"""BN-Inception, trained in Caffe (tsn-pytorch)."""
CLIP = Normalisation.from_unit_range((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""OpenAI's CLIP."""
SLOWFAST = Normalisation.from_unit_range((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
"""pytorchvideo's SlowFast."""
KINETICS_3D = Normalisation((114.7748, 107.7354, 99.4750), (1.0, 1.0, 1.0))
"""3D-ResNets-PyTorch, as of its first release."""
SYMMETRIC = Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
"""I3D: scales to [-1, 1]."""
