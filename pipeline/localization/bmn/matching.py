"""The boundary-matching layer: features sampled at fixed places of every possible proposal.

A video is a row of positions; a proposal (start, end), start <= end, covers the positions of both and all between. It
is extended by half of (its length + 1) to either side, and 32 samples are spread over that, each the mean of three
linear interpolations. Published, that is a product with a matrix [positions, samples * positions^2], of which no more
than 1.5 % is not zero. Here only what is not zero is kept: a bag of weighted rows for each proposal, and the way back.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

EXTENSION = 0.5
"""Of (length + 1), to either side."""
POINTS = 3
"""Interpolations whose mean is one sample."""


class Bags(NamedTuple):
    """A sparse matrix by its rows; each makes a weighted sum of some rows of what the matrix is applied to.

    Attributes:
        members: of the rows that are summed, bag by bag.
        offsets: where in `members` bags begin and the last one ends.
        weights: one for each of `members`.
    """

    members: Int64[Tensor, " entries"]
    offsets: Int64[Tensor, " bags_and_end"]
    weights: Float[Tensor, " entries"]

    def of(self, rows: Float[Tensor, "rows width"]) -> Float[Tensor, "bags width"]:
        """The sums; a bag without entries gives zeros."""
        weights = self.weights.to(rows.dtype)
        return F.embedding_bag(
            self.members, rows, self.offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
        )


def bags(matrix: Tensor) -> Bags:
    """The rows of a coalesced sparse matrix."""
    row, column = matrix.indices()
    ends = torch.bincount(row, minlength=matrix.shape[0]).cumsum(0)
    return Bags(column, torch.cat([ends.new_zeros(1), ends]), matrix.values().float())


def sampling(positions: int, samples: int) -> Tensor:
    """What each sample of each proposal takes from each position.

    Args:
        positions: of a video.
        samples: of a proposal.

    Returns:
        A coalesced sparse matrix [positions^2, samples * positions], float64: the row of proposal (start, end) is
        start * positions + end, and empty where start > end; the column of sample n at position t is
        n * positions + t. What lies beyond the video counts as zero, but for the last position before it.
    """
    start, end = torch.triu_indices(positions, positions)
    margin = EXTENSION * (end + 1.0 - start + 1.0).double()
    first, last = start - margin, end + 1 + margin
    points = samples * POINTS
    at = first[:, None] + ((last - first) / (points - 1.0))[:, None] * torch.arange(points)
    below = at.trunc()  # towards zero, as published: the stretch from -1 to 0 is all the first position's
    share = at - below
    proposal = (start * positions + end)[:, None].expand_as(at)
    column = torch.arange(points).div(POINTS, rounding_mode="floor") * positions
    rows, columns, weights = [], [], []
    for position, weight in ((below, 1 - share), (at.ceil(), share)):
        inside = (position >= 0) & (position < positions) & (weight != 0)
        rows.append(proposal[inside])
        columns.append((column + position.long())[inside])
        weights.append(weight[inside])
    size = (positions**2, samples * positions)
    place = torch.stack([torch.cat(rows), torch.cat(columns)])
    summed = torch.sparse_coo_tensor(place, torch.cat(weights), size, check_invariants=True).coalesce()
    return (summed * (1 / POINTS)).coalesce()


class _Sums(torch.autograd.Function):
    """Bags of rows, and for the gradient the bags of the transposed matrix: both ways are sums of gathered rows."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor, there: Bags, back: Bags) -> Tensor:
        ctx.back = back  # type: ignore[attr-defined]
        return there.of(rows)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        back: Bags = ctx.back  # type: ignore[attr-defined]
        return back.of(gradient.contiguous()), None, None


class BoundaryMatching(nn.Module):
    """Samples of every proposal and the convolution over them, which is linear too and so is done first.

    Published, samples [channels, samples, start, end] are made and then convolved with a kernel as deep as there are
    samples. Applied to the positions before they are sampled, the same weights make the same numbers with a
    hundredth of the multiplications, and nothing of the size [channels, samples, start, end] is ever there.

    Args:
        positions: of a video.
        samples: of a proposal.
        channels: that come.
        width: channels that go.
    """

    def __init__(self, positions: int, samples: int, channels: int, width: int) -> None:
        super().__init__()
        self.combine = nn.Conv3d(channels, width, (samples, 1, 1))
        matrix = sampling(positions, samples)
        for way, part in (("there", bags(matrix)), ("back", bags(matrix.t().coalesce()))):
            for name, values in part._asdict().items():
                self.register_buffer(f"{way}_{name}", values, persistent=False)

    def forward(self, x: Float[Tensor, "videos channels positions"]) -> Float[Tensor, "videos width start end"]:
        """Features of each proposal; those with start > end, which are none, have the bias only."""
        videos, _, positions = x.shape
        kernel = self.combine.weight[..., 0, 0]
        weighed = torch.einsum("vcp,wcs->spvw", x, kernel)
        there, back = (Bags(*(getattr(self, f"{way}_{name}") for name in Bags._fields)) for way in ("there", "back"))
        maps: Tensor = _Sums.apply(weighed.flatten(0, 1).flatten(1), there, back)
        assert self.combine.bias is not None
        maps = maps.view(positions, positions, videos, -1) + self.combine.bias
        return maps.permute(2, 3, 0, 1)
