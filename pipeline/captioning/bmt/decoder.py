"""The bi-modal decoder (Iashin and Rahtu, 2020, section 3.2): words that attend to two streams of encoded rows.

The words of a caption attend to earlier words, then separately to audio and to visual rows. A bridge joins what both
attentions add to the words: normalisation, a linear layer, dropout and ReLU, without a residual connection. A
feed-forward layer follows. As in the encoder, only queries are normalised where words attend to rows.

Keys and values of words that were read are kept, so that reading one more word costs one position.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pipeline.bimodal.attention import Attention, FeedForward, KeysValues
from pipeline.bimodal.encoder import STREAMS, TransformerSizes


@dataclass(frozen=True)
class EventMemory:
    """The encoded rows of events, projected for every layer of the decoder.

    Attributes:
        layers: for each layer the keys and values of each stream.
        masks: true for the rows of an event, false for padding, for each stream.
    """

    layers: tuple[dict[str, KeysValues], ...]
    masks: dict[str, Bool[Tensor, "rows _"]]


@dataclass(frozen=True)
class DecoderState:
    """The state of the decoder: the events, and the words before the next one.

    Attributes:
        memory: the events; the same for all hypotheses of an event.
        past: keys and values of the words that were read, for each layer.
    """

    memory: EventMemory
    past: tuple[KeysValues, ...]

    @property
    def num_words(self) -> int:
        """Number of words that were read."""
        return self.past[0].keys.shape[2]


class DecoderLayer(nn.Module):
    """One layer of the decoder.

    Args:
        dim: channels of a word.
        stream_dims: channels of each stream.
        sizes: sizes of the layer.
    """

    def __init__(self, dim: int, stream_dims: Mapping[str, int], sizes: TransformerSizes) -> None:
        super().__init__()
        self.self_attention = Attention(dim, dim, sizes.width, sizes.heads, sizes.dropout)
        self.stream_attention = nn.ModuleDict(
            {name: Attention(dim, stream_dims[name], sizes.width, sizes.heads, sizes.dropout) for name in STREAMS}
        )
        self.bridge = nn.Sequential(
            nn.LayerNorm(2 * dim), nn.Linear(2 * dim, dim), nn.Dropout(sizes.dropout), nn.ReLU()
        )
        self.feed_forward = FeedForward(dim, sizes.dropout)
        self.self_norm, self.feed_forward_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.stream_norms = nn.ModuleDict({name: nn.LayerNorm(dim) for name in STREAMS})
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(
        self,
        words: Float[Tensor, "rows words dim"],
        past: KeysValues,
        memory: Mapping[str, KeysValues],
        masks: Mapping[str, Bool[Tensor, "rows _"]],
        word_mask: Bool[Tensor, "#rows words read"],
    ) -> tuple[Float[Tensor, "rows words dim"], KeysValues]:
        """Decode the next words; see `BiModalDecoder`.

        Returns:
            the words, and keys and values of all words that were read.
        """
        normed = self.self_norm(words)
        read = past.append(self.self_attention.project(normed))
        words = words + self.dropout(self.self_attention.attend(normed, read, word_mask))
        branches = []
        for name in STREAMS:
            attention = self.stream_attention[name]
            assert isinstance(attention, Attention)
            attended = attention.attend(self.stream_norms[name](words), memory[name], masks[name][:, None])
            branches.append(words + self.dropout(attended))
        words = self.bridge(torch.cat(branches, 2))
        return words + self.dropout(self.feed_forward(self.feed_forward_norm(words))), read


class BiModalDecoder(nn.Module):
    """The decoder: 11,464,824 parameters with the published sizes.

    Args:
        dim: channels of a word.
        stream_dims: channels of each of the two `STREAMS`.
        sizes: sizes of the layers.
    """

    def __init__(self, dim: int, stream_dims: Mapping[str, int], sizes: TransformerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.layers = nn.ModuleList(DecoderLayer(dim, stream_dims, sizes) for _ in range(sizes.layers))

    def start(
        self, streams: Mapping[str, Float[Tensor, "rows _ _"]], masks: Mapping[str, Bool[Tensor, "rows _"]]
    ) -> DecoderState:
        """Return the state before the first word.

        Args:
            streams: encoded rows of each stream.
            masks: true for the rows of an event, false for padding.
        """
        layers = []
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            attentions = {name: layer.stream_attention[name] for name in STREAMS}
            layers.append({name: attention.project(streams[name]) for name, attention in attentions.items()})  # type: ignore[operator]
        rows = streams[STREAMS[0]]
        empty = rows.new_zeros(len(rows), self.sizes.heads, 0, self.sizes.width // self.sizes.heads)
        return DecoderState(EventMemory(tuple(layers), dict(masks)), (KeysValues(empty, empty),) * len(layers))

    def forward(
        self,
        state: DecoderState,
        words: Float[Tensor, "rows words dim"],
        word_mask: Bool[Tensor, "#rows words read"],
    ) -> tuple[Float[Tensor, "rows words dim"], DecoderState]:
        """Decode the next words of each row.

        Args:
            state: what was read before.
            words: embedded words with their positions.
            word_mask: true where a word sees a word, of those that were read before and these; see `causal_mask`.
        """
        past = []
        for layer, of_layer, memory in zip(self.layers, state.past, state.memory.layers, strict=True):
            words, read = layer(words, of_layer, memory, state.memory.masks, word_mask)
            past.append(read)
        return words, DecoderState(state.memory, tuple(past))


def causal_mask(num_read: int, num_words: int, device: torch.device | None = None) -> Bool[Tensor, "1 words read"]:
    """Return the mask by which each word sees itself and all earlier words.

    Args:
        num_read: number of words that were read before.
        num_words: number of words that are read now.
        device: of the result.
    """
    positions = torch.arange(num_read + num_words, device=device)
    return (positions <= positions[num_read:, None])[None]
