"""R(2+1)D networks (Tran et al., 2018): each 3D convolution is one over space, then one over time."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.encoders.encoder import ClipEncoder


@dataclass(frozen=True)
class Shape:
    """What tells one R(2+1)D network from another.

    Attributes:
        blocks: residual blocks in each of the four layers; layers 2 to 4 halve time and space.
        widths: channels of the layers; the stem gives what the first takes, the last is the feature's
            dimension.
        stem_mid: channels between the stem's two convolutions.
        widened: whether the second convolution of a block that changes the number of channels has
            intermediate channels computed for itself, as Caffe2's VMZ does (288, 576 and 1,152 in
            R(2+1)D-34), or those of the first, as torchvision does (230, 460, 921).
        bn_eps: epsilon of the batch normalisations.
    """

    blocks: Sequence[int]
    widths: Sequence[int]
    stem_mid: int
    widened: bool
    bn_eps: float


IG65M_34 = Shape(blocks=(3, 4, 6, 3), widths=(64, 128, 256, 512), stem_mid=45, widened=True, bn_eps=1e-3)
"""R(2+1)D-34 as its IG-65M weights need it (ig65m-pytorch): 63,491,975 parameters without a head."""

NARROW = Shape(blocks=(0, 1, 1, 1), widths=(16, 32, 64, 128), stem_mid=16, widened=True, bn_eps=1e-5)
"""Small enough to be trained on a CPU. The first layer is empty: at full time and half the picture's size its
blocks would take three quarters of the time."""


def r2plus1d(shape: Shape) -> ClipEncoder:
    """Build a network with random weights."""
    layers: list[nn.Module] = []
    channels = shape.widths[0]
    for number, (blocks, width) in enumerate(zip(shape.blocks, shape.widths, strict=True)):
        layer = nn.Sequential()
        for index in range(blocks):
            stride = 2 if number > 0 and index == 0 else 1
            layer.append(Block(channels, width, stride, widened=shape.widened))
            channels = width
        layers.append(layer)
    network = ClipEncoder(_stem(shape.stem_mid, shape.widths[0]), layers, channels)
    _initialise(network, shape.bn_eps)
    return network


class Block(nn.Module):
    """Two factorised convolutions with a shortcut around them.

    Args:
        channels: of the input.
        width: channels of the output.
        stride: in time and space, of the first convolution.
        widened: see `Shape`.
    """

    def __init__(self, channels: int, width: int, stride: int, *, widened: bool) -> None:
        super().__init__()
        first = _midplanes(channels, width)
        second = _midplanes(width, width) if widened else first
        self.conv1 = nn.Sequential(_conv(channels, first, width, stride), nn.BatchNorm3d(width), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(_conv(width, second, width, 1), nn.BatchNorm3d(width))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(
                nn.Conv3d(channels, width, kernel_size=1, stride=stride, bias=False), nn.BatchNorm3d(width)
            )

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels out_frames out_height out_width"]:
        """The block's output."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(self.conv2(self.conv1(x)) + shortcut)
        return out


def _midplanes(channels: int, width: int) -> int:
    """Intermediate channels that give the pair as many parameters as a full 3 x 3 x 3 convolution has."""
    return (channels * width * 27) // (channels * 9 + width * 3)


def _conv(channels: int, mid: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels, mid, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
        nn.BatchNorm3d(mid),
        nn.ReLU(inplace=True),
        nn.Conv3d(mid, width, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False),
    )


def _stem(mid: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, mid, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(mid),
        nn.ReLU(inplace=True),
        nn.Conv3d(mid, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def _initialise(network: nn.Module, bn_eps: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm3d):
            module.eps = bn_eps
