"""Number format and memory layout of a network, and its compilation. The weights stay float32."""

import contextlib
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn


def autocast(
    device: torch.device, precision: Literal["float32", "bfloat16"]
) -> contextlib.AbstractContextManager[None]:
    """Return the context for forward passes; with `bfloat16`, convolutions and linear layers run in bfloat16.

    bfloat16 has the range of float32, so gradients need no scaling.
    """
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def upcast_to_float32(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Convert logits to float32; float64 stays. Under autocast logits may be bfloat16, too coarse for a loss.

    Call it first in `LossTerm.loss`, unless the functions of the loss do it (`asymmetric_loss` does).
    """
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


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
