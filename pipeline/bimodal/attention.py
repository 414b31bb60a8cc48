"""Attention, feed-forward layers and positions of the bi-modal transformer (Iashin and Rahtu, 2020, section 3).

The layers are those of Vaswani et al. (2017) but for three things. Queries and keys may differ in size; both are
projected to one width. Dropout is applied to the weighted sums of the values, not to the weights. A sine and the cosine
beside it have different frequencies: the exponent of the frequency is that of the channel, not that of the pair.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

FEED_FORWARD_FACTOR = 4
"""The hidden layer of a feed-forward layer is so many times as wide as its input."""
MAX_WAVELENGTH = 10_000.0
"""Ratio of the longest to the shortest wavelength of the encoding of positions."""


class KeysValues(NamedTuple):
    """What an attention attends to, projected and divided into heads.

    Attributes:
        keys: compared with the queries.
        values: averaged.
    """

    keys: Float[Tensor, "rows heads length size"]
    values: Float[Tensor, "rows heads length size"]

    def append(self, later: "KeysValues") -> "KeysValues":
        """Append those of later positions."""
        return KeysValues(torch.cat([self.keys, later.keys], 2), torch.cat([self.values, later.values], 2))


class Attention(nn.Module):
    """Multi-head attention between rows of different sizes.

    Args:
        query_dim: channels of the queries, and of the output.
        memory_dim: channels of the rows that become keys and values.
        width: size that both are projected to; a multiple of `heads`.
        heads: number of heads.
        dropout: dropout on the attended values.
    """

    def __init__(self, query_dim: int, memory_dim: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(query_dim, width)
        self.key = nn.Linear(memory_dim, width)
        self.value = nn.Linear(memory_dim, width)
        self.output = nn.Linear(width, query_dim)
        self.dropout = nn.Dropout(dropout)

    def project(self, memory: Float[Tensor, "rows length memory_dim"]) -> KeysValues:
        """Project rows to keys and values; queries of several steps share them."""
        return KeysValues(self._split_heads(self.key(memory)), self._split_heads(self.value(memory)))

    def attend(
        self,
        queries: Float[Tensor, "rows places query_dim"],
        memory: KeysValues,
        mask: Bool[Tensor, "#rows #places length"],
    ) -> Float[Tensor, "rows places query_dim"]:
        """Attend to projected rows.

        Args:
            queries: the rows that attend.
            memory: the keys and values.
            mask: true where a query sees a key; each query sees at least one.
        """
        projected = self._split_heads(self.query(queries))
        attended = F.scaled_dot_product_attention(projected, *memory, attn_mask=mask[:, None])
        output: Tensor = self.output(self.dropout(attended.transpose(1, 2).flatten(2)))
        return output

    def forward(
        self,
        queries: Float[Tensor, "rows places query_dim"],
        memory: Float[Tensor, "rows length memory_dim"],
        mask: Bool[Tensor, "#rows #places length"],
    ) -> Float[Tensor, "rows places query_dim"]:
        """Attend to rows; see `attend`."""
        return self.attend(queries, self.project(memory), mask)

    def _split_heads(self, rows: Float[Tensor, "rows length width"]) -> Float[Tensor, "rows heads length size"]:
        return rows.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two linear layers with ReLU and dropout between them.

    Args:
        dim: channels of input and output.
        dropout: dropout before the second layer.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        hidden = FEED_FORWARD_FACTOR * dim
        super().__init__(nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, dim))


def encode_positions(
    first: int, count: int, dim: int, device: torch.device | None = None
) -> Float[Tensor, "count dim"]:
    """Encode positions as sines (even channels) and cosines (odd channels) of p / 10000 ** (channel / dim).

    Args:
        first: the first position, from 0.
        count: number of positions.
        dim: number of channels.
        device: of the result.
    """
    positions = torch.arange(first, first + count, dtype=torch.float64, device=device)
    channels = torch.arange(dim, dtype=torch.float64, device=device)
    angles = positions[:, None] / MAX_WAVELENGTH ** (channels / dim)
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos()).float()


def initialize_matrices(module: nn.Module) -> None:
    """Draw every matrix of a module from Glorot's uniform distribution, as published; vectors stay as they are."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
