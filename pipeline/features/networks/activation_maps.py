"""Grad-CAM of feature rows: where a network sees, in each window, what moves a score (Selvaraju et al., 2016).

A score depends on feature rows, for example the log-probability of a word. Its gradients with respect to the rows are
given; from there they go back through the network, to the activations of its last convolution (ResNets, R(2+1)D, R3D).
In a vision transformer they go to the tokens that the last block reads: behind it, only the class token reaches the
feature. The map of a window is relu(sum over c of w[c] A[c]); w is the mean gradient over time and space.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import PipelineError
from pipeline.features.networks.base import Extractor


class DifferentiableExtractor(Extractor, Protocol):
    """An extractor whose network can be differentiated.

    Attributes:
        network: from a batch of prepared windows to feature rows.
        files: files that the network was read from.
    """

    network: nn.Module
    files: Sequence[Path]

    def collate(self, windows: Sequence[Tensor], /) -> Tensor:
        """Turn prepared windows into a batch."""
        ...


def find_last_layer(network: nn.Module) -> nn.Module:
    """Return the layer of the network whose output is mapped.

    Raises:
        PipelineError: the network is of another kind.
    """
    layer = getattr(network, "layer4", None)
    blocks = getattr(getattr(network, "transformer", None), "resblocks", None)
    if blocks is not None:
        layer = blocks[-1].ln_1
    if not isinstance(layer, nn.Module):
        raise PipelineError(
            f"maps of frames: {type(network).__name__} has neither residual layers nor blocks of a transformer; use a "
            "feature of CLIP, a ResNet, or an encoder of this project"
        )
    return layer


def map_rows(
    network: nn.Module, windows: Float[Tensor, "rows ..."], gradients: Float[Tensor, "scores rows dim"]
) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "scores rows height width"]]:
    """Compute the map of each window for each score; a network of several frames has their mean.

    Args:
        network: in evaluation mode.
        windows: a batch of prepared windows, one for each row.
        gradients: of each score with respect to the rows.

    Returns:
        The rows, to compare with those that the scores were computed from; the maps.

    Raises:
        PipelineError: the network is of another kind.
    """
    recorded: list[Tensor] = []

    def start_graph(_module: object, _inputs: object, output: Tensor) -> Tensor:
        recorded.append(output.detach().requires_grad_())
        return recorded[0]

    handle = find_last_layer(network).register_forward_hook(start_graph)
    try:
        with torch.enable_grad():
            rows = network(windows)
    finally:
        handle.remove()
    [activations] = recorded
    maps = []
    for gradient in gradients:
        [of_activations] = torch.autograd.grad(rows, activations, gradient.to(rows.dtype), retain_graph=True)
        weights = as_grid(of_activations).mean((2, 3, 4), keepdim=True)
        maps.append(functional.relu((weights * as_grid(activations)).sum(1)).mean(1))
    return rows.detach(), torch.stack(maps).detach()


def as_grid(activations: Tensor) -> Float[Tensor, "rows channels frames height width"]:
    """Arrange activations in time and space: those of convolutions, or tokens, of which the first is of the class."""
    if activations.ndim == 3:
        side = round((activations.shape[1] - 1) ** 0.5)
        return activations[:, 1:].transpose(1, 2).unflatten(2, (1, side, side))
    return activations.unsqueeze(2) if activations.ndim == 4 else activations
