"""The sentence-level LSTM: what was told so far, and what is to be told of the next event."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pipeline.captioning.event_order import Turn


@dataclass(frozen=True)
class Story:
    """Where each story stands.

    Attributes:
        output: of the sentence-level LSTM.
        cell: of the same.
        said: the word LSTM's output after the last word of the caption before; zeros before the first.
    """

    output: Float[Tensor, "stories hidden"]
    cell: Float[Tensor, "stories hidden"]
    said: Float[Tensor, "stories hidden"]

    def of(self, rows: Int64[Tensor, " turn"]) -> "Story":
        """Some of the stories."""
        return Story(self.output[rows], self.cell[rows], self.said[rows])

    def after(self, turn: Turn, told: "Story") -> "Story":
        """The stories after a turn, which had an event of some of them."""
        return Story(
            self.output.index_copy(0, turn.rows, told.output),
            self.cell.index_copy(0, turn.rows, told.cell),
            self.said.index_copy(0, turn.rows, told.said),
        )


class SentenceLevel(nn.Module):
    """Goes from event to event; a gate weighs what was said last against what is seen.

    Args:
        context: size of an event as it is encoded.
        hidden: size of everything else.
    """

    def __init__(self, context: int, hidden: int) -> None:
        super().__init__()
        self.said = nn.Linear(hidden, hidden)
        self.seen = nn.Linear(context, hidden)
        self.gate = nn.Linear(3 * hidden, hidden)
        self.cell = nn.LSTMCell(2 * hidden, hidden, bias=False)

    def begin(self, stories: int) -> Story:
        """Stories of which nothing is told."""
        nothing = self.gate.bias.new_zeros(stories, self.gate.out_features)
        return Story(nothing, nothing, nothing)

    def forward(self, story: Story, events: Float[Tensor, "stories context"]) -> Story:
        """The stories at their next events, of which nothing is said yet (`said` is as before)."""
        said, seen = torch.tanh(self.said(story.said)), torch.tanh(self.seen(events))
        gate = torch.sigmoid(self.gate(torch.cat([story.output, said, seen], 1)))
        output, cell = self.cell(torch.cat([gate * said, (1 - gate) * seen], 1), (story.output, story.cell))
        return Story(output, cell, story.said)
