"""Contract of a feature extractor, and how the extractors of the registry are built."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.config.extractors import EXTRACTORS, RANDOM, Modality, PublishedFeatureSettings, WeightFile
from pipeline.features.networks.weights import Rename, WeightSource
from pipeline.features.time_grid import ClipGrid, SnippetGrid

S = TypeVar("S", bound=PublishedFeatureSettings)

Transform = Callable[[Tensor], Tensor]
"""Turn one window into the network's input."""
Collate = Callable[[Sequence[Tensor]], Tensor]
"""Turn the transformed windows of a batch into one tensor."""


@runtime_checkable
class Extractor(Protocol):
    """Compute one feature row per window of a video. One pass over a video serves any number of extractors.

    Attributes:
        name: name of the feature.
        modality: what a window holds, `frames` or `sound`.
        dim: channels of the feature.
        grid: windows: frames (sound: samples) per second, frames per window, frames from one window to the next. If
            the rate does not divide the video's frame rate, the frames nearest in time are used.
        metadata: what the manifest states about the feature (weights and their sha256, geometry, options).
    """

    name: str
    modality: Modality
    dim: int
    grid: ClipGrid
    metadata: dict[str, Any]

    def prepare(self, window: Tensor) -> Tensor:
        """Transform one window into the network's input, independently of all other windows.

        Args:
            window: on the device of the network. Frames: uint8 [size height width 3], RGB. Sound: float32 [size],
                mono, in [-1, 1].
        """
        ...

    def __call__(self, windows: Sequence[Tensor]) -> Float[Tensor, "batch dim"]:
        """Compute the features of prepared windows, of one or several videos, without gradients, in float32."""
        ...


def stack_windows(windows: Sequence[Tensor]) -> Tensor:
    """Stack transformed windows along a new first axis."""
    return torch.stack(list(windows))


@dataclass(frozen=True)
class BuiltExtractor:
    """What the `build` function of an extractor returns.

    Attributes:
        network: with its weights, on the CPU.
        transform: turns one window into the network's input.
        metadata: what the manifest states: weights and their sha256, geometry, options.
        collate: turns transformed windows into a batch.
    """

    network: nn.Module
    transform: Transform
    metadata: dict[str, Any]
    collate: Collate = stack_windows


@dataclass(frozen=True)
class BuildContext(Generic[S]):
    """What the `build` function of an extractor receives.

    Attributes:
        source: where weights come from.
        weights: the main weight file of the extractor.
        settings: settings of the extractor.
        device: device on which optical flow is computed.
    """

    source: WeightSource
    weights: WeightFile
    settings: S
    device: torch.device

    def load_weights(self, network: nn.Module, rename: Rename) -> dict[str, Any]:
        """Load the main weight file into a network, or keep its random weights; return metadata about the weights."""
        return self.source.load(network, self.weights, rename)


@dataclass
class NetworkExtractor:
    """An `Extractor` made of a transform of windows and a network.

    Attributes:
        name: name of the feature.
        modality: `frames` or `sound`.
        dim: channels of the feature.
        grid: windows.
        metadata: what the manifest states about the feature.
        network: on its device, in evaluation mode.
        transform: turns one window into the network's input.
        collate: turns transformed windows into a batch.
        files: the weight files that were read.
    """

    name: str
    modality: Modality
    dim: int
    grid: ClipGrid
    metadata: dict[str, Any]
    network: nn.Module
    transform: Transform
    collate: Collate = stack_windows
    files: Sequence[Path] = field(default_factory=list)

    @torch.no_grad()
    def prepare(self, window: Tensor) -> Tensor:
        """Transform one window into the network's input."""
        return self.transform(window)

    @torch.no_grad()
    def __call__(self, windows: Sequence[Tensor]) -> Float[Tensor, "batch dim"]:
        """Compute the features of prepared windows."""
        features: Tensor = self.network(self.collate(windows))
        return features.float()


def make_grid(grid: ClipGrid, snippets: int | None) -> ClipGrid:
    """Return the grid of windows at a constant rate, or of windows around the middles of snippets."""
    return grid if snippets is None else SnippetGrid(grid.fps, grid.frames, grid.stride, snippets)


def build_extractor(settings: PublishedFeatureSettings, device: torch.device) -> NetworkExtractor:
    """Build an extractor of the registry.

    Args:
        settings: names the extractor, its weights (file, folder, or `random`: the same weights at every call) and its
            options.
        device: device of the network.

    Returns:
        the extractor, on its device.

    Raises:
        PipelineError: unknown name; weights that are absent (states file name, address and sha256), damaged, or of
            another network (names the first keys that differ); a library that is not installed.
    """
    name = settings.extractor
    spec = EXTRACTORS[name]
    source = WeightSource(name, "random" if settings.weights == RANDOM else Path(settings.weights))
    if settings.weights != RANDOM:
        source.find_file(spec.weights)  # report a missing file before building a network
    build: Callable[..., BuiltExtractor] = spec.load()
    built = build(BuildContext(source, spec.weights, settings, device), **spec.arguments)
    grid = make_grid(
        replace(ClipGrid(**asdict(spec.grid)), stride=settings.stride or spec.grid.stride), settings.snippets
    )
    return NetworkExtractor(
        name=name,
        modality=spec.modality,
        dim=spec.dim,
        grid=grid,
        metadata={"extractor": name, "modality": spec.modality, **built.metadata},
        network=built.network.to(device).eval().requires_grad_(requires_grad=False),
        transform=built.transform,
        collate=built.collate,
        files=source.files,
    )
