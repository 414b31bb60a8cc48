"""What captions may not do, whoever chooses their words."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pipeline.captioning.word_lstm import length, no_end
from pipeline.datasets.vocabulary import END, FIRST, Vocabulary
from pipeline.evaluation.diversity import BAD_ENDINGS


@dataclass(frozen=True)
class Rules:
    """Rules of decoding.

    A word that breaks one is never chosen, however likely it is. Where nothing else is left, a caption ends.

    Attributes:
        unfinished: words that no caption may end with. One that the greatest length stops there is cut back to its
            last good ending; one that is made of such words alone stays.
        block_ngrams: no caption says so many words in a row twice; 0 allows it.
    """

    unfinished: tuple[int, ...] = ()
    block_ngrams: int = 0

    @classmethod
    def of(cls, vocabulary: Vocabulary, block_ngrams: int) -> "Rules":
        """No bad endings, as a vocabulary numbers their words."""
        found = [number for number, word in enumerate(vocabulary.words, start=FIRST) if word in BAD_ENDINGS]
        return cls(tuple(found), block_ngrams)

    def bar(
        self, scores: Float[Tensor, "events ids"], said: Int64[Tensor, "events words"]
    ) -> Float[Tensor, "events ids"]:
        """Scores of the next word, minus infinity where it would break a rule.

        Args:
            scores: of every id; minus infinity where it is not to be said anyway.
            said: the words before it; rows that have ended may come out in any way.
        """
        allowed = scores
        if said.shape[1]:
            open_ended = self._unfinished(said[:, -1:])
            allowed = torch.where(open_ended, no_end(allowed), allowed)
        if self.block_ngrams:
            allowed = allowed.masked_fill(self._repeating(said, scores.shape[1]), -torch.inf)
        stuck = (allowed == -torch.inf).all(1, keepdim=True)
        words = torch.arange(scores.shape[1], device=scores.device) != END
        return torch.where(stuck, scores.masked_fill(words, -torch.inf), allowed)

    def cut(self, words: Int64[Tensor, "events words"]) -> Int64[Tensor, "events words"]:
        """Captions, those with a bad ending cut back to the last word that is a good one."""
        steps = torch.arange(words.shape[1], device=words.device)
        good = ~self._unfinished(words) & (steps < length(words)[:, None])
        last = torch.where(good, steps, -1).amax(1, keepdim=True)
        return words.masked_fill((last >= 0) & (steps > last), END)

    def _unfinished(self, words: Int64[Tensor, "*events"]) -> Bool[Tensor, "*events"]:
        return torch.isin(words, torch.tensor(self.unfinished, dtype=words.dtype, device=words.device))

    def _repeating(self, said: Int64[Tensor, "events words"], ids: int) -> Bool[Tensor, "events ids"]:
        """Which words would end a row of words that was said before."""
        size = self.block_ngrams
        counts = torch.zeros(len(said), ids, dtype=torch.int32, device=said.device)
        if said.shape[1] < size:
            return counts > 0
        rows = said.unfold(1, size, 1)
        again = (rows[..., :-1] == said[:, None, said.shape[1] - size + 1 :]).all(2)
        return counts.scatter_add(1, rows[..., -1], again.to(counts.dtype)) > 0


FREE = Rules()
"""Whatever the captioner wants to say."""
