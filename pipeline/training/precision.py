"""Number format and memory layout of a network, and its compilation. The weights stay float32."""

import contextlib
from typing import Literal

import torch
from torch import nn


def autocast(
    device: torch.device, precision: Literal["float32", "bfloat16"]
) -> contextlib.AbstractContextManager[None]:
    """Return the context for forward passes; with `bfloat16`, convolutions and linear layers run in bfloat16.

    bfloat16 has the range of float32, so gradients need no scaling.
    """
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def to_device_inplace(model: nn.Module, device: torch.device, *, channels_last: bool, compiled: bool) -> None:
    """Move a network of 3D convolutions to a device, in place; the names of its weights do not change.

    Args:
        model: the network.
        device: the device.
        channels_last: whether channels are adjacent in memory, which is faster on most devices.
        compiled: whether `torch.compile` compiles the network at the first batch of each shape.
    """
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if compiled:
        model.compile()
