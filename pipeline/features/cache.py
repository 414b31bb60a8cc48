"""Clip features as training sees them: tensors, kept in memory within a bound, on a common scale."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.features.combined import Features

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Groups of `size` items in their order, the last one smaller."""
    for first in range(0, len(items), size):
        yield list(items[first : first + size])


class ClipCache:
    """Clip features of videos as tensors. What fits is kept in memory; the rest is read anew each time.

    Args:
        features: where they come from.
        limit_gb: memory they may take, in units of 10^9 bytes.
    """

    def __init__(self, features: Features, limit_gb: float) -> None:
        self.features = features
        self._left = int(limit_gb * 1e9)
        self._kept: dict[str, Tensor] = {}

    def read(self, video: str) -> Float[Tensor, "clips dim"]:
        """Features of one video, float32, on the CPU.

        Raises:
            PipelineError: damaged or absent.
        """
        if video in self._kept:
            return self._kept[video]
        clips = torch.tensor(self.features.read(video))
        size = clips.numel() * clips.element_size()
        if size <= self._left:
            self._left -= size
            self._kept[video] = clips
        return clips


class Standardise(nn.Module):
    """Channels brought to mean 0 and deviation 1, by numbers measured once and kept with the weights.

    Encoders differ in scale by orders of magnitude; concatenated as they are, the largest would drown the
    others.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def measure(self, videos: Iterable[Float[Tensor, "clips dim"]]) -> None:
        """Take mean and deviation over all clips of some videos, at least one; silent channels keep 1."""
        count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        for clips in videos:
            exact = clips.double()
            count += len(exact)
            total = total + exact.sum(0)
            squares = squares + exact.square().sum(0)
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation, 1.0))

    def forward(self, clips: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Features on the common scale."""
        return (clips - self.mean) * self.scale
