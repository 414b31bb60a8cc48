"""Feature rows for training: as tensors, cached in memory within a limit, and normalised."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.features.combined import CombinedFeatures

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> list[list[T]]:
    """Split items into batches of `size` in their order; the last batch may be smaller."""
    return [list(items[first : first + size]) for first in range(0, len(items), size)]


class FeatureCache:
    """Feature rows of videos as tensors. Videos beyond the memory limit are read again each time.

    Args:
        features: where the rows are read.
        limit_gb: memory limit (10^9 bytes).
    """

    def __init__(self, features: CombinedFeatures, limit_gb: float) -> None:
        self.features = features
        self._free_bytes = int(limit_gb * 1e9)
        self._cached: dict[str, Tensor] = {}

    def read(self, video: str) -> Float[Tensor, "rows dim"]:
        """Return the feature rows of a video, float32, on the CPU.

        Raises:
            PipelineError: the features are absent or damaged.
        """
        if video in self._cached:
            return self._cached[video]
        rows = torch.tensor(self.features.read(video))
        size = rows.numel() * rows.element_size()
        if size <= self._free_bytes:
            self._free_bytes -= size
            self._cached[video] = rows
        return rows


class FeatureNorm(nn.Module):
    """Normalises each channel to mean 0 and standard deviation 1. `fit` computes the statistics once.

    The statistics are saved with the weights. Features of different encoders differ in scale by orders of magnitude;
    without normalisation, the largest channels would dominate a concatenation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, videos: Iterable[Float[Tensor, "rows dim"]]) -> None:
        """Compute mean and standard deviation over all rows of at least one video; constant channels keep scale 1."""
        count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        for rows in videos:
            exact = rows.double()
            count += len(exact)
            total = total + exact.sum(0)
            squares = squares + exact.square().sum(0)
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation, 1.0))

    def forward(self, rows: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Normalise feature rows."""
        return (rows - self.mean) * self.scale
