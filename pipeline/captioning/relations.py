"""What the events of a video are to one another: in meaning, and in time."""

import math
from math import gcd

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

HEADS = 16
"""Of attention, where that divides the hidden size; else their greatest common divisor."""
WAVES = 512
"""Numbers that tell where one event lies as seen from another."""
WAVELENGTH = 10_000.0
"""The longest wave is this many times the shortest."""
MAGNIFIED = 100.0
"""Positions are multiplied by this before they become waves."""


class Relations(nn.Module):
    """Scaled dot-product attention of many heads among the events of each sequence, with a bias for their positions.

    Args:
        hidden: size of events, of what they take from one another, and of the layer between position and bias.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.heads = gcd(hidden, HEADS)
        self.project = nn.Linear(hidden, 3 * hidden)
        self.bias = nn.Sequential(nn.Linear(WAVES, hidden), nn.Tanh(), nn.Linear(hidden, self.heads))

    def forward(
        self,
        events: Float[Tensor, "sequences places hidden"],
        spans: Float[Tensor, "sequences places 3"],
        there: Bool[Tensor, "sequences places"],
    ) -> Float[Tensor, "sequences places hidden"]:
        """What each event takes from the events of its sequence, itself among them.

        Args:
            events: of each sequence; whatever stands where there are no more.
            spans: start, end and length of each.
            there: which of them are events.
        """
        split = self.project(events).unflatten(2, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        bias = self._bias(spans, there)
        # Where there is no event to ask, everything may answer: nobody reads it, and nothing becomes NaN.
        visible = there[:, None, None, :] | ~there[:, None, :, None]
        bias = bias.masked_fill(~visible, -torch.inf)
        taken = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        related: Tensor = F.relu(taken.transpose(1, 2).flatten(2))
        return related

    def _bias(
        self, spans: Float[Tensor, "sequences places 3"], there: Bool[Tensor, "sequences places"]
    ) -> Float[Tensor, "sequences heads places places"]:
        """Bias of pairs of events; where one is missing, 0."""
        pairs = there[:, :, None] & there[:, None, :]
        biased = spans.new_zeros(*pairs.shape, self.heads)
        learned = self.bias(waves(between(spans)[pairs]).to(spans.dtype))
        return biased.masked_scatter(pairs[..., None], learned).permute(0, 3, 1, 2)


def between(spans: Float[Tensor, "*sequences places 3"]) -> Float[Tensor, "*sequences places places 2"]:
    """Where event j lies as seen from i: distance of their middles in lengths of i, log of length j over length i.

    In double precision: positions become waves of which there may be thousands between two events.
    """
    exact = spans.double()
    middle, length = exact[..., :2].mean(-1), exact[..., 2]
    distance = (middle[..., None, :] - middle[..., :, None]) / length[..., :, None]
    ratio = (length[..., None, :] / length[..., :, None]).log()
    return torch.stack([distance, ratio], -1)


def waves(positions: Float[Tensor, "pairs 2"]) -> Float[Tensor, "pairs waves"]:
    """Sines and cosines of two numbers at falling frequencies, as Transformers tell positions."""
    each = WAVES // 4
    falling = torch.arange(each, device=positions.device, dtype=positions.dtype) / each
    angles = MAGNIFIED * positions[..., None] * torch.exp(-math.log(WAVELENGTH) * falling)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(1)
