"""I3D (Carreira and Zisserman, 2017): Inception-v1 with every convolution inflated into time."""

import re

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.extractors import FlowFeatureSettings, PublishedFeatureSettings
from pipeline.features.networks import flow
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.image_transforms import SHORT_256, SYMMETRIC, clip_input
from pipeline.features.networks.weights import init_weights

Triple = tuple[int, int, int]
"""Time, height, width."""

# Channels of each Inception block: 1 x 1; 1 x 1 then 3 x 3 x 3, twice; 1 x 1 after pooling. As in GoogLeNet (Szegedy et
# al., 2015, table 1), with its 5 x 5 convolution replaced by 3 x 3 x 3.
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
_MAX_POOL_BEFORE: dict[str, tuple[Triple, Triple]] = {
    "conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
"""Size and stride of the max pooling before a layer."""


class I3D(nn.Module):
    """I3D without its classification layer, with random weights.

    Args:
        channels: input channels: 3 of RGB, 2 of optical flow.
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
        in_channels = 192
        for name, widths in _BLOCKS.items():
            self.layers[name] = InceptionBlock(in_channels, widths)
            in_channels = widths[0] + widths[2] + widths[4] + widths[5]
        init_weights(self)

    def forward(self, clips: Float[Tensor, "batch channels frames height width"]) -> Float[Tensor, "batch 1024"]:
        """Compute features: averages over space and two time steps, averaged over time, as in published features.

        Args:
            clips: in [-1, 1]; at least 9 frames of 224 x 224 pixels.
        """
        x = clips
        for name, layer in self.layers.items():
            if name in _MAX_POOL_BEFORE:
                x = _max_pool(x, *_MAX_POOL_BEFORE[name])
            x = layer(x)
        return F.avg_pool3d(x, (2, 7, 7), stride=1).mean(dim=(2, 3, 4))


class Unit(nn.Module):
    """Convolution, batch normalisation and ReLU, with TensorFlow's padding SAME."""

    def __init__(self, in_channels: int, out_channels: int, size: Triple, stride: Triple = (1, 1, 1)) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        self.conv3d = nn.Conv3d(in_channels, out_channels, size, stride=stride, bias=False)
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3)

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels out_frames out_height out_width"]:
        """Apply the unit."""
        out: Tensor = self.bn(self.conv3d(_pad_same(x, self.size, self.stride)))
        return out.relu_()


class InceptionBlock(nn.Module):
    """Inception block of four parallel branches, with the names of pytorch-i3d (`b0`, `b1a`, ...)."""

    def __init__(self, in_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1_in, b1_out, b2_in, b2_out, b3 = widths
        self.b0 = Unit(in_channels, b0, (1, 1, 1))
        self.b1a, self.b1b = Unit(in_channels, b1_in, (1, 1, 1)), Unit(b1_in, b1_out, (3, 3, 3))
        self.b2a, self.b2b = Unit(in_channels, b2_in, (1, 1, 1)), Unit(b2_in, b2_out, (3, 3, 3))
        self.b3b = Unit(in_channels, b3, (1, 1, 1))

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels frames height width"]:
        """Concatenate the outputs of the branches along channels."""
        pooled = _max_pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


def _max_pool(x: Tensor, size: Triple, stride: Triple) -> Tensor:
    # The input comes from a ReLU, so that padding with zeros never changes a maximum.
    return F.max_pool3d(_pad_same(x, size, stride), size, stride)


def _pad_same(x: Tensor, size: Triple, stride: Triple) -> Tensor:
    """Pad with zeros to an output length of ceil(length / stride); an odd zero goes to the end."""
    padding: list[int] = []
    for length, window, step in zip(x.shape[:1:-1], size[::-1], stride[::-1], strict=True):
        missing = max((-(-length // step) - 1) * step + window - length, 0)
        padding += [missing // 2, missing - missing // 2]
    return F.pad(x, padding) if any(padding) else x


_BRANCH = re.compile(r"\.branch_(\d)(?:\.(\d))?\.")
_HEADS = ("logits.", "conv3d_0c_1x1.")


def rename_tensor(name: str) -> str | None:
    """Map the tensor names of the two common conversions of DeepMind's weights to the network's.

    The conversions are pytorch-i3d's `rgb_imagenet.pt` and `flow_imagenet.pt` (`Mixed_3b.b1a.bn.weight`), and those of
    kinetics_i3d_pytorch, which video_features distributes as `i3d_rgb.pt` and `i3d_flow.pt`
    (`mixed_3b.branch_1.0.batch3d.weight`).
    """
    name = name[:1].lower() + name[1:]
    if name.startswith(_HEADS):
        return None
    name = _BRANCH.sub(lambda match: f".b{match[1]}{'ab'[int(match[2])] if match[2] else ''}.", name)
    return "layers." + name.replace(".batch3d.", ".bn.")


def build_rgb(context: BuildContext[PublishedFeatureSettings]) -> BuiltExtractor:
    """Build the RGB stream.

    It sees all frames of a window but the last, which only the flow stream needs: both streams cover the same time.
    """
    with context.source.seeded_init():
        network = I3D(3)
    metadata = context.load_weights(network, rename_tensor)

    def transform(window: Tensor) -> Tensor:
        return clip_input(SHORT_256, SYMMETRIC, window[:-1])

    return BuiltExtractor(network, transform, {**metadata, "geometry": SHORT_256.metadata})


def build_flow(context: BuildContext[FlowFeatureSettings]) -> BuiltExtractor:
    """Build the flow stream. It sees the flow between consecutive frames of a window."""
    with context.source.seeded_init():
        network = I3D(2)
    metadata = context.load_weights(network, rename_tensor)
    compute_flow, flow_metadata = flow.build_flow_method(context.settings.flow, context.source, context.device)

    def transform(window: Tensor) -> Tensor:
        return flow.i3d_flow_input(SHORT_256.center_crop(compute_flow(SHORT_256.resize(window))))

    return BuiltExtractor(network, transform, {**metadata, "geometry": SHORT_256.metadata, "flow": flow_metadata})
