"""Published weights in whatever form their authors gave them, read without executing anything in them.

Four forms are told apart by what they hold, not by their names:

- ig65m-pytorch and torchvision: a state dict; the classification layer is `fc`.
- TSP: a training checkpoint whose key `model` is the state dict, the encoder under `features.`, one head as `fc`,
  two as `fc1` (action) and `fc2` (temporal region); `args` is an argparse.Namespace, a class besides tensors that
  reading allows. It is made empty and given its attributes; none of its code runs.
- ours (`pipeline.encoders.model.write_model`): the encoder under `encoder.`, the heads under `heads.`.
- any of these in safetensors.

The extractors' files (`pipeline.features.networks`) are read by the same code, `read_state`: state dicts under other
keys, and VGGish's PCA, which holds NumPy arrays; arrays of numbers are the other class that reading allows.

TSP's label list makes region 0 "Action" and 1 "No action"; here, as in the paper (section 3.3), 0 is background. The
rows of a published region head are therefore swapped while reading. Action classes are sorted by name in both.
"""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256

NAMED_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.pth$")
"""How torch.hub names published files: `-` and the first digits of their sha256."""

_PICKLED = (".pth", ".pt", ".pyth")
_HELD_UNDER = ("model", "model_state", "state_dict")
"""Keys that a training checkpoint has its state dict under: TSP's, pytorchvideo's, the older PyTorch examples'."""

# What arrays of numbers are pickled as, under the names of NumPy before and since 2.
_ARRAYS: list[Any] = [
    np.ndarray,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
    (np._core.multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),  # type: ignore[attr-defined]
]

_PREFIX = re.compile(r"^(?:features|encoder)\.")
_HEAD = re.compile(r"^(?:fc(?P<number>[12]?)|heads\.(?P<own>\w+))\.(?P<part>weight|bias)$")


@dataclass(frozen=True)
class Checkpoint:
    """Weights as this project names and orders them.

    Attributes:
        path: the file.
        sha256: of the file.
        encoder: state of a `ClipEncoder`.
        heads: state of `Heads`, as far as the file has heads: `action.weight`, `action.bias`, `region.weight`, ...
    """

    path: Path
    sha256: str
    encoder: dict[str, Tensor]
    heads: dict[str, Tensor]


def read_checkpoint(path: Path, digest: str | None = None) -> Checkpoint:
    """Read weights.

    Args:
        path: `.safetensors`, or `.pth` in torch's zip form or the older one.
        digest: first hex digits of the file's sha256, where they are known; otherwise those that a `.pth` carries
            in its name, if it does, are checked.

    Raises:
        PipelineError: absent, damaged, not the file that the digest is of, or holding anything but weights.
    """
    state, found = read_state(path, digest)
    encoder: dict[str, Tensor] = {}
    heads: dict[str, Tensor] = {}
    for name, tensor in state.items():
        head = _HEAD.match(name)
        if head is None:
            encoder[_PREFIX.sub("", name)] = tensor
        elif head["number"] == "2":
            heads[f"region.{head['part']}"] = tensor.flip(0)
        else:
            heads[f"{head['own'] or 'action'}.{head['part']}"] = tensor
    return Checkpoint(path, found, encoder, heads)


def read_state(path: Path, digest: str | None = None) -> tuple[Mapping[str, Tensor], str]:
    """Read the state dict of a file of any form, its names and order as they stand in it.

    Args:
        path: `.safetensors`, or `.pth` (`.pt`, `.pyth`: the same under other names) in torch's zip form or the older
            one.
        digest: as for `read_checkpoint`.

    Returns:
        names and tensors; sha256 of the file.

    Raises:
        PipelineError: as `read_checkpoint`.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such weight file")
    found = sha256(path)
    named = NAMED_DIGEST.search(path.name)
    expected = digest or (named[1] if named else "")
    if not found.startswith(expected):
        raise PipelineError(f"{path}: its sha256 does not begin with {expected} as published; fetch it again")
    return _state(path), found


def _state(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise PipelineError(f"{path}: weights cannot be read ({error})") from None
    if path.suffix not in _PICKLED:
        raise PipelineError(f"{path}: weights must be a .safetensors or a .pth file")
    try:
        with torch.serialization.safe_globals([argparse.Namespace, *_ARRAYS]):
            held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file stops torch's reader in a dozen ways, failed assertions among them
        raise PipelineError(f"{path}: weights cannot be read without executing code ({_reason(error)})") from None
    state = held
    if isinstance(held, dict):
        state = next((held[key] for key in _HELD_UNDER if isinstance(held.get(key), dict)), held)
        state = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in state.items()}
    plain = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    )
    if not plain:
        raise PipelineError(f"{path}: holds no plain state dict (names and tensors)")
    return state


def _reason(error: Exception) -> str:
    """What torch holds against a file, without its advice on how to read it all the same."""
    said = str(error)
    line = next(iter((said.partition("WeightsUnpickler error: ")[2] or said).splitlines()), "")
    return line.partition(". ")[0] or type(error).__name__
