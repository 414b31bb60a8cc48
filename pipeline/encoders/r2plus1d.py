"""The clip encoders: R(2+1)D networks (Tran et al., 2018) and torchvision's 3D ResNet.

R(2+1)D replaces each 3D convolution by one over space and one over time. `pipeline.config.encoders` registers the
networks by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.encoders import ENCODERS
from pipeline.encoders.torchvision_shim import import_torchvision


class ClipEncoder(nn.Module):
    """A network from normalised clips to features: a stem, four layers, a mean over time and space; no classifier.

    The parts have the names of torchvision's VideoResNet (`stem`, `layer1` to `layer4`), so the state dicts of all
    networks that follow it fit by name.

    Args:
        stem: the first convolutions.
        layers: the four residual layers.
        dim: channels of the last layer, and of the feature.
    """

    def __init__(self, stem: nn.Module, layers: list[nn.Module], dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.stem = stem
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.avgpool = nn.AdaptiveAvgPool3d(1)

    def forward(self, clips: Float[Tensor, "batch 3 frames height width"]) -> Float[Tensor, "batch dim"]:
        """Compute the features of clips."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(clips)))))
        pooled: Tensor = self.avgpool(x)
        return pooled.flatten(1)


def build_encoder(architecture: str, bn_momentum: float = 0.1) -> ClipEncoder:
    """Build an encoder with random weights, drawn from torch's global generator.

    Args:
        architecture: name in `ENCODERS`.
        bn_momentum: momentum of all batch normalisations, as in PyTorch: running = (1 - m) running + m batch. TSP's
            code sets 0.9 for R(2+1)D-34. In Caffe2, where its weights come from, 0.9 is the share that is *kept*; in
            PyTorch, 0.9 makes the running statistics those of the last two or three batches.

    Raises:
        PipelineError: no such architecture.
    """
    encoder: ClipEncoder = ENCODERS[architecture].load()()
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = bn_momentum
    return encoder


@dataclass(frozen=True)
class R2Plus1dSizes:
    """Layers and widths of an R(2+1)D network.

    Attributes:
        blocks: residual blocks in each of the four layers; layers 2 to 4 halve time and space.
        widths: output channels of the four layers; the stem has as many as the first layer.
        stem_mid: channels between the stem's two convolutions.
        widened: how many intermediate channels the second convolution of a block has if the block changes the number
            of channels. True: computed from its own input, as in Caffe2's VMZ (288, 576 and 1,152 in R(2+1)D-34).
            False: those of the first convolution, as in torchvision (230, 460, 921).
        bn_eps: epsilon of the batch normalisations.
    """

    blocks: Sequence[int]
    widths: Sequence[int]
    stem_mid: int
    widened: bool
    bn_eps: float


IG65M_34 = R2Plus1dSizes(blocks=(3, 4, 6, 3), widths=(64, 128, 256, 512), stem_mid=45, widened=True, bn_eps=1e-3)
"""R(2+1)D-34 as its IG-65M weights need it (ig65m-pytorch): 63,491,975 parameters without a head."""

NARROW = R2Plus1dSizes(blocks=(0, 1, 1, 1), widths=(16, 32, 64, 128), stem_mid=16, widened=True, bn_eps=1e-5)
"""A network small enough to be trained on a CPU. The first layer is empty: its blocks, at full time and half the frame
size, would take three quarters of the time."""


def r2plus1d_34() -> ClipEncoder:
    """Build R(2+1)D-34 in the form of its IG-65M weights."""
    return r2plus1d(IG65M_34)


def r2plus1d_narrow() -> ClipEncoder:
    """Build the narrow R(2+1)D for CPUs."""
    return r2plus1d(NARROW)


def r2plus1d_18() -> ClipEncoder:
    """Build torchvision's R(2+1)D-18."""
    return _torchvision_encoder("r2plus1d_18")


def r3d_18() -> ClipEncoder:
    """Build torchvision's 3D ResNet-18."""
    return _torchvision_encoder("r3d_18")


def _torchvision_encoder(name: str) -> ClipEncoder:
    network = getattr(import_torchvision("torchvision.models.video"), name)(weights=None)
    layers = [network.layer1, network.layer2, network.layer3, network.layer4]
    return ClipEncoder(network.stem, layers, network.fc.in_features)


def r2plus1d(sizes: R2Plus1dSizes) -> ClipEncoder:
    """Build an R(2+1)D network with random weights."""
    layers: list[nn.Module] = []
    channels = sizes.widths[0]
    for number, (blocks, width) in enumerate(zip(sizes.blocks, sizes.widths, strict=True)):
        layer = nn.Sequential()
        for index in range(blocks):
            stride = 2 if number > 0 and index == 0 else 1
            layer.append(ResidualBlock(channels, width, stride, widened=sizes.widened))
            channels = width
        layers.append(layer)
    network = ClipEncoder(_stem(sizes.stem_mid, sizes.widths[0]), layers, channels)
    _initialise(network, sizes.bn_eps)
    return network


class ResidualBlock(nn.Module):
    """A residual block of two factorised convolutions.

    Args:
        channels: channels of the input.
        width: channels of the output.
        stride: stride of the first convolution, in time and space.
        widened: see `R2Plus1dSizes`.
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
        """Compute the block's output."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(self.conv2(self.conv1(x)) + shortcut)
        return out


def _midplanes(channels: int, width: int) -> int:
    """Return the intermediate channels for which the pair has as many parameters as a 3 x 3 x 3 convolution."""
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
