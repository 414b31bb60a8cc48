"""From encoded events to captions, word by word; with context, turn by turn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pipeline.captioning.beam import Beams
from pipeline.captioning.constraints import FREE, Rules
from pipeline.captioning.data import Batch
from pipeline.captioning.event_captioner import Captioner, in_batch
from pipeline.captioning.event_order import Turn
from pipeline.captioning.word_lstm import Clips, State, WordLevel, length, no_end, until_end
from pipeline.datasets.vocabulary import END

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""From log-probabilities [turn, ids], what may not be said at minus infinity, the events' places in the batch [turn],
and the place in the caption: one id for each event."""


@dataclass(frozen=True)
class Captions:
    """Captions of the events of a batch.

    Attributes:
        words: ids, END from a caption's end on. A caption that reached the greatest length has no END.
        log_probs: log-probability of each word at its place, 0 after a caption's end. It is the captioner's own: rules
            of decoding, which make some words impossible, make no other likelier.
        mask: which places count: words and the first END.
    """

    words: Int64[Tensor, "events words"]
    log_probs: Float[Tensor, "events words"]
    mask: Bool[Tensor, "events words"]

    def ids(self) -> list[list[int]]:
        """Ids of each caption's words, without END."""
        return [[word for word in row if word != END] for row in self.words.tolist()]


@dataclass(frozen=True)
class Said:
    """Captions of one turn.

    Attributes:
        words: as those of `Captions`.
        log_probs: the same, whatever behind a caption's end.
        last: the word LSTM's output after each caption's last word.
    """

    words: Int64[Tensor, "turn words"]
    log_probs: Float[Tensor, "turn words"]
    last: Float[Tensor, "turn hidden"]


def greedy(captioner: Captioner, batch: Batch, rules: Rules = FREE) -> Captions:
    """The likeliest word at each place, without dropout and without gradients."""

    def likeliest(scores: Tensor, _events: Tensor, _place: int) -> Tensor:
        return scores.argmax(1)

    return _settled(captioner, batch, partial(_say, captioner, likeliest, rules, 1.0))


def beam(captioner: Captioner, batch: Batch, beams: Beams, rules: Rules = FREE) -> Captions:
    """The best captions that beam search finds, without dropout and without gradients.

    With context, the best caption of an event enters the next one; the others are forgotten.
    """

    def search(_: Turn, clips: Clips, state: State) -> Said:
        level = captioner.words
        words = rules.cut(beams.search(level, clips, state, rules, captioner.architecture.max_words))
        return _reread(level, clips, state, words)

    return _settled(captioner, batch, search)


def sample(
    captioner: Captioner,
    batch: Batch,
    temperature: float,
    rules: Rules = FREE,
    draws: Float[Tensor, "events words"] | None = None,
) -> Captions:
    """Words drawn by their probability at the given temperature.

    Args:
        captioner: in training mode or not, as the caller set it; gradients flow to it through the log-probabilities.
        batch: on the captioner's device.
        temperature: divides the scores before they are normalised.
        rules: what is not to be drawn.
        draws: a number in [0, 1) for each word of each event, which decides what is drawn; None takes them from
            torch's global generator.
    """
    if draws is None:
        size = len(batch.sequence), captioner.architecture.max_words
        draws = torch.rand(size, dtype=torch.float64, device=batch.clips.device)
    fixed = draws

    def draw(scores: Tensor, events: Tensor, place: int) -> Tensor:
        shares = scores.double().softmax(1).cumsum(1)
        return torch.searchsorted(shares, fixed[events, place, None].double() * shares[:, -1:], right=True).squeeze(1)

    return _told(captioner, batch, partial(_say, captioner, draw, rules, temperature))


@torch.no_grad()
def _settled(captioner: Captioner, batch: Batch, speak: Callable[[Turn, Clips, State], Said]) -> Captions:
    training = captioner.training
    captioner.eval()
    captions = _told(captioner, batch, speak)
    captioner.train(training)
    return captions


def _told(captioner: Captioner, batch: Batch, speak: Callable[[Turn, Clips, State], Said]) -> Captions:
    """Caption the events of a batch, turn by turn."""
    events = captioner.encode(batch)
    said: list[Said] = []

    def note(turn: Turn, clips: Clips, state: State) -> Tensor:
        said.append(speak(turn, clips, state))
        return said[-1].last

    captioner.tell(events, note)
    longest = max(one.words.shape[1] for one in said)
    words = in_batch([one.words for one in said], events.turns, longest, END)
    log_probs = in_batch([one.log_probs for one in said], events.turns, longest)
    mask = until_end(words)
    return Captions(words, log_probs.masked_fill(~mask, 0.0), mask)


def _say(
    captioner: Captioner, choose: Choose, rules: Rules, temperature: float, turn: Turn, clips: Clips, state: State
) -> Said:
    """Word the events of a turn, word by word, as `choose` decides."""
    level = captioner.words
    word = torch.full_like(turn.events, END)
    said = word.new_empty(len(word), 0)
    ended = torch.zeros_like(word, dtype=torch.bool)
    outputs, log_probs, ends = [], [], []
    for place in range(captioner.architecture.max_words):
        state = level.advance(clips, state, level.embedding(word))
        scores = level.scores(state[0]) / temperature
        scores = (scores if place else no_end(scores)).log_softmax(1)
        word = choose(rules.bar(scores.detach(), said), turn.events, place).masked_fill(ended, END)
        outputs.append(state[0])
        log_probs.append(scores.gather(1, word[:, None]).squeeze(1))
        ends.append(scores[:, END])
        said = torch.cat([said, word[:, None]], 1)
        ended = ended | (word == END)
        if ended.all():
            break
    else:
        outputs.append(level.advance(clips, state, level.embedding(word))[0])
    words = rules.cut(said)
    chosen = torch.where(words == said, torch.stack(log_probs, 1), torch.stack(ends, 1))
    last = torch.stack(outputs, 1)[torch.arange(len(words), device=words.device), length(words)]
    return Said(words, chosen, last)


def _reread(level: WordLevel, clips: Clips, state: State, words: Int64[Tensor, "turn words"]) -> Said:
    """Captions that were chosen, with their log-probabilities."""
    outputs, last = level.read(clips, state, words)
    kept = words[:, : outputs.shape[1]]
    scores = level.scores(outputs[:, : kept.shape[1]])
    first = no_end(scores[:, 0]).log_softmax(1)
    log_probs = torch.cat([first[:, None], scores[:, 1:].log_softmax(2)], 1)
    return Said(kept, log_probs.gather(2, kept[..., None]).squeeze(2), last)
