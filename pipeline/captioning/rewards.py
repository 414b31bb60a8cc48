"""What a caption is worth in self-critical training: METEOR, CIDEr-D or a weighted sum, its end included.

A caption's END is a token of its own, in the caption and in every reference: a caption that ends gets the match, and
the n-grams that lead to an end; one that reached the greatest length without an end gets neither. So breaking off
after "with a" does not pay.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pipeline.captioning.reward_workers import CIDER_D, Counts
from pipeline.captioning.validation import Judge
from pipeline.config.finetune_scst import Weights
from pipeline.datasets.vocabulary import END, FIRST, Vocabulary
from pipeline.evaluation.meteor.formula import Pair, scores

ENDED = "0end0"
"""END among words. No word is written so, and METEOR knows nothing that it could mean."""

Answer = Callable[[], list[float]]
"""Waits for rewards that were asked for."""

Ask = Callable[[Sequence[Pair]], Callable[[], Counts]]
"""Asks for what pairs of a caption and a reference have in common; the answer waits for it."""


@dataclass(frozen=True)
class Strings:
    """What captions and sentences are to the reward.

    Attributes:
        tokens: of each id, possibly several, possibly none.
        references: of each sentence.
    """

    tokens: tuple[str, ...]
    references: Mapping[str, str]

    @classmethod
    def of_words(cls, judge: Judge) -> "Strings":
        """Real words, tokenised as the official evaluator does."""
        references = {sentence: f"{tokens} {ENDED}".strip() for sentence, tokens in judge.references.items()}
        return cls((ENDED, *[""] * (FIRST - 1), *judge.words), references)

    @classmethod
    def of_indices(cls, vocabulary: Vocabulary, sentences: Sequence[str], max_words: int) -> "Strings":
        """Ids written as numbers, END as 0, sentences cut to `max_words` words: METEOR sees neither stem nor synonym.

        The reference implementation of [9] rewards such strings.
        """
        ids = {sentence: [*vocabulary.encode(sentence, max_words), END] for sentence in dict.fromkeys(sentences)}
        references = {sentence: " ".join(map(str, row)) for sentence, row in ids.items()}
        return cls(tuple(map(str, range(vocabulary.size))), references)

    def caption(self, ids: Sequence[int]) -> str:
        """A caption, its END included if it has one."""
        return " ".join(token for number in ids if (token := self.tokens[number]))


class Rewards:
    """Rewards of captions.

    Args:
        strings: of captions and sentences.
        weights: of the metrics.
        ask: counts what pairs have in common; see `pipeline.captioning.reward_workers`.
    """

    def __init__(self, strings: Strings, weights: Weights, ask: Ask) -> None:
        self._strings, self._weights, self._ask = strings, weights, ask

    def __call__(self, captions: Sequence[Sequence[int]], sentences: Sequence[str]) -> Answer:
        """Ask for the reward of each caption (ids, END included) against the sentence in its place."""
        answer = self._ask(
            [
                (self._strings.caption(caption), self._strings.references[sentence])
                for caption, sentence in zip(captions, sentences, strict=True)
            ]
        )
        return lambda: self._weighed(answer()).tolist()

    def _weighed(self, counts: Counts) -> Float[np.ndarray, " pairs"]:
        """Scores follow from whole numbers here, for all pairs at once: whoever counted them, they are the same."""
        found = np.zeros(len(counts))
        if self._weights.meteor:
            found += self._weights.meteor * scores(counts[:, :CIDER_D])
        if self._weights.cider_d:
            found += self._weights.cider_d * counts[:, CIDER_D]
        return found
