"""The bi-modal encoder (Iashin and Rahtu, 2020, section 3.1): two streams of rows that attend to each other.

In each layer, the rows of a stream attend to themselves, then to the other stream, then pass a feed-forward layer. Each
of these steps adds to its input what it makes of its normalised input. What the other stream offers as keys and values
is not normalised. There is no normalisation after the last layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.bimodal.attention import Attention, FeedForward, encode_positions

AUDIO, VISUAL = "audio", "visual"
STREAMS = (AUDIO, VISUAL)
"""Names of the two streams."""


@dataclass(frozen=True)
class TransformerSizes:
    """Sizes of the layers; the defaults are the published ones.

    Attributes:
        width: width of all attention; a multiple of `heads`.
        heads: attention heads.
        layers: number of layers.
        dropout: dropout after each step of a layer, in the feed-forward layers and on the input.
    """

    width: int = 1024
    heads: int = 4
    layers: int = 2
    dropout: float = 0.1


class StreamLayer(nn.Module):
    """One layer of one stream.

    Args:
        dim: channels of the stream.
        other_dim: channels of the other stream.
        sizes: sizes of the layer.
    """

    def __init__(self, dim: int, other_dim: int, sizes: TransformerSizes) -> None:
        super().__init__()
        self.self_attention = Attention(dim, dim, sizes.width, sizes.heads, sizes.dropout)
        self.cross_attention = Attention(dim, other_dim, sizes.width, sizes.heads, sizes.dropout)
        self.feed_forward = FeedForward(dim, sizes.dropout)
        self.self_norm, self.cross_norm, self.feed_forward_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(sizes.dropout)

    def attend_to_itself(
        self, rows: Float[Tensor, "videos length dim"], mask: Bool[Tensor, "videos length"]
    ) -> Float[Tensor, "videos length dim"]:
        """Relate the rows of the stream to each other."""
        normed = self.self_norm(rows)
        attended: Tensor = rows + self.dropout(self.self_attention(normed, normed, mask[:, None]))
        return attended

    def attend_to_other(
        self,
        rows: Float[Tensor, "videos length dim"],
        other: Float[Tensor, "videos other_length other_dim"],
        other_mask: Bool[Tensor, "videos other_length"],
    ) -> Float[Tensor, "videos length dim"]:
        """Relate the rows to those of the other stream, then pass the feed-forward layer."""
        rows = rows + self.dropout(self.cross_attention(self.cross_norm(rows), other, other_mask[:, None]))
        transformed: Tensor = rows + self.dropout(self.feed_forward(self.feed_forward_norm(rows)))
        return transformed


class BiModalEncoder(nn.Module):
    """The encoder: 35,968,256 parameters with the published sizes, 128 audio and 1,024 visual channels.

    Args:
        dims: channels of each of the two `STREAMS`.
        sizes: sizes of the layers.
    """

    def __init__(self, dims: Mapping[str, int], sizes: TransformerSizes) -> None:
        super().__init__()
        self.dropout = nn.Dropout(sizes.dropout)
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: StreamLayer(dims[name], dims[other], sizes) for name, other in _pairs()})
            for _ in range(sizes.layers)
        )

    def forward(
        self, streams: Mapping[str, Float[Tensor, "videos _ _"]], masks: Mapping[str, Bool[Tensor, "videos _"]]
    ) -> dict[str, Float[Tensor, "videos _ _"]]:
        """Encode the rows of both streams.

        Args:
            streams: rows of each stream. A row of an audio clip has no partner among the visual rows: the streams may
                have different lengths.
            masks: true for rows, false for padding. Each video has at least one row in each stream.

        Returns:
            the encoded rows; what stands in the padding is not defined.
        """
        encoded = {name: self.dropout(rows + _positions(rows)) for name, rows in streams.items()}
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleDict)
            related = {name: layer[name].attend_to_itself(encoded[name], masks[name]) for name in STREAMS}  # type: ignore[operator]
            encoded = {
                name: layer[name].attend_to_other(related[name], related[other], masks[other])  # type: ignore[operator]
                for name, other in _pairs()
            }
        return encoded


def _pairs() -> tuple[tuple[str, str], tuple[str, str]]:
    """Return each stream with the other one."""
    return (AUDIO, VISUAL), (VISUAL, AUDIO)


def _positions(rows: Float[Tensor, "videos length dim"]) -> Float[Tensor, "length dim"]:
    _, length, dim = rows.shape
    return encode_positions(0, length, dim, rows.device).to(rows.dtype)


def length_mask(lengths: list[int], device: torch.device | None = None) -> Bool[Tensor, "videos length"]:
    """Return true for the first rows of each video, as many as its length says."""
    counts = torch.tensor(lengths, device=device)
    return torch.arange(max(lengths), device=device) < counts[:, None]
