"""Weights of the pool's networks: which file is wanted, where it is found, how its names become ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from pipeline.encoders.checkpoints import NAMED_DIGEST, read_state
from pipeline.errors import PipelineError
from pipeline.training.seeds import derive
from pipeline.training.weights import check_fits

Rename = Callable[[str], str | None]
"""From a file's name of a tensor to the network's; None for what the network has no use for (a classification head)."""


@dataclass(frozen=True)
class WeightFile:
    """A file of weights that an extractor wants.

    Attributes:
        file: its name.
        url: where it is published; empty where it is not.
        licence: as its publishers state it.
    """

    file: str
    url: str
    licence: str

    @property
    def digest(self) -> str:
        """First digits of its sha256, where they are published, which is always in its name; otherwise empty."""
        named = NAMED_DIGEST.search(self.file)
        return named[1] if named else ""

    @property
    def wanted(self) -> str:
        """What to get, and where, in words."""
        if not self.url:
            return f"{self.file}, which is not published: make it here, or give another path"
        digest = f"sha256 begins with {self.digest}" if self.digest else "no sha256 is published"
        return f"{self.file} from {self.url} ({digest})"


@dataclass(frozen=True)
class Source:
    """Where the weights of one extractor come from.

    Attributes:
        name: of the extractor.
        given: the main file, or a folder of files under the names that they are published with, or `random`. Further
            files (of optical flow, of a PCA) stand in the same folder as the main one.
        files: those that were read, so far.
    """

    name: str
    given: Path | Literal["random"]
    files: list[Path] = field(default_factory=list)

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Build networks in here: their random weights are then the extractor's own, always the same.

        The global generator is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive("extractors", self.name))
            yield

    def find(self, wanted: WeightFile, *, main: bool = True) -> Path:
        """The path of a file, unless weights are random.

        Raises:
            PipelineError: not there; says what is wanted and where it is published.
        """
        assert isinstance(self.given, Path)
        folder = self.given if self.given.is_dir() else self.given.parent
        path = self.given if main and folder != self.given else folder / wanted.file
        if not path.is_file():
            raise PipelineError(f"{path}: no such weight file; {self.name} wants {wanted.wanted}")
        if path not in self.files:
            self.files.append(path)
        return path

    def load(self, network: nn.Module, wanted: WeightFile, rename: Rename, *, main: bool = True) -> dict[str, Any]:
        """Load a network, or leave its random weights in place if they are asked for.

        Args:
            network: from `seeded`.
            wanted: its file.
            rename: from the file's names to the network's.
            main: whether it is what `given` names, if that is a file.

        Returns:
            facts: `weights` and `weights_sha256`.

        Raises:
            PipelineError: absent, damaged, or of another network (names the first keys that differ).
        """
        if self.given == "random":
            return {"weights": "random", "weights_sha256": None}
        path = self.find(wanted, main=main)
        return {"weights": path.name, "weights_sha256": load(path, network, rename)}


def load(path: Path, network: nn.Module, rename: Rename) -> str:
    """Load a file of weights into a network.

    Returns:
        sha256 of the file.

    Raises:
        PipelineError: as `Source.load`.
    """
    given, digest = read_state(path)
    state = {own: tensor for name, tensor in given.items() if (own := rename(name)) is not None}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):  # files older than PyTorch 0.4.1 have none; it is not used here
            state.setdefault(name, tensor)
        elif name in state and state[name].shape == (1, *tensor.shape):  # Caffe's batch normalisations
            state[name] = state[name][0]
    check_fits(path, state, network)
    network.load_state_dict(state)
    return digest


def without(*heads: str) -> Rename:
    """Names as they are, without those that begin with any of the given ones."""
    return lambda name: None if name.startswith(heads) else name


def initialise(network: nn.Module) -> None:
    """Random weights that keep the size of what passes through (He et al., 2015): features of different inputs differ.

    PyTorch's own would let it shrink by a factor of 2.4 in every layer.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
