"""The Transformer decoder of clip captioners, with a cache of keys and values.

As in CLIP-DAP (Yang et al., 2022, section 3.2): normalisation after each sublayer (post-LN), ReLU, trained positions,
dropout after the embeddings, after each sublayer and after the last layer. Facts about sizes and order come from the
authors' public code.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

from pipeline.captioning.clip.encoder import LAYER_NORM_EPS
from pipeline.captioning.instances import Instances


class KeysValues(NamedTuple):
    """Keys and values of an attention layer.

    Attributes:
        keys: what queries are compared with.
        values: what the comparison weighs.
    """

    keys: Float[Tensor, "rows heads length size"]
    values: Float[Tensor, "rows heads length size"]


@dataclass(frozen=True)
class DecoderSizes:
    """Sizes of a Transformer decoder.

    Attributes:
        hidden: size of words and of all layers' outputs.
        heads: attention heads; they divide `hidden`.
        feedforward: size of the hidden layer of the feed-forward network.
        layers: number of layers.
        positions: largest number of tokens that it reads.
        dropout: dropout on embeddings, sublayers and the output.
        attention_dropout: dropout on attention weights.
    """

    hidden: int
    heads: int
    feedforward: int
    layers: int
    positions: int
    dropout: float
    attention_dropout: float


@dataclass(frozen=True)
class DecoderState:
    """State of the decoder: what it attends to, and the keys and values of the tokens that it has read.

    Attributes:
        instances: keys and values of the event's instances, for each layer; the same for all hypotheses of an event.
        instance_mask: true for instances, false for padding.
        words: keys and values of the tokens, for each layer.
    """

    instances: tuple[KeysValues, ...]
    instance_mask: Bool[Tensor, "rows instances"]
    words: tuple[KeysValues, ...]

    @property
    def num_words(self) -> int:
        """Number of tokens that have been read."""
        return self.words[0].keys.shape[2]


class TransformerDecoder(nn.Module):
    """Embeds tokens, and decodes them while it attends to the instances of an event.

    Args:
        sizes: sizes of the decoder.
        vocabulary: number of ids.
    """

    def __init__(self, sizes: DecoderSizes, vocabulary: int) -> None:
        super().__init__()
        self.word_embedding = nn.Embedding(vocabulary, sizes.hidden)
        self.position_embedding = nn.Embedding(sizes.positions, sizes.hidden)
        self.embedding_norm = nn.LayerNorm(sizes.hidden, LAYER_NORM_EPS)
        self.layers = nn.ModuleList(DecoderLayer(sizes) for _ in range(sizes.layers))
        self.dropout = nn.Dropout(sizes.dropout)

    def embed(
        self,
        tokens: Int64[Tensor, "rows words"],
        first_position: int = 0,
        offset: Float[Tensor, "rows dim"] | None = None,
    ) -> Float[Tensor, "rows words dim"]:
        """Embed tokens.

        Args:
            tokens: the tokens.
            first_position: position of the first one.
            offset: is added to all words of a row before the normalisation.
        """
        positions = torch.arange(first_position, first_position + tokens.shape[1], device=tokens.device)
        summed = self.word_embedding(tokens) + self.position_embedding(positions)
        if offset is not None:
            summed = summed + offset[:, None]
        embedded: Tensor = self.dropout(self.embedding_norm(summed))
        return embedded

    def start(self, instances: Instances) -> DecoderState:
        """Return the state before the first token."""
        attended = tuple(layer.cross_attention.project(instances.values) for layer in self._layers())
        empty = tuple(KeysValues(one.keys[:, :, :0], one.values[:, :, :0]) for one in attended)
        return DecoderState(attended, instances.mask, empty)

    def read(
        self, state: DecoderState, embedded: Float[Tensor, "rows words dim"]
    ) -> tuple[Float[Tensor, "rows words dim"], DecoderState]:
        """Read the next tokens: each attends to itself and to all tokens before it.

        Returns:
            the output for each of the tokens, and the new state.
        """
        num_new, num_read = embedded.shape[1], state.num_words
        is_visible = torch.ones(num_new, num_read + num_new, dtype=torch.bool, device=embedded.device)
        is_visible = is_visible.tril(num_read)[None, None]
        hidden, words = embedded, []
        for layer, instances, cached in zip(self._layers(), state.instances, state.words, strict=True):
            new = layer.self_attention.project(hidden)
            keys_values = KeysValues(torch.cat([cached.keys, new.keys], 2), torch.cat([cached.values, new.values], 2))
            words.append(keys_values)
            hidden = layer(hidden, keys_values, is_visible, instances, state.instance_mask[:, None, None])
        return self.dropout(hidden), replace(state, words=tuple(words))

    def decode(
        self,
        state: DecoderState,
        embedded: Float[Tensor, "rows words dim"],
        is_visible: Bool[Tensor, "rows ... words"],
    ) -> Float[Tensor, "rows words dim"]:
        """Decode all tokens at once.

        Args:
            state: state before the first token, one row for each row of tokens.
            embedded: the tokens.
            is_visible: which tokens the tokens may attend to: [rows, words], or [rows, words, words] with one row
                for each token. Every token sees at least one.
        """
        mask = is_visible[:, None, None] if is_visible.ndim == 2 else is_visible[:, None]
        hidden = embedded
        for layer, instances in zip(self._layers(), state.instances, strict=True):
            words = layer.self_attention.project(hidden)
            hidden = layer(hidden, words, mask, instances, state.instance_mask[:, None, None])
        decoded: Tensor = self.dropout(hidden)
        return decoded

    def _layers(self) -> Iterator["DecoderLayer"]:
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            yield layer


class DecoderLayer(nn.Module):
    """Self-attention, attention to the instances, feed-forward network.

    Args:
        sizes: sizes of the decoder.
    """

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        self.self_attention = Attention(sizes)
        self.cross_attention = Attention(sizes)
        self.feedforward = nn.Sequential(
            nn.Linear(sizes.hidden, sizes.feedforward),
            nn.ReLU(),
            nn.Linear(sizes.feedforward, sizes.hidden),
            nn.Dropout(sizes.dropout),
        )
        self.feedforward_norm = nn.LayerNorm(sizes.hidden, LAYER_NORM_EPS)

    def forward(
        self,
        hidden: Float[Tensor, "rows words dim"],
        words: KeysValues,
        word_mask: Bool[Tensor, "#rows 1 #words keys"],
        instances: KeysValues,
        instance_mask: Bool[Tensor, "rows 1 1 instances"],
    ) -> Float[Tensor, "rows words dim"]:
        """Compute the layer.

        Args:
            hidden: its input.
            words: keys and values of the words, from the same input.
            word_mask: true for words that a word attends to.
            instances: keys and values of the instances.
            instance_mask: true for instances, false for padding.
        """
        hidden = self.self_attention(hidden, words, word_mask)
        hidden = self.cross_attention(hidden, instances, instance_mask)
        normalized: Tensor = self.feedforward_norm(hidden + self.feedforward(hidden))
        return normalized


class Attention(nn.Module):
    """Multi-head attention with its residual connection and normalisation (Vaswani et al., 2017).

    Args:
        sizes: sizes of the decoder.
    """

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        self.heads, self.attention_dropout = sizes.heads, sizes.attention_dropout
        self.query = nn.Linear(sizes.hidden, sizes.hidden)
        self.key = nn.Linear(sizes.hidden, sizes.hidden)
        self.value = nn.Linear(sizes.hidden, sizes.hidden)
        self.output = nn.Linear(sizes.hidden, sizes.hidden)
        self.norm = nn.LayerNorm(sizes.hidden, LAYER_NORM_EPS)
        self.dropout = nn.Dropout(sizes.dropout)

    def project(self, values: Float[Tensor, "rows keys dim"]) -> KeysValues:
        """Return the keys and values of vectors that others attend to."""
        return KeysValues(self._split(self.key(values)), self._split(self.value(values)))

    def forward(
        self,
        hidden: Float[Tensor, "rows words dim"],
        keys_values: KeysValues,
        mask: Bool[Tensor, "#rows 1 #words keys"],
    ) -> Float[Tensor, "rows words dim"]:
        """Attend to keys and values where the mask is true, and add the result to the input."""
        attended = F.scaled_dot_product_attention(
            self._split(self.query(hidden)),
            keys_values.keys,
            keys_values.values,
            attn_mask=mask,
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        normalized: Tensor = self.norm(hidden + self.dropout(self.output(attended.transpose(1, 2).flatten(2))))
        return normalized

    def _split(self, values: Float[Tensor, "rows keys dim"]) -> Float[Tensor, "rows heads keys size"]:
        return values.unflatten(2, (self.heads, -1)).transpose(1, 2)
