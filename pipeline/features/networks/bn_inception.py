"""BN-Inception (Ioffe and Szegedy, 2015), which temporal segment networks (Wang et al., 2016) are built on.

Layers are named as in tsn-pytorch, flat, so that its published weights fit by name.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.features.networks.weights import initialise

DIM = 1024


@dataclass(frozen=True)
class Block:
    """Channels of one Inception block.

    Attributes:
        one: of the 1 x 1 branch; 0 in blocks that halve space, which have none.
        three: of the 3 x 3 branch: before it, after it.
        double: of the branch of two 3 x 3: before them, after each.
        pooled: of the pooled branch; 0 passes what is pooled on as it is.
        by_maximum: whether the pooled branch takes the maximum, or the average.
    """

    one: int
    three: tuple[int, int]
    double: tuple[int, int]
    pooled: int
    by_maximum: bool = False

    @property
    def stride(self) -> int:
        """Of the block."""
        return 1 if self.one else 2


_BLOCKS = {
    "3a": Block(64, (64, 64), (64, 96), 32),
    "3b": Block(64, (64, 96), (64, 96), 64),
    "3c": Block(0, (128, 160), (64, 96), 0, by_maximum=True),
    "4a": Block(224, (64, 96), (96, 128), 128),
    "4b": Block(192, (96, 128), (96, 128), 128),
    "4c": Block(160, (128, 160), (128, 160), 128),
    "4d": Block(96, (128, 192), (160, 192), 128),
    "4e": Block(0, (128, 192), (192, 256), 0, by_maximum=True),
    "5a": Block(352, (192, 320), (160, 224), 128),
    "5b": Block(352, (192, 320), (192, 224), 128, by_maximum=True),
}


class BNInception(nn.Module):
    """The network up to its pooled features, with random weights.

    Args:
        channels: of the input: 3 of BGR, 10 of five optical flows.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._add("conv1_7x7_s2", channels, 64, 7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64, 1)
        self._add("conv2_3x3", 64, 192, 3)
        incoming = 192
        for letter, block in _BLOCKS.items():
            name = f"inception_{letter}"
            if block.one:
                self._add(f"{name}_1x1", incoming, block.one, 1)
            self._add(f"{name}_3x3_reduce", incoming, block.three[0], 1)
            self._add(f"{name}_3x3", *block.three, 3, stride=block.stride)
            self._add(f"{name}_double_3x3_reduce", incoming, block.double[0], 1)
            self._add(f"{name}_double_3x3_1", *block.double, 3)
            self._add(f"{name}_double_3x3_2", block.double[1], block.double[1], 3, stride=block.stride)
            if block.pooled:
                self._add(f"{name}_pool_proj", incoming, block.pooled, 1)
            incoming = block.one + block.three[1] + block.double[1] + (block.pooled or incoming)
        initialise(self)

    def _add(self, name: str, channels: int, width: int, size: int, stride: int = 1) -> None:
        self.add_module(name, nn.Conv2d(channels, width, size, stride=stride, padding=size // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(width))

    def forward(self, pictures: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1024"]:
        """Features: the last block's average over space."""
        maximum = partial(F.max_pool2d, kernel_size=3, stride=2, ceil_mode=True)
        x = maximum(self._unit("conv1_7x7_s2", pictures))
        x = maximum(self._unit("conv2_3x3", self._unit("conv2_3x3_reduce", x)))
        for letter, block in _BLOCKS.items():
            x = self._block(f"inception_{letter}", block, x)
        return x.mean(dim=(2, 3))

    def _block(self, name: str, block: Block, x: Tensor) -> Tensor:
        branches = [self._unit(f"{name}_1x1", x)] if block.one else []
        branches.append(self._unit(f"{name}_3x3", self._unit(f"{name}_3x3_reduce", x)))
        double = self._unit(f"{name}_double_3x3_1", self._unit(f"{name}_double_3x3_reduce", x))
        branches.append(self._unit(f"{name}_double_3x3_2", double))
        if not block.pooled:
            branches.append(F.max_pool2d(x, 3, stride=2, ceil_mode=True))
        else:
            pool = F.max_pool2d if block.by_maximum else F.avg_pool2d
            branches.append(self._unit(f"{name}_pool_proj", pool(x, 3, stride=1, padding=1)))
        return torch.cat(branches, dim=1)

    def _unit(self, name: str, x: Tensor) -> Tensor:
        """Convolution, batch normalisation, ReLU."""
        out: Tensor = self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x))
        return out.relu_()
