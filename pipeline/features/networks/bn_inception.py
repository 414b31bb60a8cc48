"""Temporal segment networks (Wang et al., 2016) on BN-Inception (Ioffe and Szegedy, 2015).

Layers have the flat names of tsn-pytorch, so that its published weights fit by name.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.extractors import FlowFeatureSettings, PublishedFeatureSettings
from pipeline.features.networks import flow
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.image_transforms import CAFFE, SHORT_256, image_input
from pipeline.features.networks.weights import drop_prefixes, init_weights

FLOWS = 5
"""Consecutive optical flows that the flow network sees at once."""


@dataclass(frozen=True)
class InceptionBlockSizes:
    """Channels of one Inception block.

    Attributes:
        conv_1x1: output of the 1 x 1 branch; 0 in blocks that halve height and width, which lack this branch.
        conv_3x3: input and output of the 3 x 3 convolution.
        double_3x3: input of the first and output of each of the two 3 x 3 convolutions.
        pool_proj: output of the pooling branch; 0 if it has no projection.
        max_pool: the pooling branch takes the maximum; otherwise the average.
    """

    conv_1x1: int
    conv_3x3: tuple[int, int]
    double_3x3: tuple[int, int]
    pool_proj: int
    max_pool: bool = False

    @property
    def stride(self) -> int:
        """Stride of the block in height and width."""
        return 1 if self.conv_1x1 else 2


_BLOCKS = {
    "3a": InceptionBlockSizes(64, (64, 64), (64, 96), 32),
    "3b": InceptionBlockSizes(64, (64, 96), (64, 96), 64),
    "3c": InceptionBlockSizes(0, (128, 160), (64, 96), 0, max_pool=True),
    "4a": InceptionBlockSizes(224, (64, 96), (96, 128), 128),
    "4b": InceptionBlockSizes(192, (96, 128), (96, 128), 128),
    "4c": InceptionBlockSizes(160, (128, 160), (128, 160), 128),
    "4d": InceptionBlockSizes(96, (128, 192), (160, 192), 128),
    "4e": InceptionBlockSizes(0, (128, 192), (192, 256), 0, max_pool=True),
    "5a": InceptionBlockSizes(352, (192, 320), (160, 224), 128),
    "5b": InceptionBlockSizes(352, (192, 320), (192, 224), 128, max_pool=True),
}


class BNInception(nn.Module):
    """BN-Inception without its classification layer, with random weights.

    Args:
        channels: input channels: 3 of BGR, or 10 of five optical flows.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._add("conv1_7x7_s2", channels, 64, 7, stride=2)
        self._add("conv2_3x3_reduce", 64, 64, 1)
        self._add("conv2_3x3", 64, 192, 3)
        in_channels = 192
        for letter, block in _BLOCKS.items():
            name = f"inception_{letter}"
            if block.conv_1x1:
                self._add(f"{name}_1x1", in_channels, block.conv_1x1, 1)
            self._add(f"{name}_3x3_reduce", in_channels, block.conv_3x3[0], 1)
            self._add(f"{name}_3x3", *block.conv_3x3, 3, stride=block.stride)
            self._add(f"{name}_double_3x3_reduce", in_channels, block.double_3x3[0], 1)
            self._add(f"{name}_double_3x3_1", *block.double_3x3, 3)
            self._add(f"{name}_double_3x3_2", block.double_3x3[1], block.double_3x3[1], 3, stride=block.stride)
            if block.pool_proj:
                self._add(f"{name}_pool_proj", in_channels, block.pool_proj, 1)
            in_channels = block.conv_1x1 + block.conv_3x3[1] + block.double_3x3[1] + (block.pool_proj or in_channels)
        init_weights(self)

    def _add(self, name: str, in_channels: int, out_channels: int, size: int, stride: int = 1) -> None:
        self.add_module(name, nn.Conv2d(in_channels, out_channels, size, stride=stride, padding=size // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(out_channels))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 1024"]:
        """Compute features: the output of the last block, averaged over height and width."""
        max_pool = partial(F.max_pool2d, kernel_size=3, stride=2, ceil_mode=True)
        x = max_pool(self._unit("conv1_7x7_s2", images))
        x = max_pool(self._unit("conv2_3x3", self._unit("conv2_3x3_reduce", x)))
        for letter, block in _BLOCKS.items():
            x = self._block(f"inception_{letter}", block, x)
        return x.mean(dim=(2, 3))

    def _block(self, name: str, block: InceptionBlockSizes, x: Tensor) -> Tensor:
        branches = [self._unit(f"{name}_1x1", x)] if block.conv_1x1 else []
        branches.append(self._unit(f"{name}_3x3", self._unit(f"{name}_3x3_reduce", x)))
        double = self._unit(f"{name}_double_3x3_1", self._unit(f"{name}_double_3x3_reduce", x))
        branches.append(self._unit(f"{name}_double_3x3_2", double))
        if not block.pool_proj:
            branches.append(F.max_pool2d(x, 3, stride=2, ceil_mode=True))
        else:
            pool = F.max_pool2d if block.max_pool else F.avg_pool2d
            branches.append(self._unit(f"{name}_pool_proj", pool(x, 3, stride=1, padding=1)))
        return torch.cat(branches, dim=1)

    def _unit(self, name: str, x: Tensor) -> Tensor:
        """Apply a convolution, its batch normalisation and ReLU."""
        out: Tensor = self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x))
        return out.relu_()


def build_rgb(context: BuildContext[PublishedFeatureSettings]) -> BuiltExtractor:
    """Build the RGB stream. It sees the first frame of a window, as temporal segment networks do in testing."""
    with context.source.seeded_init():
        network = BNInception(3)
    metadata = context.load_weights(network, drop_prefixes("fc."))
    transform = partial(image_input, SHORT_256, CAFFE)
    return BuiltExtractor(network, transform, {**metadata, "geometry": SHORT_256.metadata})


def build_flow(context: BuildContext[FlowFeatureSettings]) -> BuiltExtractor:
    """Build the flow stream. It sees the five flows of a window of six frames, stacked along channels."""
    with context.source.seeded_init():
        network = BNInception(2 * FLOWS)
    metadata = context.load_weights(network, drop_prefixes("fc."))
    compute_flow, flow_metadata = flow.build_flow_method(context.settings.flow, context.source, context.device)

    def transform(window: Tensor) -> Tensor:
        return flow.tsn_flow_input(SHORT_256.center_crop(compute_flow(SHORT_256.resize(window))))

    return BuiltExtractor(network, transform, {**metadata, "geometry": SHORT_256.metadata, "flow": flow_metadata})
