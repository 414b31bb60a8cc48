"""SlowFast R50, 8 x 8 (Feichtenhofer et al., 2019): a slow pathway for appearance, a narrow fast pathway for motion.

Modules have the names and nesting of pytorchvideo, so that its published weights fit by name.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.extractors import PublishedFeatureSettings
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.image_transforms import PLAIN_256, SLOWFAST, clip_input
from pipeline.features.networks.weights import drop_prefixes, init_weights

ALPHA = 4
"""Frames of the fast pathway per frame of the slow pathway."""
BETA = 8
"""Channels of the slow pathway per channel of the fast pathway."""
FUSION_RATIO = 2
"""Channels that the slow pathway receives per channel of the fast pathway."""

_DEPTHS = (3, 4, 6, 3)
# Temporal kernel size of the first convolution of each block, by stage: the slow pathway convolves in time only in its
# last two stages.
_SLOW_KERNELS = (1, 1, 3, 3)
_FAST_KERNELS = (3, 3, 3, 3)


class SlowFast(nn.Module):
    """SlowFast without its classification layer, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        slow, fast = Stem(64, kernel=1), Stem(64 // BETA, kernel=5)
        self.blocks = nn.ModuleList([TwoPathwayStage(slow, fast, Fusion(64 // BETA))])
        channels, width = 64, 256
        for index, (depth, slow_kernel, fast_kernel) in enumerate(
            zip(_DEPTHS, _SLOW_KERNELS, _FAST_KERNELS, strict=True)
        ):
            stride, last = 1 if index == 0 else 2, index == len(_DEPTHS) - 1
            self.blocks.append(
                TwoPathwayStage(
                    PathwayStage(depth, channels + channels * FUSION_RATIO // BETA, width, slow_kernel, stride),
                    PathwayStage(depth, channels // BETA, width // BETA, fast_kernel, stride),
                    nn.Identity() if last else Fusion(width // BETA),
                )
            )
            channels, width = width, 2 * width
        init_weights(self)
        for module in self.modules():
            if isinstance(module, Bottleneck):  # with random weights each of 16 blocks would double the activations
                nn.init.constant_(module.get_parameter("branch2.norm_c.weight"), 0.2)

    def forward(self, clips: Float[Tensor, "batch 3 frames height width"]) -> Float[Tensor, "batch 2304"]:
        """Compute features: the averages of both pathways over time and space, slow pathway first.

        Args:
            clips: input of the fast pathway. The slow pathway sees `frames / ALPHA` of these frames, evenly spaced from
                the first to the last.
        """
        frames = clips.shape[2]
        indices = torch.linspace(0, frames - 1, frames // ALPHA, device=clips.device).long()
        slow, fast = clips[:, :, indices], clips
        for stage in self.blocks:
            slow, fast = stage(slow, fast)
        return torch.cat([slow.mean(dim=(2, 3, 4)), fast.mean(dim=(2, 3, 4))], dim=1)


class TwoPathwayStage(nn.Module):
    """One stage of both pathways, and the lateral connection from the fast to the slow pathway."""

    def __init__(self, slow: nn.Module, fast: nn.Module, fusion: nn.Module) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList([slow, fast])
        self.multipathway_fusion = fusion

    def forward(
        self,
        slow: Float[Tensor, "batch slow_channels slow_frames height width"],
        fast: Float[Tensor, "batch fast_channels fast_frames height width"],
    ) -> tuple[Tensor, Tensor]:
        """Apply the stage; return the outputs of the slow and the fast pathway."""
        slow, fast = self.multipathway_blocks[0](slow), self.multipathway_blocks[1](fast)
        if isinstance(self.multipathway_fusion, Fusion):
            slow = torch.cat([slow, self.multipathway_fusion(fast)], dim=1)
        return slow, fast


class Fusion(nn.Module):
    """Lateral connection: a strided convolution brings the fast pathway to the frame rate of the slow pathway."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(
            channels, FUSION_RATIO * channels, (7, 1, 1), stride=(ALPHA, 1, 1), padding=(3, 0, 0), bias=False
        )
        self.norm = nn.BatchNorm3d(FUSION_RATIO * channels)

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch fused slow_frames height width"]:
        """Compute the channels that the slow pathway receives."""
        out: Tensor = self.norm(self.conv_fast_to_slow(x))
        return out.relu_()


class Stem(nn.Module):
    """First convolution of a pathway, and a pooling: height and width are halved twice."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, channels, (kernel, 7, 7), stride=(1, 2, 2), padding=(kernel // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(
        self, x: Float[Tensor, "batch 3 frames height width"]
    ) -> Float[Tensor, "batch out_channels frames out_height out_width"]:
        """Apply the stem."""
        out: Tensor = self.pool(self.norm(self.conv(x)).relu_())
        return out


class PathwayStage(nn.Module):
    """Residual blocks of one stage of one pathway."""

    def __init__(self, depth: int, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        first = Bottleneck(in_channels, channels, kernel, stride)
        self.res_blocks = nn.Sequential(first, *(Bottleneck(channels, channels, kernel, 1) for _ in range(depth - 1)))

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels frames out_height out_width"]:
        """Apply the blocks."""
        out: Tensor = self.res_blocks(x)
        return out


class Bottleneck(nn.Module):
    """Residual bottleneck block: a temporal, a spatial and a 1 x 1 x 1 convolution, and a shortcut."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = channels // 4
        self.branch2 = nn.ModuleDict(
            {
                "conv_a": nn.Conv3d(in_channels, inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False),
                "norm_a": nn.BatchNorm3d(inner),
                "conv_b": nn.Conv3d(inner, inner, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
                "norm_b": nn.BatchNorm3d(inner),
                "conv_c": nn.Conv3d(inner, channels, 1, bias=False),
                "norm_c": nn.BatchNorm3d(channels),
            }
        )
        self.branch1_conv: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.branch1_conv = nn.Conv3d(in_channels, channels, 1, stride=(1, stride, stride), bias=False)
            self.branch1_norm = nn.BatchNorm3d(channels)

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels frames out_height out_width"]:
        """Apply the block."""
        layers = self.branch2
        out = layers["norm_a"](layers["conv_a"](x)).relu_()
        out = layers["norm_b"](layers["conv_b"](out)).relu_()
        out = layers["norm_c"](layers["conv_c"](out))
        shortcut = x if self.branch1_conv is None else self.branch1_norm(self.branch1_conv(x))
        out += shortcut
        result: Tensor = out.relu_()
        return result


def build(context: BuildContext[PublishedFeatureSettings]) -> BuiltExtractor:
    """Build SlowFast. The fast pathway sees all frames of a window; the network selects those of the slow pathway."""
    with context.source.seeded_init():
        network = SlowFast()
    metadata = context.load_weights(network, drop_prefixes(f"blocks.{len(network.blocks) + 1}."))
    transform = partial(clip_input, PLAIN_256, SLOWFAST)
    return BuiltExtractor(network, transform, {**metadata, "geometry": PLAIN_256.metadata})
