"""Weights of the extractors' networks: where a file is found, and how its tensor names map to the network's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from pipeline.config.extractors import WeightFile
from pipeline.encoders.weight_files import read_state_dict
from pipeline.errors import PipelineError
from pipeline.training.seeds import derive_seed
from pipeline.training.weights import check_state_dict

Rename = Callable[[str], str | None]
"""Map a tensor name of the file to the network's name; None for tensors the network lacks (a classification head)."""


@dataclass(frozen=True)
class WeightSource:
    """Where the weights of one extractor come from.

    Attributes:
        extractor: name of the extractor.
        location: main weight file, or a folder of files under their published names, or `random`. Further files (of
            optical flow, of a PCA) must be in the folder of the main one.
        files: the files read so far.
    """

    extractor: str
    location: Path | Literal["random"]
    files: list[Path] = field(default_factory=list)

    @contextmanager
    def seeded_init(self) -> Iterator[None]:
        """Seed torch's generator, so that networks built in the block get the same random weights every time.

        The seed depends on the extractor's name only. The state of the global generator is restored afterwards.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("extractors", self.extractor))
            yield

    def find_file(self, weights: WeightFile, *, main: bool = True) -> Path:
        """Return the path of a weight file and note it in `files`. `location` must not be `random`.

        Raises:
            PipelineError: no such file; names the file, its address and its sha256.
        """
        assert isinstance(self.location, Path)
        folder = self.location if self.location.is_dir() else self.location.parent
        path = self.location if main and folder != self.location else folder / weights.file
        if not path.is_file():
            raise PipelineError(f"{path}: no such weight file; {self.extractor} needs {weights.request}")
        if path not in self.files:
            self.files.append(path)
        return path

    def load(self, network: nn.Module, weights: WeightFile, rename: Rename, *, main: bool = True) -> dict[str, Any]:
        """Load a weight file into a network, or keep the network's random weights if `location` is `random`.

        Args:
            network: built within `seeded_init`.
            weights: its file.
            rename: maps the file's tensor names to the network's.
            main: whether this is the file that `location` names, if that is a file.

        Returns:
            metadata: `weights` and `weights_sha256`.

        Raises:
            PipelineError: the file is absent, damaged, or of another network (names the first keys that differ).
        """
        if self.location == "random":
            return {"weights": "random", "weights_sha256": None}
        path = self.find_file(weights, main=main)
        return {"weights": path.name, "weights_sha256": load_published_weights(path, network, rename)}


def load_published_weights(path: Path, network: nn.Module, rename: Rename) -> str:
    """Load a weight file into a network.

    Returns:
        sha256 of the file.

    Raises:
        PipelineError: the file is absent, damaged, or of another network (names the first keys that differ).
    """
    file_state, digest = read_state_dict(path)
    state = {name: tensor for key, tensor in file_state.items() if (name := rename(key)) is not None}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):  # missing in files older than PyTorch 0.4.1; unused in evaluation
            state.setdefault(name, tensor)
        elif name in state and state[name].shape == (1, *tensor.shape):  # batch normalisation converted from Caffe
            state[name] = state[name][0]
    check_state_dict(path, state, network)
    network.load_state_dict(state)
    return digest


def drop_prefixes(*prefixes: str) -> Rename:
    """Return a `Rename` that drops tensors whose names begin with one of the prefixes and keeps all other names."""
    return lambda name: None if name.startswith(prefixes) else name


def init_weights(network: nn.Module) -> None:
    """Initialise weights so that activations keep their scale (He et al., 2015), and set biases to zero.

    Features of different inputs then differ. PyTorch's default would shrink activations by a factor of 2.4 per layer.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
