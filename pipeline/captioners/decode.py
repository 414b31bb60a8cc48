"""From encoded events to captions, word by word."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pipeline.captioners.data import Batch
from pipeline.captioners.model import Captioner, until_end
from pipeline.captioners.vocabulary import END

Choose = Callable[[Tensor], Tensor]
"""From log-probabilities [events, ids] to one id for each event."""


@dataclass(frozen=True)
class Captions:
    """Captions of the events of a batch.

    Attributes:
        words: ids, END from a caption's end on. A caption that reached the greatest length has no END.
        log_probs: log-probability of each word at its place, 0 after a caption's end.
        mask: which places count: words and the first END.
    """

    words: Int64[Tensor, "events words"]
    log_probs: Float[Tensor, "events words"]
    mask: Bool[Tensor, "events words"]

    def ids(self) -> list[list[int]]:
        """Ids of each caption's words, without END."""
        return [[word for word in row if word != END] for row in self.words.tolist()]


def decode(captioner: Captioner, batch: Batch, choose: Choose, temperature: float = 1.0) -> Captions:
    """Caption the events of a batch.

    Args:
        captioner: in training mode or not, as the caller set it; gradients flow to it through the
            log-probabilities.
        batch: on the captioner's device.
        choose: picks each next word.
        temperature: divides the scores before they are normalised.
    """
    events = captioner.encode(batch)
    state = captioner.words.begin(events)
    word = torch.full_like(batch.sequence, END)
    ended = torch.zeros_like(word, dtype=torch.bool)
    words, log_probs = [], []
    for place in range(captioner.architecture.max_words):
        state = captioner.words.advance(events, state, word)
        scores = (captioner.words.scores(state, first=place == 0) / temperature).log_softmax(1)
        word = choose(scores.detach()).masked_fill(ended, END)
        log_probs.append(scores.gather(1, word[:, None]).squeeze(1))
        words.append(word)
        ended = ended | (word == END)
        if ended.all():
            break
    said = torch.stack(words, 1)
    mask = until_end(said)
    return Captions(said, torch.stack(log_probs, 1).masked_fill(~mask, 0.0), mask)


@torch.no_grad()
def greedy(captioner: Captioner, batch: Batch) -> Captions:
    """The likeliest word at each place, without dropout and without gradients."""
    training = captioner.training
    captioner.eval()
    captions = decode(captioner, batch, lambda scores: scores.argmax(1))
    captioner.train(training)
    return captions


def sample(captioner: Captioner, batch: Batch, temperature: float) -> Captions:
    """Words drawn by their probability at the given temperature, with torch's global generator."""
    return decode(captioner, batch, lambda scores: scores.exp().multinomial(1).squeeze(1), temperature)
