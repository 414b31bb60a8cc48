"""The network of G-TAD (Xu et al., 2020, sections 3.2 to 3.4): graph convolutions over snippets, and maps of segments.

A video is a sequence of positions (snippets). GCNeXt joins convolutions over time with convolutions over a graph whose
edges lead to the nearest features. The published networks for ActivityNet and for THUMOS14 differ in their sizes: see
the settings `pipeline.config.localizers.GtadSettings` and `GtadWindowsSettings`. They have neither dropout nor batch
normalisation.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

from pipeline.features.cache import FeatureNorm
from pipeline.localization.gtad.sgalign import SegmentAlignment

NEIGHBOURS = 3
"""Edges of a position to its nearest features; one of them normally leads to itself."""
GROUPS = 4
"""Groups of the first convolution."""
CARDINALITY, BOTTLENECK = 32, 128
"""Groups and channels of the inner convolutions of GCNeXt."""


@dataclass(frozen=True)
class GtadSizes:
    """Sizes of the network; the defaults are those for ActivityNet.

    Attributes:
        positions: positions of a video.
        max_duration: positions of the longest segment.
        bins: bins of a segment.
        context_bins: bins of a segment in the features of graph neighbours.
        kernel: kernel of the convolutions over the map of segments, odd.
        hidden_dim_1d: channels of the convolutions over time; a multiple of `GROUPS`.
        hidden_dim_2d: channels of the convolutions over the map.
        hidden_dim_3d: channels of a segment after the convolution over its bins.
    """

    positions: int = 100
    max_duration: int = 100
    bins: int = 32
    context_bins: int = 4
    kernel: int = 1
    hidden_dim_1d: int = 256
    hidden_dim_2d: int = 128
    hidden_dim_3d: int = 512


@dataclass(frozen=True)
class GtadOutput:
    """Probabilities of a batch of sequences. Cell [duration, start] is the segment from `start`, duration + 1 long.

    Attributes:
        start: an action starts at the position.
        end: an action ends at the position.
        iou_reg: tIoU of the segment with its best action, by regression.
        iou_cls: the segment has a high tIoU with an action, by classification.
    """

    start: Float[Tensor, "videos positions"]
    end: Float[Tensor, "videos positions"]
    iou_reg: Float[Tensor, "videos durations positions"]
    iou_cls: Float[Tensor, "videos durations positions"]


def nearest_positions(x: Float[Tensor, "videos channels positions"]) -> Int64[Tensor, "videos positions k"]:
    """Return the positions with the nearest features (Euclidean distance) for each position.

    The distances are in float32 and in the published form, because their last bits can decide between neighbours.
    """
    with torch.no_grad():
        inner = -2 * torch.matmul(x.transpose(2, 1), x)
        squares = x.square().sum(1, keepdim=True)
        return (-squares - inner - squares.transpose(2, 1)).topk(min(NEIGHBOURS, x.shape[2])).indices


def gather_neighbours(
    x: Float[Tensor, "videos channels positions"], neighbours: Int64[Tensor, "videos positions k"]
) -> Float[Tensor, "videos channels positions k"]:
    """Return the features of the neighbours of each position."""
    index = neighbours.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.gather(2, index).unflatten(2, neighbours.shape[1:])


class GraphBlock(nn.Module):
    """GCNeXt (Xu et al., 2020, figure 3): the input, convolutions over time, and convolutions over edges, summed.

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal = nn.Sequential(
            nn.Conv1d(channels, BOTTLENECK, 1),
            nn.ReLU(),
            nn.Conv1d(BOTTLENECK, BOTTLENECK, 3, padding=1, groups=CARDINALITY),
            nn.ReLU(),
            nn.Conv1d(BOTTLENECK, channels, 1),
        )
        self.semantic = nn.Sequential(
            nn.Conv2d(2 * channels, BOTTLENECK, 1),
            nn.ReLU(),
            nn.Conv2d(BOTTLENECK, BOTTLENECK, 1, groups=CARDINALITY),
            nn.ReLU(),
            nn.Conv2d(BOTTLENECK, channels, 1),
        )

    def forward(self, x: Float[Tensor, "videos channels positions"]) -> Float[Tensor, "videos channels positions"]:
        """Compute the features; the graph is that of the input."""
        neighbours = gather_neighbours(x, nearest_positions(x))
        edges = torch.cat([neighbours, x[..., None].expand_as(neighbours)], 1)
        return F.relu(self.temporal(x) + x + self.semantic(edges).amax(3))


class GtadNetwork(nn.Module):
    """The network: 5,563,268 parameters with the sizes for ActivityNet and 400 channels of features.

    Args:
        dim: channels of the features. If `GROUPS` does not divide them, the first convolution has fewer groups.
        sizes: sizes of the layers.
    """

    def __init__(self, dim: int, sizes: GtadSizes) -> None:
        super().__init__()
        hidden, mapped, sampled = sizes.hidden_dim_1d, sizes.hidden_dim_2d, sizes.hidden_dim_3d
        self.kernel = sizes.kernel
        self.feature_norm = FeatureNorm(dim)
        self.base = nn.Sequential(
            nn.Conv1d(dim, hidden, 3, padding=1, groups=math.gcd(GROUPS, dim)), nn.ReLU(), GraphBlock(hidden)
        )
        self.start, self.end = _boundary_head(hidden), _boundary_head(hidden)
        self.refine = GraphBlock(hidden)
        self.align = SegmentAlignment(
            sizes.positions, sizes.max_duration, sizes.bins, sizes.context_bins, hidden, sampled
        )
        self.maps = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(sampled, mapped, 1),
            nn.ReLU(),
            nn.Conv2d(mapped, mapped, sizes.kernel, padding=sizes.kernel // 2),
            nn.ReLU(),
            nn.Conv2d(mapped, mapped, sizes.kernel, padding=sizes.kernel // 2),
            nn.ReLU(),
            nn.Conv2d(mapped, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Float[Tensor, "videos positions dim"]) -> GtadOutput:
        """Compute the probabilities of sequences of normalised features.

        Args:
            features: normalised by `feature_norm`, with zeros after the end of a video.
        """
        base = self.base(features.transpose(1, 2))
        x = self.refine(base)
        context = gather_neighbours(x, nearest_positions(x)).mean(3)
        regions = self.align(x, context)
        # Without neighbours, segments with the same region have the same probabilities: they are computed once.
        is_alone, to_map = self.kernel == 1, self.align.to_map
        maps = to_map(self.maps(regions)) if is_alone else self.maps(to_map(regions))
        return GtadOutput(self.start(base)[:, 0], self.end(base)[:, 0], iou_reg=maps[:, 0], iou_cls=maps[:, 1])


def _boundary_head(channels: int) -> nn.Sequential:
    return nn.Sequential(GraphBlock(channels), nn.Conv1d(channels, 1, 1), nn.Sigmoid())
