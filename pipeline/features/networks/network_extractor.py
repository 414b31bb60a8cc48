"""An extractor that is a way of preparing windows and a network for batches of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.features.combined import ClipGrid


@dataclass
class NetworkExtractor:
    """See `pipeline.features.networks.base.Extractor`, whose attributes these are.

    Attributes:
        network: on its device, in evaluation mode.
        prepared: of one window.
        stacked: prepared windows as the network takes them.
        files: of weights, that it was made from.
    """

    name: str
    modality: Literal["frames", "sound"]
    dim: int
    grid: ClipGrid
    facts: dict[str, Any]
    network: nn.Module
    prepared: Callable[[Tensor], Tensor]
    stacked: Callable[[Sequence[Tensor]], Tensor] = lambda windows: torch.stack(list(windows))
    files: Sequence[Path] = ()

    @torch.no_grad()
    def prepare(self, window: Tensor) -> Tensor:
        """One window as the network is to see it."""
        return self.prepared(window)

    @torch.no_grad()
    def __call__(self, windows: Sequence[Tensor]) -> Float[Tensor, "batch dim"]:
        """Features of prepared windows."""
        features: Tensor = self.network(self.stacked(windows))
        return features.float()
