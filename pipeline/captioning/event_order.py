"""In which order the events of a batch are worded: those that stand first in their sequences, the second ones, ..."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from pipeline.captioning.data import Batch


@dataclass(frozen=True)
class Turn:
    """Events that are worded at once, at most one of each story.

    Attributes:
        events: their places in the batch.
        rows: whose story each of them continues.
    """

    events: Int64[Tensor, " turn"]
    rows: Int64[Tensor, " turn"]


@dataclass(frozen=True)
class Order:
    """The events of a batch by sequence and time.

    Attributes:
        grid: of each sequence its events in time order, as places in the batch; 0 where there are no more.
        there: which places of the grid are events.
    """

    grid: Int64[Tensor, "sequences places"]
    there: Bool[Tensor, "sequences places"]

    def turns(self) -> list[Turn]:
        """One turn after another along time; a sequence is one story."""
        found = []
        for place in range(self.grid.shape[1]):
            rows = self.there[:, place].nonzero().squeeze(1)
            found.append(Turn(self.grid[rows, place], rows))
        return found

    def at_once(self) -> list[Turn]:
        """All events in one turn, each a story of its own."""
        events = self.grid[self.there].sort().values
        return [Turn(events, events)]


def in_time(batch: Batch) -> Order:
    """Sort events by start and end; of equal ones, the first in the batch comes first."""
    sequences = batch.clips.shape[0]
    owners, spans = batch.sequence.tolist(), batch.spans.tolist()
    places: list[list[int]] = [[] for _ in range(sequences)]
    for event in sorted(range(len(owners)), key=lambda event: spans[event][:2]):
        places[owners[event]].append(event)
    longest = max(map(len, places))
    rows = [own + [0] * (longest - len(own)) for own in places]
    there = [[place < len(own) for place in range(longest)] for own in places]
    device = batch.sequence.device
    return Order(torch.tensor(rows, device=device), torch.tensor(there, device=device))
