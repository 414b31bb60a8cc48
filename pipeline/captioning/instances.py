"""Vectors of each event of a batch, in any order: its encoded feature rows, or the words of its caption."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Instances:
    """Vectors of each event.

    Attributes:
        values: the vectors; any values in the padding.
        mask: true for vectors, false for padding. An event has at least one.
    """

    values: Float[Tensor, "events instances dim"]
    mask: Bool[Tensor, "events instances"]

    def mean(self) -> Float[Tensor, "events dim"]:
        """Return the mean over the instances of each event."""
        values = self.values.masked_fill(~self.mask[..., None], 0.0)
        return values.sum(1) / self.mask.sum(1, keepdim=True)
