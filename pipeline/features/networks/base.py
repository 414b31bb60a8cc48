"""What every extractor is, so that one pass over a video can serve any number of them."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from pipeline.features.combined import ClipGrid


@runtime_checkable
class Extractor(Protocol):
    """Makes one feature of each window of a video.

    Attributes:
        name: of the feature.
        modality: `frames` of the picture, or `sound`.
        dim: channels of the feature.
        grid: the windows: how many frames per second it takes (sound: samples), how many of them one window holds, and
            how far the next one lies. Where its rate does not divide the video's, the frames nearest in time are taken.
        facts: what the manifest of its features is to say of it (weights and their sha256, geometry, options).
    """

    name: str
    modality: Literal["frames", "sound"]
    dim: int
    grid: ClipGrid
    facts: dict[str, Any]

    def prepare(self, window: Tensor) -> Tensor:
        """One window as the network is to see it, alone: what becomes of it does not depend on any other.

        Args:
            window: on the device that is to do the work. Frames: uint8 [size height width 3], RGB. Sound: float32
                [size], mono, in [-1, 1].
        """
        ...

    def __call__(self, windows: Sequence[Tensor]) -> Float[Tensor, "batch dim"]:
        """Features of prepared windows, of one video or of several, without gradients, float32."""
        ...
