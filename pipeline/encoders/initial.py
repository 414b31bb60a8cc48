"""Weights to start from: published files, read without executing anything in them."""

import pickle
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.config.errors import PipelineError
from pipeline.encoders.encoder import ClipEncoder
from pipeline.store.atomic import sha256
from pipeline.training.weights import check_fits

_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth$")
"""How torch.hub names published files: `-` and the first digits of their sha256."""


def load_initial(path: Path, encoder: ClipEncoder) -> None:
    """Load published weights into an encoder; the file's classification layer (`fc...`) is left out.

    Args:
        path: `.safetensors`, or a `.pth` holding a state dict. The sha256 that a `.pth` carries in its name
            is checked.
        encoder: of the architecture that the file was made for.

    Raises:
        PipelineError: absent, damaged, of neither kind, or made for another architecture.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such weight file (key initial_weights)")
    state = {name: tensor for name, tensor in _read(path).items() if not name.startswith("fc")}
    check_fits(path, state, encoder)
    encoder.load_state_dict(state)


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise PipelineError(f"{path}: weights cannot be read ({error})") from None
    if path.suffix != ".pth":
        raise PipelineError(f"{path}: weights must be a .safetensors or a .pth file")
    named = _HASH.search(path.name)
    if named and not sha256(path).startswith(named[1]):
        raise PipelineError(f"{path}: its sha256 does not begin with {named[1]} as its name says; fetch it again")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PipelineError(f"{path}: weights cannot be read without executing code ({reason})") from None
    if not (isinstance(state, dict) and all(isinstance(tensor, torch.Tensor) for tensor in state.values())):
        raise PipelineError(f"{path}: holds no plain state dict (names and tensors)")
    return state
