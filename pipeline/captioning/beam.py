"""Beam search over the captions of many events at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.captioning.constraints import Rules
from pipeline.captioning.word_lstm import Clips, State, WordLevel, no_end
from pipeline.datasets.vocabulary import END


@dataclass(frozen=True)
class Beams:
    """Beam search.

    At each place the likeliest `width` continuations of all beginnings are kept; those that end are put aside. Of the
    captions that were put aside, and of those that reached the greatest length, the one wins whose log-probability
    divided by (number of its words) ** `length_power` is greatest. An event is done when no beginning can win any more.

    Attributes:
        width: beginnings of each caption that are kept; one is greedy decoding.
        length_power: 0 takes the likeliest caption, a short one; 1 the one whose words are likeliest on average.
    """

    width: int
    length_power: float

    def search(
        self, level: WordLevel, clips: Clips, state: State, rules: Rules, max_words: int
    ) -> Int64[Tensor, "events words"]:
        """Words of the best caption found for each event, END behind them."""
        count, width, device = len(state[0]), self.width, state[0].device
        rows = torch.arange(count, device=device)
        clips = clips.of(rows.repeat_interleave(width))
        output, cell = (part.repeat_interleave(width, 0) for part in state)
        said = torch.full((count, width, max_words), END, device=device)
        # All beams are alike before the first word: one of them lives.
        alive = output.new_full((count, width), -torch.inf)
        alive[:, 0] = 0.0
        best, best_score = said[:, 0], output.new_full((count,), -torch.inf)
        word = said[:, :, 0].flatten()
        for place in range(max_words):
            output, cell = level.advance(clips, (output, cell), level.embedding(word))
            scores = level.scores(output)
            scores = (scores if place else no_end(scores)).log_softmax(1)
            scores = rules.bar(scores, said[:, :, :place].flatten(0, 1)).unflatten(0, (count, width))
            ids = scores.shape[2]
            alive, chosen = (alive[..., None] + scores).flatten(1).topk(width)
            parents, words = chosen // ids, chosen % ids
            said = said.gather(1, parents[..., None].expand_as(said))
            said[:, :, place] = words
            kept = (rows[:, None] * width + parents).flatten()
            output, cell, word = output[kept], cell[kept], words.flatten()

            ended = words == END
            full = torch.full_like(ended, place + 1 == max_words)
            length = torch.where(ended, place, place + 1)
            finished = self._normalised(alive, length).masked_fill(~(ended | full), -torch.inf)
            score, index = finished.max(1)
            better = score > best_score
            best = torch.where(better[:, None], said[rows, index], best)
            best_score = torch.where(better, score, best_score)
            alive = alive.masked_fill(ended, -torch.inf)
            hope = self._normalised(alive.amax(1), torch.full_like(rows, max_words))
            alive = alive.masked_fill((hope <= best_score)[:, None], -torch.inf)
            if (alive == -torch.inf).all():
                break
        return best

    def _normalised(self, total: Float[Tensor, "*beams"], length: Int64[Tensor, "*beams"]) -> Float[Tensor, "*beams"]:
        return total / length.clamp_min(1).to(total.dtype) ** self.length_power
