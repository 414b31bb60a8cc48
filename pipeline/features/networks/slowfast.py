"""SlowFast R50, 8 x 8 (Feichtenhofer et al., 2019): a slow pathway of pictures, a narrow fast one of motion.

Modules are named and nested as pytorchvideo's, so that its published weights fit by name.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.features.networks.weights import initialise

DIM = 2304
ALPHA = 4
"""Frames of the fast pathway to one of the slow one."""
BETA = 8
"""Channels of the slow pathway to one of the fast one."""
FUSED = 2
"""Channels that the slow pathway receives to one that the fast one has."""

_DEPTHS = (3, 4, 6, 3)
# Length in time of each stage's first convolutions: the slow pathway sees time in its last two stages only.
_SLOW_TIME = (1, 1, 3, 3)
_FAST_TIME = (3, 3, 3, 3)


class SlowFast(nn.Module):
    """The network up to its pooled features, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        slow, fast = Stem(64, time=1), Stem(64 // BETA, time=5)
        self.blocks = nn.ModuleList([Stage(slow, fast, Fusion(64 // BETA))])
        channels, width = 64, 256
        for number, (depth, slow_time, fast_time) in enumerate(zip(_DEPTHS, _SLOW_TIME, _FAST_TIME, strict=True)):
            stride, last = 1 if number == 0 else 2, number == len(_DEPTHS) - 1
            self.blocks.append(
                Stage(
                    Pathway(depth, channels + channels * FUSED // BETA, width, slow_time, stride),
                    Pathway(depth, channels // BETA, width // BETA, fast_time, stride),
                    nn.Identity() if last else Fusion(width // BETA),
                )
            )
            channels, width = width, 2 * width
        initialise(self)
        for module in self.modules():
            if isinstance(module, Bottleneck):  # else each of 16 blocks would double what passes through
                nn.init.constant_(module.get_parameter("branch2.norm_c.weight"), 0.2)

    def forward(self, clips: Float[Tensor, "batch 3 frames height width"]) -> Float[Tensor, "batch 2304"]:
        """Features: the averages of both pathways over time and space, slow first.

        Args:
            clips: what the fast pathway sees; the slow one sees `len / ALPHA` of it, from the first frame to the last.
        """
        frames = clips.shape[2]
        chosen = torch.linspace(0, frames - 1, frames // ALPHA, device=clips.device).long()
        slow, fast = clips[:, :, chosen], clips
        for stage in self.blocks:
            slow, fast = stage(slow, fast)
        return torch.cat([slow.mean(dim=(2, 3, 4)), fast.mean(dim=(2, 3, 4))], dim=1)


class Stage(nn.Module):
    """One stage of both pathways, and what the fast one then tells the slow one."""

    def __init__(self, slow: nn.Module, fast: nn.Module, fusion: nn.Module) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList([slow, fast])
        self.multipathway_fusion = fusion

    def forward(
        self,
        slow: Float[Tensor, "batch slow_channels slow_frames height width"],
        fast: Float[Tensor, "batch fast_channels fast_frames height width"],
    ) -> tuple[Tensor, Tensor]:
        """What goes on in either pathway."""
        slow, fast = self.multipathway_blocks[0](slow), self.multipathway_blocks[1](fast)
        if isinstance(self.multipathway_fusion, Fusion):
            slow = torch.cat([slow, self.multipathway_fusion(fast)], dim=1)
        return slow, fast


class Fusion(nn.Module):
    """The fast pathway at the slow one's rate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(
            channels, FUSED * channels, (7, 1, 1), stride=(ALPHA, 1, 1), padding=(3, 0, 0), bias=False
        )
        self.norm = nn.BatchNorm3d(FUSED * channels)

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch fused slow_frames height width"]:
        """What the slow pathway receives."""
        out: Tensor = self.norm(self.conv_fast_to_slow(x))
        return out.relu_()


class Stem(nn.Module):
    """The first convolution of a pathway; halves space twice."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (time, 7, 7), stride=(1, 2, 2), padding=(time // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(width)
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(
        self, x: Float[Tensor, "batch 3 frames height width"]
    ) -> Float[Tensor, "batch out_channels frames out_height out_width"]:
        """The stem's output."""
        out: Tensor = self.pool(self.norm(self.conv(x)).relu_())
        return out


class Pathway(nn.Module):
    """The residual blocks of one stage of one pathway."""

    def __init__(self, depth: int, channels: int, width: int, time: int, stride: int) -> None:
        super().__init__()
        first = Bottleneck(channels, width, time, stride)
        self.res_blocks = nn.Sequential(first, *(Bottleneck(width, width, time, 1) for _ in range(depth - 1)))

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels frames out_height out_width"]:
        """The stage's output."""
        out: Tensor = self.res_blocks(x)
        return out


class Bottleneck(nn.Module):
    """Time and fewer channels, space, all channels; a shortcut around them."""

    def __init__(self, channels: int, width: int, time: int, stride: int) -> None:
        super().__init__()
        inner = width // 4
        self.branch2 = nn.ModuleDict(
            {
                "conv_a": nn.Conv3d(channels, inner, (time, 1, 1), padding=(time // 2, 0, 0), bias=False),
                "norm_a": nn.BatchNorm3d(inner),
                "conv_b": nn.Conv3d(inner, inner, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
                "norm_b": nn.BatchNorm3d(inner),
                "conv_c": nn.Conv3d(inner, width, 1, bias=False),
                "norm_c": nn.BatchNorm3d(width),
            }
        )
        self.branch1_conv: nn.Module | None = None
        if stride != 1 or channels != width:
            self.branch1_conv = nn.Conv3d(channels, width, 1, stride=(1, stride, stride), bias=False)
            self.branch1_norm = nn.BatchNorm3d(width)

    def forward(
        self, x: Float[Tensor, "batch channels frames height width"]
    ) -> Float[Tensor, "batch out_channels frames out_height out_width"]:
        """The block's output."""
        inner = self.branch2
        out = inner["norm_a"](inner["conv_a"](x)).relu_()
        out = inner["norm_b"](inner["conv_b"](out)).relu_()
        out = inner["norm_c"](inner["conv_c"](out))
        shortcut = x if self.branch1_conv is None else self.branch1_norm(self.branch1_conv(x))
        out += shortcut
        result: Tensor = out.relu_()
        return result
