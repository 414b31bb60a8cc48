"""The boundary-matching network (Lin et al., 2019): start and end probabilities, and two confidences of every pair.

The boundary-matching layer samples features at fixed places of every possible proposal. A video is a row of positions;
a proposal (start, end), start <= end, covers both positions and all between. It is extended by half of (its length + 1)
to either side, and `num_samples` samples are spread over that, each the mean of three linear interpolations. The
published layer is a product with a dense matrix [positions, samples * positions^2], of which at most 1.5 % is not zero.
Here the matrix is sparse: each row lists a few weighted positions, and the transposed matrix gives the gradient.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.features.cache import FeatureNorm
from pipeline.localization.sparse_rows import SparseProduct, SparseRows, to_sparse_rows

EXTENSION = 0.5
"""Part of (length + 1) by which a proposal is extended to either side."""
INTERPOLATIONS = 3
"""Number of interpolations whose mean is one sample."""
GROUPS = 4
"""Groups of the convolutions over time."""


def sampling_matrix(positions: int, num_samples: int) -> Tensor:
    """Compute the weight of each position in each sample of each proposal.

    Args:
        positions: number of positions of a video.
        num_samples: samples per proposal.

    Returns:
        A coalesced sparse matrix [positions^2, num_samples * positions], float64. The row of proposal (start, end) is
        start * positions + end, and is empty if start > end. The column of sample n at position t is
        n * positions + t. Places outside the video count as zero, except the last position before the video.
    """
    start, end = torch.triu_indices(positions, positions)
    margin = EXTENSION * (end + 1.0 - start + 1.0).double()
    first, last = start - margin, end + 1 + margin
    points = num_samples * INTERPOLATIONS
    place = first[:, None] + ((last - first) / (points - 1.0))[:, None] * torch.arange(points)
    # Truncation towards zero, as published: all places from -1 to 0 count for the first position.
    below = place.trunc()
    fraction = place - below
    proposal = (start * positions + end)[:, None].expand_as(place)
    sample_column = torch.arange(points).div(INTERPOLATIONS, rounding_mode="floor") * positions
    rows, columns, weights = [], [], []
    for position, weight in ((below, 1 - fraction), (place.ceil(), fraction)):
        inside = (position >= 0) & (position < positions) & (weight != 0)
        rows.append(proposal[inside])
        columns.append((sample_column + position.long())[inside])
        weights.append(weight[inside])
    size = (positions**2, num_samples * positions)
    indices = torch.stack([torch.cat(rows), torch.cat(columns)])
    summed = torch.sparse_coo_tensor(indices, torch.cat(weights), size, check_invariants=True).coalesce()
    return (summed * (1 / INTERPOLATIONS)).coalesce()


class BoundaryMatching(nn.Module):
    """Sample every proposal and convolve over its samples; both are linear, so the convolution is done first.

    The published layer makes samples [channels, samples, start, end] and convolves them with a kernel as deep as there
    are samples. The same weights applied to the positions before sampling give the same numbers with a hundredth of the
    multiplications, and no array of the size [channels, samples, start, end] exists.

    Args:
        positions: number of positions of a video.
        num_samples: samples per proposal.
        channels: input channels.
        width: output channels.
    """

    def __init__(self, positions: int, num_samples: int, channels: int, width: int) -> None:
        super().__init__()
        self.combine = nn.Conv3d(channels, width, (num_samples, 1, 1))
        matrix = sampling_matrix(positions, num_samples)
        for name, sparse_rows in (
            ("matrix", to_sparse_rows(matrix)),
            ("transposed", to_sparse_rows(matrix.t().coalesce())),
        ):
            for field, values in sparse_rows._asdict().items():
                self.register_buffer(f"{name}_{field}", values, persistent=False)

    def forward(self, x: Float[Tensor, "videos channels positions"]) -> Float[Tensor, "videos width start end"]:
        """Compute the features of each proposal; pairs with start > end, which are no proposals, get the bias only."""
        videos, _, positions = x.shape
        kernel = self.combine.weight[..., 0, 0]
        weighted = torch.einsum("vcp,wcs->spvw", x, kernel)
        matrix, transposed = (
            SparseRows(*(getattr(self, f"{name}_{field}") for field in SparseRows._fields))
            for name in ("matrix", "transposed")
        )
        maps: Tensor = SparseProduct.apply(weighted.flatten(0, 1).flatten(1), matrix, transposed)
        assert self.combine.bias is not None
        maps = maps.view(positions, positions, videos, -1) + self.combine.bias
        return maps.permute(2, 3, 0, 1)


@dataclass(frozen=True)
class BmnWidths:
    """Sizes of the network; the defaults are the published ones.

    Attributes:
        num_samples: samples per proposal.
        hidden_dim_1d: channels of the convolutions over time; a multiple of `GROUPS`.
        hidden_dim_2d: channels of the convolutions over the map of proposals.
        hidden_dim_3d: channels of a proposal after the convolution over its samples.
    """

    num_samples: int = 32
    hidden_dim_1d: int = 256
    hidden_dim_2d: int = 128
    hidden_dim_3d: int = 512


@dataclass(frozen=True)
class BmnOutput:
    """Probabilities of a batch of videos. Maps are [start, end] and have no meaning where start > end.

    The paper draws the maps as [duration, start].

    Attributes:
        start: an event starts at the position.
        end: an event ends at the position.
        iou_reg: tIoU of the proposal with its best event, by regression.
        iou_cls: the proposal has a high tIoU with an event, by classification.
    """

    start: Float[Tensor, "videos positions"]
    end: Float[Tensor, "videos positions"]
    iou_reg: Float[Tensor, "videos positions positions"]
    iou_cls: Float[Tensor, "videos positions positions"]


class BoundaryMatchingNetwork(nn.Module):
    """The network: 4,978,564 parameters with the published sizes and 400 channels of features.

    Args:
        dim: channels of the features. If `GROUPS` does not divide them, the first convolution has fewer groups.
        positions: number of positions of a video.
        widths: sizes of the layers.
    """

    def __init__(self, dim: int, positions: int, widths: BmnWidths) -> None:
        super().__init__()
        temporal, mapped, sampled = widths.hidden_dim_1d, widths.hidden_dim_2d, widths.hidden_dim_3d
        self.feature_norm = FeatureNorm(dim)
        self.base = nn.Sequential(
            nn.Conv1d(dim, temporal, 3, padding=1, groups=math.gcd(GROUPS, dim)),
            nn.ReLU(),
            nn.Conv1d(temporal, temporal, 3, padding=1, groups=GROUPS),
            nn.ReLU(),
        )
        self.start, self.end = _boundary_head(temporal), _boundary_head(temporal)
        self.proposals = nn.Sequential(
            nn.Conv1d(temporal, temporal, 3, padding=1),
            nn.ReLU(),
            BoundaryMatching(positions, widths.num_samples, temporal, sampled),
            nn.ReLU(),
            nn.Conv2d(sampled, mapped, 1),
            nn.ReLU(),
            nn.Conv2d(mapped, mapped, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(mapped, mapped, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(mapped, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Float[Tensor, "videos positions dim"]) -> BmnOutput:
        """Compute the probabilities of videos that are rescaled to the network's positions."""
        x = self.base(self.feature_norm(features).transpose(1, 2))
        maps = self.proposals(x)
        return BmnOutput(self.start(x)[:, 0], self.end(x)[:, 0], iou_reg=maps[:, 0], iou_cls=maps[:, 1])


def _boundary_head(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(width, width, 3, padding=1, groups=GROUPS), nn.ReLU(), nn.Conv1d(width, 1, 1), nn.Sigmoid()
    )
