"""Products with a fixed sparse matrix of which each row lists a few weighted positions, forward and backward.

Networks that sample features at fixed places of every possible segment (BMN, G-TAD) are products with such a matrix.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the usual name


class SparseRows(NamedTuple):
    """The rows of a sparse matrix: each one is a weighted sum of rows of the matrix it is multiplied with.

    Attributes:
        members: indices of the summed rows, row by row of the matrix.
        offsets: where each row of the matrix begins in `members`, and where the last one ends.
        weights: of the members.
    """

    members: Int64[Tensor, " entries"]
    offsets: Int64[Tensor, " outputs_and_end"]
    weights: Float[Tensor, " entries"]

    def sum_rows(self, rows: Float[Tensor, "rows width"]) -> Float[Tensor, "outputs width"]:
        """Compute the weighted sums; an empty row of the matrix gives zeros."""
        weights = self.weights.to(rows.dtype)
        return F.embedding_bag(
            self.members, rows, self.offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
        )


def to_sparse_rows(matrix: Tensor) -> SparseRows:
    """Convert a coalesced sparse matrix to its rows."""
    row, column = matrix.indices()
    ends = torch.bincount(row, minlength=matrix.shape[0]).cumsum(0)
    return SparseRows(column, torch.cat([ends.new_zeros(1), ends]), matrix.values().float())


class SparseProduct(torch.autograd.Function):
    """Sparse matrix times rows; the backward pass multiplies with the transposed matrix."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, rows: Tensor, matrix: SparseRows, transposed: SparseRows
    ) -> Tensor:
        """Multiply."""
        ctx.transposed = transposed  # type: ignore[attr-defined]
        return matrix.sum_rows(rows)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Multiply the gradient with the transposed matrix."""
        transposed: SparseRows = ctx.transposed  # type: ignore[attr-defined]
        return transposed.sum_rows(gradient.contiguous()), None, None
