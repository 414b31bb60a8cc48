"""Weights on disk: safetensors, which can hold tensors and nothing that runs."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pipeline.errors import PipelineError
from pipeline.io.atomic import replacing


def save_weights(path: Path, module: torch.nn.Module) -> None:
    """Write a module's state atomically, from whatever device it is on."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(state))  # save_file would make the file unreadable for others


def load_weights(path: Path, module: torch.nn.Module) -> None:
    """Load weights into a module of exactly that architecture.

    Raises:
        PipelineError: unreadable, or made for another architecture (names the first keys that differ).
    """
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise PipelineError(f"{path}: weights cannot be read ({error})") from None
    check_fits(path, state, module)
    module.load_state_dict(state)


def check_fits(path: Path, state: dict[str, torch.Tensor], module: torch.nn.Module) -> None:
    """Compare names and shapes of weights with what a module holds.

    Raises:
        PipelineError: they differ; names the file and the first three differing keys.
    """
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if own == given:
        return
    different = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
    shown = ", ".join(f"{name} (file {given.get(name)}, model {own.get(name)})" for name in different[:3])
    raise PipelineError(f"{path}: weights of another architecture; {len(different)} keys differ, first {shown}")
