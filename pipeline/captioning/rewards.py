"""The rewards of self-critical training, for captions given as token ids.

The reward is METEOR, CIDEr-D or a weighted sum. In it, a caption's EOS is a token of its own, in the caption and in
every reference. A caption that ends gets that match, and the n-grams that lead to it; a caption that reaches the
maximum length without EOS gets neither. So a caption gains nothing by breaking off after "with a".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.captioning.caption_scorer import CaptionScorer, warmup_texts
from pipeline.config.finetune_scst import RewardWeights
from pipeline.datasets.vocabulary import EOS, NUM_SPECIAL, Vocabulary
from pipeline.evaluation.cider_d import CiderD
from pipeline.evaluation.meteor.formula import MeteorScorer, meteor_scores

EOS_TOKEN = "0end0"  # noqa: S105  # not a password
"""EOS among the tokens of the reward. No word is written like this, and METEOR finds no stem or synonym of it."""


@dataclass(frozen=True)
class RewardTokenizer:
    """Captions and sentences as the texts that the reward compares.

    Attributes:
        tokens: tokens of each id, possibly several, possibly none.
        references: text of each sentence.
    """

    tokens: tuple[str, ...]
    references: Mapping[str, str]

    @classmethod
    def from_words(cls, scorer: CaptionScorer) -> "RewardTokenizer":
        """Use the words, tokenized as the official evaluator does."""
        references = {sentence: f"{tokens} {EOS_TOKEN}".strip() for sentence, tokens in scorer.references.items()}
        return cls((EOS_TOKEN, *[""] * (NUM_SPECIAL - 1), *scorer.words), references)

    @classmethod
    def from_ids(cls, vocabulary: Vocabulary, sentences: Sequence[str], max_words: int) -> "RewardTokenizer":
        """Use the ids as numbers, EOS as 0, sentences truncated to `max_words` words: only equal words match.

        The reference implementation of Wang et al. (2020) rewards such texts.
        """
        ids = {sentence: [*vocabulary.encode(sentence, max_words), EOS] for sentence in dict.fromkeys(sentences)}
        references = {sentence: " ".join(map(str, row)) for sentence, row in ids.items()}
        return cls(tuple(map(str, range(vocabulary.size))), references)

    def caption_text(self, ids: Sequence[int]) -> str:
        """Return the text of a caption (token ids, with EOS if it has one)."""
        return " ".join(token for number in ids if (token := self.tokens[number]))


class RewardFunction:
    """Rewards of captions.

    Args:
        tokenizer: makes texts of captions and sentences.
        weights: weights of the metrics.
        meteor: computes METEOR's statistics.
        sentences: the sentences of the training set, whose n-grams give CIDEr-D its document frequencies.
    """

    def __init__(
        self, tokenizer: RewardTokenizer, weights: RewardWeights, meteor: MeteorScorer, sentences: Sequence[str]
    ) -> None:
        self._tokenizer, self._weights, self._meteor = tokenizer, weights, meteor
        self._cider_d = CiderD(tokenizer.references[sentence] for sentence in sentences) if weights.cider_d else None
        if weights.meteor:
            texts = [*tokenizer.tokens, *tokenizer.references.values()]
            meteor.statistics([(text, "") for text in warmup_texts(texts)])

    def __call__(self, captions: Sequence[Sequence[int]], sentences: Sequence[str]) -> list[float]:
        """Return the reward of each caption (token ids, with EOS if it has one) against its sentence.

        Raises:
            PipelineError: METEOR fails.
        """
        pairs = [
            (self._tokenizer.caption_text(caption), self._tokenizer.references[sentence])
            for caption, sentence in zip(captions, sentences, strict=True)
        ]
        rewards = np.zeros(len(pairs))
        if self._weights.meteor:
            rewards += self._weights.meteor * meteor_scores(self._meteor.statistics(pairs))
        if self._cider_d:
            rewards += self._weights.cider_d * np.array(self._cider_d.score(pairs))
        return [float(reward) for reward in rewards]
