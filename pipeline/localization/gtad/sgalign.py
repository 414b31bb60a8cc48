"""SGAlign (Xu et al., 2020, section 3.3): features of every candidate segment, in plain PyTorch.

A region of the sequence is divided into equal bins. A bin is the mean of linear interpolations: RoIAlign (He et al.,
2017) in one dimension. The region of a segment is the segment, extended by half its length to either side. The
published op is written in CUDA, makes all samples of all segments, and convolves them with a 1x1 kernel. Both are
linear, so here the kernel is applied to the sequence first: 1 % of the multiplications, and no array of all samples.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pipeline.localization.sparse_rows import SparseProduct, SparseRows, to_sparse_rows

EXTENSION = 0.5
"""Part of its length by which a segment is extended to either side."""


def bin_weights(regions: Float[Tensor, "regions 2"], bins: int, positions: int, ratio: int = 0) -> Tensor:
    """Compute the weight of each position of a sequence in each bin of each region.

    A bin of width w has `ratio` samples in equal distances; 0: ceil(w). Position i of the sequence is at coordinate i.
    A sample before -1 or after the length of the sequence is zero and still counts in the mean. The last position
    reaches up to the length. A region is at least one wide.

    Args:
        regions: start and end in positions.
        bins: number of bins.
        positions: length of the sequence.
        ratio: samples per bin; 0: as many as a bin is wide, rounded up.

    Returns:
        A coalesced sparse matrix [regions, bins * positions], float64. The column of bin q at position t is
        q * positions + t.
    """
    # In float32 and in this order, as published: at -1 and at the length the last bit decides.
    start, end = regions.float().unbind(1)
    width = (end - start).clamp_min(1) / bins
    counts = torch.full_like(width, ratio).long() if ratio else width.ceil().long()
    samples = torch.arange(int(counts.max()))
    exists = samples < counts[:, None, None]
    step = (samples + 0.5) * width[:, None, None] / counts[:, None, None]
    place = start[:, None, None] + torch.arange(bins)[:, None] * width[:, None, None] + step
    is_inside = exists & (place >= -1) & (place <= positions)
    region, number, _ = torch.nonzero(is_inside, as_tuple=True)
    place = place[is_inside].clamp_min(0)
    below = place.long().clamp_max(positions - 1)
    above = (below + 1).clamp_max(positions - 1)
    fraction = torch.where(below == positions - 1, 0.0, place - below).double()
    share = 1 / counts[region].double()
    indices = [torch.stack([region, number * positions + position]) for position in (below, above)]
    values = torch.cat([share * (1 - fraction), share * fraction])
    size = (len(regions), bins * positions)
    return torch.sparse_coo_tensor(torch.cat(indices, 1), values, size, check_invariants=True).coalesce()


def segment_regions(positions: int, max_duration: int) -> Float[Tensor, "cells 2"]:
    """Compute the region of each segment [duration, start]: the segment begins at `start` and is duration + 1 long.

    As published, segments that end after the sequence have the region [0, 0]. Their features have no meaning, but a
    convolution over the map reads them.

    Returns:
        Start and end in positions, row duration * positions + start.
    """
    duration, start = torch.meshgrid(torch.arange(max_duration), torch.arange(positions), indexing="ij")
    margin = EXTENSION * (duration + 1)
    regions = torch.stack([start - margin, start + duration + margin], 2)
    regions[start + duration >= positions] = 0
    return regions.flatten(0, 1)


class SegmentAlignment(nn.Module):
    """Features of all segments and their 1x1 convolution, in one step.

    A segment has bins of the sequence, and bins of its context: of the same sequence, averaged over graph neighbours.

    Args:
        positions: length of the sequence.
        max_duration: length of the longest segment.
        bins: bins of the sequence.
        context_bins: bins of the context.
        channels: input channels.
        width: output channels.
    """

    cell_rows: Int64[Tensor, " cells"]

    def __init__(
        self, positions: int, max_duration: int, bins: int, context_bins: int, channels: int, width: int
    ) -> None:
        super().__init__()
        self.positions, self.max_duration = positions, max_duration
        self.bins, self.context_bins = bins, context_bins
        self.combine = nn.Conv2d(channels * (bins + context_bins), width, 1)
        # All segments that end after the sequence have one region: half of a square map is sampled once.
        regions, cell_rows = segment_regions(positions, max_duration).unique(dim=0, return_inverse=True)
        matrix = torch.cat([bin_weights(regions, number, positions) for number in (bins, context_bins)], 1).coalesce()
        self.register_buffer("cell_rows", cell_rows, persistent=False)
        for name, sparse_rows in (
            ("matrix", to_sparse_rows(matrix)),
            ("transposed", to_sparse_rows(matrix.t().coalesce())),
        ):
            for field, values in sparse_rows._asdict().items():
                self.register_buffer(f"{name}_{field}", values, persistent=False)

    def forward(
        self, x: Float[Tensor, "videos channels positions"], context: Float[Tensor, "videos channels positions"]
    ) -> Float[Tensor, "videos width regions 1"]:
        """Compute the features of each region; `to_map` gives those of the segments."""
        matrix, transposed = (
            SparseRows(*(getattr(self, f"{name}_{field}") for field in SparseRows._fields))
            for name in ("matrix", "transposed")
        )
        kernel = self.combine.weight.unflatten(1, (x.shape[1], -1))[..., 0, 0]
        kernels = kernel.split([self.bins, self.context_bins], dim=2)
        parts = [torch.einsum("vct,wcq->vqtw", *pair) for pair in zip((x, context), kernels, strict=True)]
        weighted = torch.cat(parts, 1).flatten(1, 2)
        # One video at a time: its features are then in the memory layout that convolutions read fastest.
        regions = torch.stack([SparseProduct.apply(rows, matrix, transposed) for rows in weighted])
        assert self.combine.bias is not None
        return (regions + self.combine.bias).transpose(1, 2)[..., None]

    def to_map(
        self, regions: Float[Tensor, "videos width regions 1"]
    ) -> Float[Tensor, "videos width durations positions"]:
        """Return the features of the region of each segment [duration, start]."""
        return regions[:, :, self.cell_rows, 0].unflatten(2, (self.max_duration, self.positions))
