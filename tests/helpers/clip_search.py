"""The published beam search of clip captioners, with its faults as options: the golden searches are compared with it.

The project's own search is `pipeline.captioning.decoding.BeamSearch`; it starts with BOS, its states follow their
hypotheses, and it stops when no hypothesis can win any more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.captioning.base import select_rows
from pipeline.captioning.clip.autoregressive import TopDownCaptioner, TransformerCaptioner
from pipeline.captioning.instances import Instances
from tests.helpers.clip_golden import BOS, EOS, PAD, POSITIONS

NextLogProbs = Callable[[Tensor, Tensor], Tensor]
"""From the tokens [beams, words] before the next one, the first token included, and the beams that they continue
[beams], to log-probabilities [beams, ids]."""


@dataclass
class Search:
    """What a search of one event did.

    Attributes:
        finished: score, number of tokens and beam of each caption that ended, in the order of ending.
        captions: their tokens, EOS included.
        steps: back pointers, tokens and summed log-probabilities of the beams at each step.
    """

    finished: list[tuple[float, int, int]] = field(default_factory=list)
    captions: list[list[int]] = field(default_factory=list)
    steps: list[tuple[list[int], list[int], list[float]]] = field(default_factory=list)

    def best(self) -> int:
        """Return the index of the best caption; of equal ones, the first."""
        return max(range(len(self.finished)), key=lambda index: self.finished[index][0])


def search_as_published(
    next_log_probs: NextLogProbs, first: int, width: int, alpha: float = 1.0, positions: int = POSITIONS
) -> Search:
    """Search the captions of one event."""
    search = Search()
    prefixes = torch.full((width, 1), first)
    parents, scores = torch.arange(width), torch.zeros(width)
    for step in range(1, positions):
        log_probs = next_log_probs(prefixes, parents)
        if step == 1:
            total = log_probs[0]
        else:
            ended = prefixes[:, -1:] == EOS
            total = (scores[:, None] + log_probs).masked_fill(ended, -1e20).flatten()
        scores, chosen = total.topk(width)
        parents, tokens = chosen // log_probs.shape[1], chosen % log_probs.shape[1]
        prefixes = torch.cat([prefixes[parents], tokens[:, None]], 1)
        prefixes[:, 0] = BOS
        search.steps.append((parents.tolist(), tokens.tolist(), scores.tolist()))
        for beam in range(width):
            if tokens[beam] == EOS and len(search.finished) < width:
                _finish(search, prefixes, scores, beam, alpha)
        if len(search.finished) == width:
            return search
    if not search.finished:
        for beam in range(width):
            _finish(search, prefixes, scores, beam, alpha)
    return search


def _finish(search: Search, prefixes: Tensor, scores: Tensor, beam: int, alpha: float) -> None:
    length = prefixes.shape[1] - 1
    search.finished.append((scores[beam].item() / length**alpha, length, beam))
    search.captions.append(prefixes[beam, 1:].tolist())


def transformer_log_probs(captioner: TransformerCaptioner, memory: Instances, event: int) -> NextLogProbs:
    """Read the whole prefix again at each step; words do not attend to a PAD that was generated."""

    def next_log_probs(prefixes: Tensor, parents: Tensor) -> Tensor:
        num_words = prefixes.shape[1]
        visible = torch.ones(num_words, num_words, dtype=torch.bool).tril() & (prefixes != PAD)[:, None]
        visible |= ~visible.any(2, keepdim=True)
        rows = Instances(
            memory.values[event].expand(len(prefixes), -1, -1), memory.mask[event].expand(len(prefixes), -1)
        )
        hidden = captioner.decoder.decode(captioner.start(rows), captioner.decoder.embed(prefixes), visible)
        return captioner.output(hidden[:, -1]).log_softmax(1)

    return next_log_probs


def topdown_log_probs(
    captioner: TopDownCaptioner, memory: Instances, event: int, width: int, *, states_follow: bool
) -> NextLogProbs:
    """Read the last token; the states stay at the place of their beam (as published) or follow their caption."""
    one = Instances(memory.values[event : event + 1], memory.mask[event : event + 1])
    state = captioner.expand(captioner.start(one), width)

    def next_log_probs(prefixes: Tensor, parents: Tensor) -> Tensor:
        nonlocal state
        if states_follow:
            state = select_rows(state, parents)
        logits, state = captioner.step(state, prefixes[:, -1])
        return logits.log_softmax(1)

    return next_log_probs
