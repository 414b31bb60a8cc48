"""The heads that pretraining puts on an encoder; none of them is part of what extraction uses."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Logits:
    """What the heads say about a batch of clips; None where a head is left out."""

    action: Float[Tensor, "batch actions"]
    region: Float[Tensor, "batch 2"] | None
    semantic: Float[Tensor, "batch concepts"] | None


class Heads(nn.Module):
    """One linear layer per task, on the local clip feature.

    TSP's region head also sees the global feature of the whole video (section 3.3). Nothing computes that yet, so
    the head here sees the local feature alone: TSP's ablation "w/o GVF". The concepts' sigmoid is in the loss.

    Args:
        dim: channels of the feature.
        actions: number of action classes.
        region: whether there is a temporal region head.
        concepts: number of concepts; 0 leaves the head out.
    """

    def __init__(self, dim: int, actions: int, *, region: bool, concepts: int) -> None:
        super().__init__()
        self.action = _linear(dim, actions)
        self.region = _linear(dim, 2) if region else None
        self.semantic = _linear(dim, concepts) if concepts else None

    def forward(self, features: Float[Tensor, "batch dim"]) -> Logits:
        """Logits of every head."""
        return Logits(
            self.action(features),
            None if self.region is None else self.region(features),
            None if self.semantic is None else self.semantic(features),
        )


def _linear(dim: int, classes: int) -> nn.Linear:
    """Initialised as in TSP's code: weights of N(0, 0.01), no bias."""
    layer = nn.Linear(dim, classes)
    nn.init.normal_(layer.weight, 0.0, 0.01)
    nn.init.zeros_(layer.bias)
    return layer
