"""The heads that pretraining puts on an encoder; none of them is part of what extraction uses."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Logits:
    """What the heads say about a batch of clips; None where a head is left out."""

    action: Float[Tensor, "batch actions"] | None
    region: Float[Tensor, "batch 2"] | None
    semantic: Float[Tensor, "batch concepts"] | None


class Heads(nn.Module):
    """One linear layer per task, on the local clip feature.

    TSP's region head also sees the global feature of the whole video, after the local one (section 3.3); without it
    this is the ablation "w/o GVF". The concepts' sigmoid is in the loss.

    Args:
        dim: channels of the feature.
        actions: number of action classes; 0 leaves the head out.
        region: whether there is a temporal region head.
        concepts: number of concepts; 0 leaves the head out.
        global_dim: channels of the global feature that the region head sees; 0 for none.
    """

    def __init__(self, dim: int, actions: int, *, region: bool, concepts: int, global_dim: int = 0) -> None:
        super().__init__()
        self.action = _linear(dim, actions) if actions else None
        self.region = _linear(dim + global_dim, 2) if region else None
        self.semantic = _linear(dim, concepts) if concepts else None
        self.global_dim = global_dim

    def forward(
        self, features: Float[Tensor, "batch dim"], global_features: Float[Tensor, "batch global"] | None = None
    ) -> Logits:
        """Logits of every head.

        Args:
            features: of the clips.
            global_features: of their videos, where the region head sees them.
        """
        seen = features
        if self.global_dim:
            assert global_features is not None
            seen = torch.cat([features, global_features.to(features.dtype)], dim=1)
        return Logits(
            None if self.action is None else self.action(features),
            None if self.region is None else self.region(seen),
            None if self.semantic is None else self.semantic(features),
        )


def _linear(dim: int, classes: int) -> nn.Linear:
    """Initialised as in TSP's code: weights of N(0, 0.01), no bias."""
    layer = nn.Linear(dim, classes)
    nn.init.normal_(layer.weight, 0.0, 0.01)
    nn.init.zeros_(layer.bias)
    return layer
