"""Read published weights in the format of their authors, without executing anything in the files.

The content of a file, not its name, tells which of four formats it has:

- ig65m-pytorch and torchvision: a state dict; the classification layer is `fc`.
- TSP: a training checkpoint. Its key `model` is the state dict, with the encoder under `features.`, one head as `fc`,
  two heads as `fc1` (action) and `fc2` (temporal region). Its key `args` is an argparse.Namespace, a class that
  reading allows besides tensors: it is created empty and given its attributes; none of its code runs.
- ours (`pipeline.encoders.model.write_model`): the encoder under `encoder.`, the heads under `heads.`.
- any of these in safetensors.

`read_state_dict` also reads the files of the extractors (`pipeline.features.networks`): state dicts under other keys,
and VGGish's PCA, which holds NumPy arrays. Arrays and scalars of numbers are the other classes that reading allows: a
checkpoint often holds its best score as a NumPy scalar. The prefix `module.` of torch's DataParallel is dropped.

TSP's label list makes region 0 "Action" and 1 "No action"; here, as in the paper (Section 3.3), 0 is background. The
rows of a published region head are therefore swapped while reading. Action classes are sorted by name in both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.encoders.r2plus1d import ClipEncoder
from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256
from pipeline.training.torch_files import load_torch_file
from pipeline.training.weights import check_state_dict

SHA256_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth$")
"""How torch.hub names published files: `-` and the first digits of their sha256."""

_PICKLED_SUFFIXES = (".pth", ".pt", ".pyth")
_STATE_DICT_KEYS = ("model", "model_state", "state_dict")
"""Keys of the state dict in a training checkpoint: TSP's, pytorchvideo's, and that of older PyTorch examples."""

_DATA_PARALLEL = "module."
"""What torch's DataParallel puts in front of the name of every tensor."""

_ENCODER_PREFIX = re.compile(r"^(?:features|encoder)\.")
_HEAD = re.compile(r"^(?:fc(?P<number>[12]?)|heads\.(?P<name>\w+))\.(?P<part>weight|bias)$")


@dataclass(frozen=True)
class EncoderWeights:
    """Weights of an encoder under the names of this project.

    Attributes:
        path: the file.
        sha256: sha256 of the file.
        encoder: state dict of a `ClipEncoder`.
        heads: state dict of `Heads`, for the heads in the file: `action.weight`, `action.bias`, `region.weight`, ...
    """

    path: Path
    sha256: str
    encoder: dict[str, Tensor]
    heads: dict[str, Tensor]


def read_encoder_weights(path: Path, digest: str | None = None) -> EncoderWeights:
    """Read the weights of an encoder and its heads.

    Args:
        path: `.safetensors`, or `.pth` in torch's zip format or the older one.
        digest: first hex digits of the file's sha256; None checks those in the name of a `.pth` file, if there are
            any.

    Raises:
        PipelineError: the file is absent or damaged, has another sha256, or holds anything but weights.
    """
    state, checksum = read_state_dict(path, digest)
    encoder: dict[str, Tensor] = {}
    heads: dict[str, Tensor] = {}
    for name, tensor in state.items():
        head = _HEAD.match(name)
        if head is None:
            encoder[_ENCODER_PREFIX.sub("", name)] = tensor
        elif head["number"] == "2":
            heads[f"region.{head['part']}"] = tensor.flip(0)
        else:
            heads[f"{head['name'] or 'action'}.{head['part']}"] = tensor
    return EncoderWeights(path, checksum, encoder, heads)


def read_state_dict(path: Path, digest: str | None = None) -> tuple[Mapping[str, Tensor], str]:
    """Read the state dict of a file of any format, with its own names and order.

    Args:
        path: `.safetensors`, or `.pth` (`.pt` and `.pyth` are the same) in torch's zip format or the older one.
        digest: as in `read_encoder_weights`.

    Returns:
        the state dict; sha256 of the file.

    Raises:
        PipelineError: as in `read_encoder_weights`.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such weight file")
    checksum = sha256(path)
    in_name = SHA256_IN_NAME.search(path.name)
    expected = digest or (in_name[1] if in_name else "")
    if not checksum.startswith(expected):
        raise PipelineError(f"{path}: its sha256 does not begin with {expected} as published; fetch it again")
    return _load(path), checksum


def _load(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise PipelineError(f"{path}: weights cannot be read ({error})") from None
    if path.suffix not in _PICKLED_SUFFIXES:
        raise PipelineError(f"{path}: weights must be a .safetensors or a .pth file")
    content = load_torch_file(path)
    state = content
    if isinstance(content, dict):
        state = next((content[key] for key in _STATE_DICT_KEYS if isinstance(content.get(key), dict)), content)
        state = {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in state.items()
            if not isinstance(value, np.generic)  # a best score or an epoch beside the weights
        }
    is_state_dict = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    )
    if not is_state_dict:
        raise PipelineError(f"{path}: holds no plain state dict (names and tensors)")
    while state and all(name.startswith(_DATA_PARALLEL) for name in state):
        state = {name.removeprefix(_DATA_PARALLEL): tensor for name, tensor in state.items()}
    return state


def load_initial_weights(path: Path, encoder: ClipEncoder, heads: nn.ModuleDict | None = None) -> EncoderWeights:
    """Load weights from a file into an encoder, and into heads if they are given.

    Args:
        path: the file, as for `read_encoder_weights`.
        encoder: an encoder of the file's architecture.
        heads: heads to initialise; those that the file lacks stay unchanged. None ignores the file's heads. The file
            does not name its classes: their number is checked, and their order must be that of the labels sorted by
            name, as in TSP's files.

    Returns:
        the weights in the file.

    Raises:
        PipelineError: the file is absent, damaged, of another architecture, or has heads of other sizes (names the
            first keys that differ); or it has none of the heads.
    """
    weights = read_encoder_weights(path)
    check_state_dict(path, weights.encoder, encoder)
    encoder.load_state_dict(weights.encoder)
    if heads is not None:
        _load_heads(weights, heads)
    return weights


def _load_heads(weights: EncoderWeights, heads: nn.ModuleDict) -> None:
    common = [name for name in heads if f"{name}.weight" in weights.heads]
    if not common:
        raise PipelineError(f"{weights.path}: has none of the encoder's heads; set keep_heads: false")
    loaded = nn.ModuleDict({name: heads[name] for name in common})
    state = {name: tensor for name, tensor in weights.heads.items() if name.split(".")[0] in common}
    check_state_dict(weights.path, state, loaded)
    loaded.load_state_dict(state)
