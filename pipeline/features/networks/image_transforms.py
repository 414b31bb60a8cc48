"""From decoded frames to what each network of the pool was trained on: size, crop, colours."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, UInt8
from torch import Tensor

_AT_ONCE_BYTES = 32 * 2**20
"""Of frames in floating point that are resized together."""


def pictures_at_once(height: int, width: int) -> int:
    """How many decoded frames are resized together, at least one, so that large ones do not take much memory.

    Args:
        height: pixels.
        width: pixels.
    """
    return max(1, _AT_ONCE_BYTES // (height * width * 3 * 4))


@dataclass(frozen=True)
class Geometry:
    """How large frames become, and which part of them is seen.

    Attributes:
        short_side: pixels, after resizing; the long one is rounded down, as torchvision does.
        crop: then the centre of so many pixels square.
        mode: of interpolation.
        antialias: whether shrinking averages what it leaves out, and gives whole numbers, as PIL does. What was
            prepared by PyTorch's own interpolation when it was published is not.
    """

    short_side: int
    crop: int
    mode: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True

    def resized(self, frames: UInt8[Tensor, "frames height width 3"]) -> Float[Tensor, "frames 3 _ _"]:
        """Whole frames, 0 to 255."""
        height, width = frames.shape[1:3]
        short = min(height, width)
        size = self.short_side * height // short, self.short_side * width // short
        # A window of large frames, in floating point, would take gigabytes; each frame is resized by itself anyway.
        some = frames.split(pictures_at_once(height, width))
        return torch.cat([self._resized(part, size) for part in some]) if len(some) > 1 else self._resized(frames, size)

    def _resized(
        self, frames: UInt8[Tensor, "frames height width 3"], size: tuple[int, int]
    ) -> Float[Tensor, "frames 3 _ _"]:
        height, width = frames.shape[1:3]
        planar = frames.permute(0, 3, 1, 2).float()
        if size == (height, width):
            return planar
        if not self.antialias:
            return F.interpolate(planar, size, mode=self.mode, align_corners=False)
        for step in ((height, size[1]), size):  # PIL makes rows of whole numbers first, then columns of those
            planar = F.interpolate(planar, step, mode=self.mode, align_corners=False, antialias=True)
            planar = planar.round_().clamp_(0, 255)
        return planar

    def cropped(self, pictures: Float[Tensor, "frames channels _ _"]) -> Float[Tensor, "frames channels crop crop"]:
        """The centre; halves are rounded as torchvision's CenterCrop does."""
        top, left = (round((side - self.crop) / 2) for side in pictures.shape[2:])
        return pictures[:, :, top : top + self.crop, left : left + self.crop]

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest of what was made with it."""
        return {"short_side": self.short_side, "crop": self.crop, "mode": self.mode, "antialias": self.antialias}


@dataclass(frozen=True)
class Colours:
    """What is subtracted and divided by, of numbers from 0 to 255.

    Attributes:
        mean: of the channels, in their order.
        std: likewise.
        bgr: whether that order is blue, green, red.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False

    @classmethod
    def of_unit(cls, mean: tuple[float, float, float], std: tuple[float, float, float]) -> "Colours":
        """Given for numbers from 0 to 1, red first."""
        return cls(_scaled(mean), _scaled(std))

    def normalised(self, pictures: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "frames 3 height width"]:
        """As the network takes them."""
        mean, std = (torch.tensor(values, device=pictures.device)[:, None, None] for values in (self.mean, self.std))
        return ((pictures.flip(1) if self.bgr else pictures) - mean) / std


def _scaled(values: tuple[float, float, float]) -> tuple[float, float, float]:
    first, second, third = values
    return 255 * first, 255 * second, 255 * third


IMAGENET = Colours.of_unit((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision's image networks."""
CAFFE = Colours((104.0, 117.0, 128.0), (1.0, 1.0, 1.0), bgr=True)
"""BN-Inception, as it came from Caffe (tsn-pytorch)."""
CLIP = Colours.of_unit((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""OpenAI's CLIP."""
SLOWFAST = Colours.of_unit((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
"""pytorchvideo's SlowFast."""
SYMMETRIC = Colours((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
"""I3D: from -1 to 1."""
