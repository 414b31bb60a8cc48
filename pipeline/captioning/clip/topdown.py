"""The TopDown decoder: an attention LSTM and a language LSTM (Anderson et al., 2018), as CLIP-DAP uses it.

The attention LSTM reads the word, the language LSTM's state and the mean of the instances. Its state attends to the
instances. The language LSTM reads that state and what is attended to; its state predicts the next word.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from pipeline.captioning.instances import Instances


@dataclass(frozen=True)
class TopDownMemory:
    """The encoded events, as the decoder attends to them.

    Attributes:
        values: the instances of each event.
        keys: their attention keys.
        mask: true for instances, false for padding.
        mean: mean of the instances.
    """

    values: Float[Tensor, "rows instances dim"]
    keys: Float[Tensor, "rows instances dim"]
    mask: Bool[Tensor, "rows instances"]
    mean: Float[Tensor, "rows dim"]


@dataclass(frozen=True)
class TopDownState:
    """State of the two LSTMs.

    Attributes:
        memory: what they attend to; the same for all hypotheses of an event.
        attention: hidden and cell state of the attention LSTM.
        language: hidden and cell state of the language LSTM.
    """

    memory: TopDownMemory
    attention: tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows dim"]]
    language: tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows dim"]]


class TopDownDecoder(nn.Module):
    """The two LSTMs and the attention between them.

    Args:
        hidden: size of words, instances and states.
        vocabulary: number of ids.
        dropout: dropout on the inputs of both LSTMs and on the output.
    """

    def __init__(self, hidden: int, vocabulary: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.attention_lstm = nn.LSTMCell(3 * hidden, hidden)
        self.language_lstm = nn.LSTMCell(2 * hidden, hidden)
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.energy = nn.Linear(hidden, 1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def start(self, instances: Instances) -> TopDownState:
        """Return the state before the first token: zeros."""
        mean = instances.mean()
        memory = TopDownMemory(instances.values, self.key(instances.values), instances.mask, mean)
        zeros = torch.zeros_like(mean)
        return TopDownState(memory, (zeros, zeros), (zeros, zeros))

    def forward(
        self, state: TopDownState, tokens: Int64[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "rows dim"], TopDownState]:
        """Read one token for each row.

        Returns:
            the output that predicts the next token, and the new state.
        """
        memory = state.memory
        read = torch.cat([self.embedding(tokens), state.language[0], memory.mean], 1)
        attention = self.attention_lstm(self.dropout(read), state.attention)
        energy = self.energy(torch.tanh(memory.keys + self.query(attention[0])[:, None])).squeeze(2)
        weights = energy.masked_fill(~memory.mask, -torch.inf).softmax(1)
        attended = (weights[:, None] @ memory.values).squeeze(1)
        language = self.language_lstm(self.dropout(torch.cat([attention[0], attended], 1)), state.language)
        return self.dropout(language[0]), replace(state, attention=attention, language=language)
