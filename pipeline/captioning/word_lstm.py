"""The word-level LSTM: looks, before each word, at the clips of its event."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from pipeline.datasets.vocabulary import END, UNK

State = tuple[Tensor, Tensor]
"""Output and cell of the word LSTM, each [events, hidden]."""
UNIFORM = 0.1
"""Embeddings and output weights begin within this of zero."""


@dataclass(frozen=True)
class Clips:
    """What is looked at.

    Attributes:
        values: clips of each event.
        keys: what attention compares them by.
        there: which of them are clips of the event.
    """

    values: Float[Tensor, "events clips width"]
    keys: Float[Tensor, "events clips hidden"]
    there: Bool[Tensor, "events clips"]

    def of(self, events: Int64[Tensor, " turn"]) -> "Clips":
        """The clips of some events."""
        return Clips(self.values[events], self.keys[events], self.there[events])


class WordLevel(nn.Module):
    """Words one after another.

    Args:
        width: size of a clip.
        hidden: size of all hidden layers.
        vocabulary: number of ids.
        dropout: share of outputs left out in training before words are scored.
    """

    def __init__(self, width: int, hidden: int, vocabulary: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.start = nn.Linear(hidden, hidden)
        self.key = nn.Linear(width, hidden)
        self.query = nn.Linear(hidden, hidden)
        self.energy = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.LSTMCell(hidden + width, hidden, bias=False)
        self.output = nn.Linear(hidden, vocabulary)
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.embedding.weight, -UNIFORM, UNIFORM)
        nn.init.uniform_(self.output.weight, -UNIFORM, UNIFORM)
        nn.init.zeros_(self.output.bias)

    def begin(self, cell: Float[Tensor, "events hidden"]) -> State:
        """State before the first word, from the sentence level's cell: output and cell are alike."""
        begun = self.start(cell)
        return begun, begun

    def advance(self, clips: Clips, state: State, word: Float[Tensor, "events hidden"]) -> State:
        """State after reading one word (its embedding) of each event."""
        energy = self.energy(torch.tanh(clips.keys + self.query(state[0])[:, None])).squeeze(2)
        weights = energy.masked_fill(~clips.there, -torch.inf).softmax(1)
        seen = (weights[:, None] @ clips.values).squeeze(1)
        output, cell = self.cell(torch.cat([word, seen], 1), state)
        return output, cell

    def scores(self, outputs: Float[Tensor, "*events hidden"]) -> Float[Tensor, "*events ids"]:
        """Unnormalised log-probabilities of the next word; never UNK."""
        scores = self.output(self.dropout(outputs))
        return scores.index_fill(-1, torch.tensor([UNK], device=scores.device), -torch.inf)

    def read(
        self, clips: Clips, state: State, words: Int64[Tensor, "events words"], sampled: float = 0.0
    ) -> tuple[Float[Tensor, "events places hidden"], Float[Tensor, "events hidden"]]:
        """Read captions.

        Args:
            clips: of the events.
            state: before the first word.
            words: a caption of each event, its first END and what is behind it left unread.
            sampled: chance of each word to be replaced by one that the captioner draws where it stands (scheduled
                sampling).

        Returns:
            Outputs from which each word, and the END of the longest caption, is told; output after each caption's
            last word.
        """
        lengths = length(words)
        places = int(lengths.max()) + 1
        before = torch.cat([torch.full_like(words[:, :1], END), words], 1)[:, :places]
        embedded = self.embedding(before)
        outputs: list[Tensor] = []
        for place in range(places):
            word = embedded[:, place]
            if sampled and place:
                word = self._mixed(word, outputs[-1], sampled)
            state = self.advance(clips, state, word)
            outputs.append(state[0])
        stacked = torch.stack(outputs, 1)
        return stacked, stacked[torch.arange(len(words), device=words.device), lengths]

    def _mixed(
        self, words: Float[Tensor, "events hidden"], outputs: Float[Tensor, "events hidden"], share: float
    ) -> Float[Tensor, "events hidden"]:
        """Embeddings of words, some of them replaced by what is drawn from the outputs before them (never an END)."""
        with torch.no_grad():
            scores = no_end(self.scores(outputs))
            drawn = scores.softmax(1).multinomial(1).squeeze(1)
            replaced = torch.rand(len(words), device=words.device) < share
        return torch.where(replaced[:, None], self.embedding(drawn), words)


def no_end(scores: Float[Tensor, "events ids"]) -> Float[Tensor, "events ids"]:
    """Scores of words where no caption may end, as at its beginning."""
    return scores.index_fill(1, torch.tensor([END], device=scores.device), -torch.inf)


def length(words: Int64[Tensor, "events words"]) -> Int64[Tensor, " events"]:
    """How many words each caption has, its END not counted."""
    return ((words == END).cumsum(1) == 0).sum(1)


def until_end(words: Int64[Tensor, "events words"]) -> Bool[Tensor, "events words"]:
    """Which places belong to a caption: its words and its first END."""
    ended = (words == END).cumsum(1)
    return (ended == 0) | ((ended == 1) & (words == END))
