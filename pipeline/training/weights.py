"""Weights on disk, as safetensors: a format that holds tensors and no code."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pipeline.errors import PipelineError
from pipeline.io.atomic import replace_atomically


def save_weights(path: Path, module: torch.nn.Module) -> None:
    """Write a module's state dict atomically, from any device."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with replace_atomically(path) as temporary:
        temporary.write_bytes(save(state))  # save_file would make the file unreadable for other users


def load_weights(path: Path, module: torch.nn.Module) -> None:
    """Load weights into a module of exactly the same architecture.

    Raises:
        PipelineError: the file is unreadable, or of another architecture (names the first keys that differ).
    """
    state = _read_weights(path)
    check_state_dict(path, state, module)
    module.load_state_dict(state)


def load_parts(path: Path, parts: Mapping[str, torch.nn.Module]) -> None:
    """Load modules that are parts of a larger module whose weights a file holds.

    Args:
        path: the file.
        parts: modules by their names in the larger one.

    Raises:
        PipelineError: as `load_weights`.
    """
    state = _read_weights(path)
    for name, part in parts.items():
        prefix = f"{name}."
        of_part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        check_state_dict(path, of_part, part)
        part.load_state_dict(of_part)


def check_state_dict(path: Path, state: dict[str, torch.Tensor], module: torch.nn.Module) -> None:
    """Compare the names and shapes of a state dict with those of a module.

    Raises:
        PipelineError: they differ; names the file and the first three differing keys.
    """
    module_shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    file_shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if module_shapes == file_shapes:
        return
    names = module_shapes.keys() | file_shapes.keys()
    different = sorted(name for name in names if module_shapes.get(name) != file_shapes.get(name))
    examples = ", ".join(
        f"{name} (file {file_shapes.get(name)}, model {module_shapes.get(name)})" for name in different[:3]
    )
    raise PipelineError(f"{path}: weights of another architecture; {len(different)} keys differ, first {examples}")


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise PipelineError(f"{path}: weights cannot be read ({error})") from None
