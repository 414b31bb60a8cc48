"""The event captioner that the paper builds on (Wang et al., 2020, its [9]; section 1.4 of the paper).

Events are mean-pooled clips, related to the other events of their video (`relations`). A sentence-level LSTM goes from
event to event (`story`), a word-level LSTM words each of them (`words`). docs/captioning.md tells what is as published
and what is not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as everybody calls it

from pipeline.captioning.data import Batch
from pipeline.captioning.event_order import Order, Turn, in_time
from pipeline.captioning.relations import Relations
from pipeline.captioning.sentence_lstm import SentenceLevel, Story
from pipeline.captioning.word_lstm import Clips, State, WordLevel, until_end
from pipeline.datasets.vocabulary import END, UNK
from pipeline.features.cache import Standardise

WIDE = 1024
"""Features of more channels than this are brought to the hidden size first."""
BINS = 100
"""Of the vector that tells which part of its video an event is."""

Speak = Callable[[Turn, Clips, State], Tensor]
"""Words the events of a turn, given their clips and the word LSTM's state before the first word; gives its output after
the last word of each, [turn, hidden]."""


@dataclass(frozen=True)
class Architecture:
    """What a captioner is built from; stands beside its weights as config.json.

    Attributes:
        dim: channels of the clip features.
        hidden: size of all hidden layers.
        vocabulary: number of ids, END and UNK among them.
        max_words: captions end here at the latest.
        dropout: share of units left out in training.
        relations: whether events know of the other events of their sequence.
        context: whether a caption knows of those before it; else all are worded at once.
    """

    dim: int
    hidden: int
    vocabulary: int
    max_words: int
    dropout: float
    relations: bool = True
    context: bool = True


@dataclass(frozen=True)
class Events:
    """Encoded events.

    Attributes:
        clips: of each event.
        context: each event, what it takes from the others, and where it lies.
        turns: in which order they are worded.
        stories: how many there are.
    """

    clips: Clips
    context: Float[Tensor, "events context"]
    turns: Sequence[Turn]
    stories: int


class Captioner(nn.Module):
    """The event captioner."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        hidden, dim = architecture.hidden, architecture.dim
        width, context = (hidden if dim > WIDE else dim), hidden * (1 + architecture.relations) + BINS
        self.architecture = architecture
        self.standardise = Standardise(dim)
        self.narrow = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU()) if dim > WIDE else nn.Identity()
        self.event = nn.Linear(width, hidden)
        self.relations = Relations(hidden) if architecture.relations else None
        self.sentences = SentenceLevel(context, hidden)
        self.words = WordLevel(width, hidden, architecture.vocabulary, architecture.dropout)
        self.dropout = nn.Dropout(architecture.dropout)

    def encode(self, batch: Batch) -> Events:
        """Encode the events of a batch."""
        clips = self.narrow(self.standardise(batch.clips))
        own, there = of_events(clips, batch.sequence, batch.rows)
        pooled = own.sum(1) / there.sum(1, keepdim=True)
        event = self.dropout(F.relu(self.event(pooled)))
        order = in_time(batch)
        parts = [event]
        if self.relations is not None:
            related = self.relations(event[order.grid], batch.spans[order.grid], order.there)
            parts = [flat(related, order), event]
        context = torch.cat([self.dropout(torch.cat(parts, 1)), bins(batch.spans)], 1)
        alone = not self.architecture.context
        return Events(
            Clips(own, self.words.key(own), there),
            context,
            order.at_once() if alone else order.turns(),
            len(context) if alone else len(order.grid),
        )

    def tell(self, events: Events, speak: Speak) -> None:
        """Word events turn by turn; what is said of one enters the next of its story."""
        story = self.sentences.begin(events.stories)
        for turn in events.turns:
            told = self.sentences(story.of(turn.rows), events.context[turn.events])
            said = speak(turn, events.clips.of(turn.events), self.words.begin(told.cell))
            story = story.after(turn, Story(told.output, told.cell, said))

    def forward(
        self, batch: Batch, words: Int64[Tensor, "events words"], sampled: float = 0.0
    ) -> Float[Tensor, "events words ids"]:
        """Log-probabilities of every word id at each place, given the words before it.

        Args:
            batch: the events.
            words: a caption of each, which ends with its first END; what is told of places behind it means nothing.
            sampled: chance of a word to be read as the captioner would have said it (scheduled sampling).
        """
        events = self.encode(batch)
        outputs: list[Tensor] = []

        def read(turn: Turn, clips: Clips, state: State) -> Tensor:
            found, last = self.words.read(clips, state, words[turn.events], sampled)
            outputs.append(found[:, : words.shape[1]])
            return last

        self.tell(events, read)
        scores = self.words.scores(in_batch(outputs, events.turns, words.shape[1]))
        empty = torch.zeros(scores.shape[1:], dtype=torch.bool, device=scores.device)
        empty[0, END] = True  # a caption has a word at least
        return scores.masked_fill(empty, -torch.inf).log_softmax(2)


def of_events(
    clips: Float[Tensor, "sequences clips width"],
    sequence: Int64[Tensor, " events"],
    rows: Int64[Tensor, "events 2"],
) -> tuple[Float[Tensor, "events length width"], Bool[Tensor, "events length"]]:
    """The clips of each event, up to the longest event, zeros behind its last; and which of them are there."""
    lengths = rows[:, 1] - rows[:, 0]
    steps = torch.arange(int(lengths.max()), device=rows.device)
    places = (rows[:, :1] + steps).clamp_max(clips.shape[1] - 1)
    there = steps < lengths[:, None]
    return clips[sequence[:, None], places].masked_fill(~there[..., None], 0.0), there


def bins(spans: Float[Tensor, "events 3"]) -> Float[Tensor, "events bins"]:
    """Ones for the hundredths of its video in which an event lies, zeros for the others."""
    first, last = (spans[:, :2] * (BINS - 1)).floor().T
    steps = torch.arange(BINS, device=spans.device)
    return ((steps >= first[:, None]) & (steps <= last[:, None])).to(spans.dtype)


def flat(grid: Float[Tensor, "sequences places hidden"], order: Order) -> Float[Tensor, "events hidden"]:
    """What stands on the grid, in the order of the batch."""
    return grid[order.there][order.grid[order.there].argsort()]


def in_batch(parts: Sequence[Tensor], turns: Sequence[Turn], words: int, filler: int = 0) -> Tensor:
    """What the turns gave, each [turn, words of the turn, ...], as [events, words, ...] in the order of the batch."""
    wide = [_filled(part, words, filler) for part in parts]
    return torch.cat(wide)[torch.cat([turn.events for turn in turns]).argsort()]


def _filled(part: Tensor, words: int, filler: int) -> Tensor:
    missing = part.new_full((part.shape[0], words - part.shape[1], *part.shape[2:]), filler)
    return torch.cat([part, missing], 1)


def cross_entropy(
    log_probs: Float[Tensor, "events words ids"], words: Int64[Tensor, "events words"]
) -> Float[Tensor, ""]:
    """Mean negative log-probability of the words and the END of captions; unknown words teach nothing."""
    counted = until_end(words) & (words != UNK)
    chosen = log_probs.gather(2, words[..., None]).squeeze(2)
    return -chosen[counted].mean()
