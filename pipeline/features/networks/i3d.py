"""I3D (Carreira and Zisserman, 2017): Inception-v1 with every convolution inflated into time."""

import re

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.features.networks.weights import initialise

DIM = 1024

Triple = tuple[int, int, int]

# Channels of each Inception block: 1 x 1; 1 x 1 then 3 x 3 x 3, twice; 1 x 1 after pooling. As in GoogLeNet (Szegedy et
# al., 2015, table 1), whose 5 x 5 is a 3 x 3 x 3 here.
_BLOCKS = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOLED_BEFORE: dict[str, tuple[Triple, Triple]] = {
    "conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
"""Size and stride of the maximum that is taken before a layer."""


class I3D(nn.Module):
    """The network up to its pooled features, with random weights.

    Args:
        channels: of the input: 3 of RGB, 2 of optical flow.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                "conv3d_1a_7x7": Unit(channels, 64, (7, 7, 7), (2, 2, 2)),
                "conv3d_2b_1x1": Unit(64, 64, (1, 1, 1)),
                "conv3d_2c_3x3": Unit(64, 192, (3, 3, 3)),
            }
        )
        incoming = 192
        for name, widths in _BLOCKS.items():
            self.layers[name] = Mixed(incoming, widths)
            incoming = widths[0] + widths[2] + widths[4] + widths[5]
        initialise(self)

    def forward(self, clips: Float[Tensor, "batch channels frames height width"]) -> Float[Tensor, "batch 1024"]:
        """Features: averages over space and two steps of time, averaged over time, as published ones are.

        Args:
            clips: in [-1, 1]; at least 9 frames of 224 x 224 pixels.
        """
        x = clips
        for name, layer in self.layers.items():
            if name in _POOLED_BEFORE:
                x = _pool(x, *_POOLED_BEFORE[name])
            x = layer(x)
        return F.avg_pool3d(x, (2, 7, 7), stride=1).mean(dim=(2, 3, 4))


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU; padded as TensorFlow's SAME does."""

    def __init__(self, channels: int, width: int, size: Triple, stride: Triple = (1, 1, 1)) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        self.conv3d = nn.Conv3d(channels, width, size, stride=stride, bias=False)
        self.bn = nn.BatchNorm3d(width, eps=1e-3)

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels out_frames out_height out_width"]:
        """The unit's output."""
        out: Tensor = self.bn(self.conv3d(_padded(x, self.size, self.stride)))
        return out.relu_()


class Mixed(nn.Module):
    """Four branches side by side. They are named as in pytorch-i3d (`b0`, `b1a`, ...)."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        one, three_in, three, five_in, five, pooled = widths
        self.b0 = Unit(channels, one, (1, 1, 1))
        self.b1a, self.b1b = Unit(channels, three_in, (1, 1, 1)), Unit(three_in, three, (3, 3, 3))
        self.b2a, self.b2b = Unit(channels, five_in, (1, 1, 1)), Unit(five_in, five, (3, 3, 3))
        self.b3b = Unit(channels, pooled, (1, 1, 1))

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels frames height width"]:
        """The branches' outputs, one after the other along channels."""
        pooled = _pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


def _pool(x: Tensor, size: Triple, stride: Triple) -> Tensor:
    # What is padded with zeros is never negative: they stand for nothing.
    return F.max_pool3d(_padded(x, size, stride), size, stride)


def _padded(x: Tensor, size: Triple, stride: Triple) -> Tensor:
    """Zeros around x, so that a window of that size and stride gives ceil(length / stride); the odd one comes last."""
    around: list[int] = []
    for length, wide, step in zip(x.shape[:1:-1], size[::-1], stride[::-1], strict=True):
        missing = max((-(-length // step) - 1) * step + wide - length, 0)
        around += [missing // 2, missing - missing // 2]
    return F.pad(x, around) if any(around) else x


_BRANCH = re.compile(r"\.branch_(\d)(?:\.(\d))?\.")
_HEADS = ("logits.", "conv3d_0c_1x1.")


def rename(name: str) -> str | None:
    """From the names of the two common conversions of DeepMind's weights.

    They are pytorch-i3d's `rgb_imagenet.pt` and `flow_imagenet.pt` (`Mixed_3b.b1a.bn.weight`), and those of
    kinetics_i3d_pytorch, which video_features carries as `i3d_rgb.pt` and `i3d_flow.pt`
    (`mixed_3b.branch_1.0.batch3d.weight`).
    """
    name = name[:1].lower() + name[1:]
    if name.startswith(_HEADS):
        return None
    name = _BRANCH.sub(lambda found: f".b{found[1]}{'ab'[int(found[2])] if found[2] else ''}.", name)
    return "layers." + name.replace(".batch3d.", ".bn.")
