"""What the pool knows of one extractor."""

from dataclasses import dataclass
from typing import Literal

from pipeline.features.combined import ClipGrid
from pipeline.features.networks.builders import Maker
from pipeline.features.networks.weights import WeightFile


@dataclass(frozen=True)
class Entry:
    """One extractor.

    Attributes:
        name: of the extractor, and of its feature.
        modality: `frames` or `sound`.
        dim: channels.
        grid: its windows: frames (sound: samples) per second, of a window, from one to the next.
        sees: what the network is given of a window, in words.
        weights: the file that it wants.
        what: the network, and what it was trained on.
        make: puts it together.
        more: files that it wants besides, by default or by an option.
    """

    name: str
    modality: Literal["frames", "sound"]
    dim: int
    grid: ClipGrid
    sees: str
    weights: WeightFile
    what: str
    make: Maker
    more: tuple[WeightFile, ...] = ()
