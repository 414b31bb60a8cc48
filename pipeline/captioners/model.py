"""The event captioner: events of a video in their context, worded by an LSTM that looks at their clips.

Of the family of the captioner the paper builds on [9]: mean-pooled events related by self-attention among the
events of the same video, their place in the video, and a word LSTM with additive attention over an event's
clip features.
"""

from dataclasses import dataclass
from math import gcd

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

from pipeline.captioners.data import Batch
from pipeline.captioners.vocabulary import END, UNK
from pipeline.training.clips import Standardise

State = tuple[Tensor, Tensor]
"""Output and cell of the word LSTM, each [events, hidden]."""


@dataclass(frozen=True)
class Architecture:
    """What a captioner is built from; stands beside its weights as config.json.

    Attributes:
        dim: channels of the clip features.
        hidden: size of all hidden layers.
        vocabulary: number of ids, END and UNK among them.
        max_words: captions end here at the latest.
        dropout: share of units left out in training.
    """

    dim: int
    hidden: int
    vocabulary: int
    max_words: int
    dropout: float


@dataclass(frozen=True)
class Events:
    """Encoded events.

    Attributes:
        clips: encoded clips of each event.
        keys: what attention compares them by.
        mask: which of them are there.
        context: each event, what it means among the others, and where it lies.
    """

    clips: Float[Tensor, "events clips hidden"]
    keys: Float[Tensor, "events clips hidden"]
    mask: Bool[Tensor, "events clips"]
    context: Float[Tensor, "events context"]


class Captioner(nn.Module):
    """The event captioner."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        hidden = architecture.hidden
        self.architecture = architecture
        self.standardise = Standardise(architecture.dim)
        self.clip = nn.Linear(architecture.dim, hidden)
        self.event = nn.Linear(hidden, hidden)
        self.span = nn.Linear(3, hidden)
        self.relations = Relations(hidden)
        self.words = WordDecoder(hidden, 2 * hidden, architecture.vocabulary, architecture.dropout)
        self.dropout = nn.Dropout(architecture.dropout)

    def encode(self, batch: Batch) -> Events:
        """Encode the events of a batch."""
        clips = self.dropout(F.relu(self.clip(self.standardise(batch.clips))))
        own, mask = of_events(clips, batch.sequence, batch.rows)
        pooled = (own * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        event = self.dropout(F.relu(self.event(pooled)))
        placed = event + self.span(batch.spans)
        related = self.relations(placed, batch.sequence[:, None] == batch.sequence)
        return Events(own, self.words.key(own), mask, torch.cat([placed, self.dropout(related)], 1))

    def forward(self, batch: Batch, words: Int64[Tensor, "events words"]) -> Float[Tensor, "events words ids"]:
        """Log-probabilities of every word id at each place, given the words before it."""
        events = self.encode(batch)
        state = self.words.begin(events)
        outputs = []
        for place in range(words.shape[1]):
            before = words[:, place - 1] if place else torch.full_like(words[:, 0], END)
            state = self.words.advance(events, state, before)
            outputs.append(self.words.scores(state, first=place == 0))
        return torch.stack(outputs, 1).log_softmax(2)


class Relations(nn.Module):
    """Self-attention of many heads among the events that may see one another."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.heads = gcd(hidden, 16)
        self.project = nn.Linear(hidden, 3 * hidden)
        self.merge = nn.Linear(hidden, hidden)

    def forward(
        self, events: Float[Tensor, "events hidden"], visible: Bool[Tensor, "events events"]
    ) -> Float[Tensor, "events hidden"]:
        """What each event takes from the events visible to it, itself among them."""
        query, key, value = self.project(events).view(len(events), 3, self.heads, -1).permute(1, 2, 0, 3)
        taken = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        related: Tensor = F.relu(self.merge(taken.transpose(0, 1).flatten(1)))
        return related


class WordDecoder(nn.Module):
    """Word LSTM that attends, before each word, to the clips of its event."""

    def __init__(self, hidden: int, context: int, vocabulary: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.start = nn.Linear(context, 2 * hidden)
        self.key = nn.Linear(hidden, hidden)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.energy = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.LSTMCell(2 * hidden + context, hidden)
        self.output = nn.Linear(hidden, vocabulary)
        self.dropout = nn.Dropout(dropout)

    def begin(self, events: Events) -> State:
        """State before the first word, from the events' context."""
        output, cell = torch.tanh(self.start(events.context)).chunk(2, 1)
        return output, cell

    def advance(self, events: Events, state: State, word: Int64[Tensor, " events"]) -> State:
        """State after reading one word of each event."""
        energy = self.energy(torch.tanh(events.keys + self.query(state[0])[:, None])).squeeze(2)
        weights = energy.masked_fill(~events.mask, -torch.inf).softmax(1)
        seen = (weights[..., None] * events.clips).sum(1)
        read = torch.cat([self.dropout(self.embedding(word)), seen, events.context], 1)
        output, cell = self.cell(read, state)
        return output, cell

    def scores(self, state: State, *, first: bool) -> Float[Tensor, "events ids"]:
        """Unnormalised log-probabilities of the next word; never UNK, and no END where a caption begins."""
        scores = self.output(self.dropout(state[0]))
        barred = torch.tensor([END, UNK] if first else [UNK], device=scores.device)
        return scores.index_fill(1, barred, -torch.inf)


def of_events(
    clips: Float[Tensor, "sequences clips hidden"],
    sequence: Int64[Tensor, " events"],
    rows: Int64[Tensor, "events 2"],
) -> tuple[Float[Tensor, "events length hidden"], Bool[Tensor, "events length"]]:
    """The clips of each event, up to the longest event, and which of them are there."""
    lengths = rows[:, 1] - rows[:, 0]
    steps = torch.arange(int(lengths.max()), device=rows.device)
    places = (rows[:, :1] + steps).clamp_max(clips.shape[1] - 1)
    return clips[sequence[:, None], places], steps < lengths[:, None]


def until_end(words: Int64[Tensor, "events words"]) -> Bool[Tensor, "events words"]:
    """Which places belong to a caption: its words and its first END."""
    ended = (words == END).cumsum(1)
    return (ended == 0) | ((ended == 1) & (words == END))


def cross_entropy(
    log_probs: Float[Tensor, "events words ids"], words: Int64[Tensor, "events words"]
) -> Float[Tensor, ""]:
    """Mean negative log-probability of the words and the END of captions; unknown words teach nothing."""
    counted = until_end(words) & (words != UNK)
    chosen = log_probs.gather(2, words[..., None]).squeeze(2)
    return -chosen[counted].mean()
