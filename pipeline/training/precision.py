"""How a network is computed: number format, order in memory, compiled or not. The weights stay float32."""

import contextlib
from typing import Literal

import torch
from torch import nn


def autocast(
    device: torch.device, precision: Literal["float32", "bfloat16"]
) -> contextlib.AbstractContextManager[None]:
    """Where forward passes run: convolutions and linear layers in bfloat16, if that is asked for.

    bfloat16 has the range of float32, so that gradients need no scaling.
    """
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def prepared(model: nn.Module, device: torch.device, *, channels_last: bool, compiled: bool) -> None:
    """Bring a network of 3D convolutions to its device, in place; names of its weights stay as they are.

    Args:
        model: the network.
        device: where it is to run.
        channels_last: whether channels lie beside each other in memory, which is faster for most.
        compiled: whether `torch.compile` makes kernels for it at the first batch of each shape.
    """
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if compiled:
        model.compile()
