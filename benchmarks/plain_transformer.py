"""The Transformer captioner without a cache: it reads the whole caption again for each word."""

from dataclasses import dataclass

from pipeline.captioning.clip.autoregressive import TransformerCaptioner
from pipeline.captioning.instances import Instances

import torch
from torch import Tensor


@dataclass(frozen=True)
class Prefix:
    """State of a caption.

    Attributes:
        values: instances of the event.
        mask: true for instances, false for padding.
        tokens: the tokens that have been read.
    """

    values: Tensor
    mask: Tensor
    tokens: Tensor


class PlainTransformerCaptioner(TransformerCaptioner):
    """The same captions, computed as the published code does."""

    def start(self, memory: Instances) -> Prefix:
        """Return the state before the first token."""
        nothing = torch.empty(len(memory.values), 0, dtype=torch.int64, device=memory.values.device)
        return Prefix(memory.values, memory.mask, nothing)

    def step(self, state: Prefix, tokens: Tensor) -> tuple[Tensor, Prefix]:
        """Read one token for each row, and all tokens before it again."""
        read = torch.cat([state.tokens, tokens[:, None]], 1)
        causal = torch.ones(read.shape[1], read.shape[1], dtype=torch.bool, device=read.device).tril()
        start = self.decoder.start(Instances(state.values, state.mask))
        hidden = self.decoder.decode(start, self.decoder.embed(read), causal.expand(len(read), -1, -1))
        return self.output(hidden[:, -1]), Prefix(state.values, state.mask, read)

    def reorder(self, state: Prefix, indices: Tensor) -> Prefix:
        """Return the rows of a state at `indices`; the instances of an event are the same in all its rows."""
        return Prefix(state.values, state.mask, state.tokens[indices])

    def teacher_force(self, state: Prefix, tokens: Tensor, sampling_prob: float = 0.0) -> tuple[Tensor, Prefix]:
        """Read given captions word after word."""
        return super(TransformerCaptioner, self).teacher_force(state, tokens, sampling_prob)
