"""3D ResNeXt-101 on Kinetics-400 (Hara et al., CVPR 2018; cardinality 32, shortcuts of type B).

Modules have the names of 3D-ResNets-PyTorch, so that its published weights fit by name.
"""

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.extractors import PublishedFeatureSettings
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.image_transforms import CLIP_112, KINETICS_3D, clip_input
from pipeline.features.networks.weights import drop_prefixes, init_weights

CARDINALITY = 32
EXPANSION = 2
STAGES = ((128, 3), (256, 4), (512, 23), (1024, 3))
"""Channels inside the blocks, and number of blocks, of each stage."""


class ResNeXt3D(nn.Module):
    """3D ResNeXt-101 without its classification layer, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        channels = 64
        for number, (planes, depth) in enumerate(STAGES, start=1):
            stride = 1 if number == 1 else 2
            first = Bottleneck(channels, planes, stride)
            channels = planes * EXPANSION
            blocks = [first, *(Bottleneck(channels, planes, 1) for _ in range(depth - 1))]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        init_weights(self)
        for module in self.modules():  # with random weights each of 33 blocks would double the activations
            if isinstance(module, Bottleneck):
                nn.init.constant_(module.bn3.weight, 0.2)

    def forward(self, clips: Float[Tensor, "batch 3 frames height width"]) -> Float[Tensor, "batch 2048"]:
        """Compute the features of clips: the mean over time and space of the last stage."""
        x = self.maxpool(self.bn1(self.conv1(clips)).relu_())
        for number in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        out: Tensor = x.mean((2, 3, 4))
        return out


class Bottleneck(nn.Module):
    """Residual bottleneck block, whose middle convolution has `CARDINALITY` groups.

    Args:
        in_channels: channels of the input.
        planes: channels inside; the output has `EXPANSION` times as many.
        stride: of time, height and width.
    """

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        inner, channels = CARDINALITY * (planes // 32), planes * EXPANSION
        self.conv1 = nn.Conv3d(in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = nn.Conv3d(inner, inner, 3, stride=stride, padding=1, groups=CARDINALITY, bias=False)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = nn.Conv3d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, channels, 1, stride=stride, bias=False), nn.BatchNorm3d(channels)
            )

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels out_frames out_height out_width"]:
        """Apply the block."""
        out = self.bn1(self.conv1(x)).relu_()
        out = self.bn2(self.conv2(out)).relu_()
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        result: Tensor = out.relu_()
        return result


def build(context: BuildContext[PublishedFeatureSettings]) -> BuiltExtractor:
    """Build 3D ResNeXt-101. It sees the 16 frames of a window."""
    with context.source.seeded_init():
        network = ResNeXt3D()
    metadata = context.load_weights(network, drop_prefixes("fc."))
    transform = partial(clip_input, CLIP_112, KINETICS_3D)
    return BuiltExtractor(network, transform, {**metadata, "geometry": CLIP_112.metadata})
