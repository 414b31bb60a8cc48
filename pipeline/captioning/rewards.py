"""METEOR of captions given as token ids, for validation; and the rewards of self-critical training.

The reward is METEOR, CIDEr-D or a weighted sum. There, a caption's EOS is a token of its own, in the caption and in
every reference. A caption that ends gets that match, and the n-grams that lead to it; a caption that reaches the
maximum length without EOS gets neither. So a caption gains nothing by breaking off after "with a".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config.finetune_scst import RewardWeights
from pipeline.datasets.vocabulary import EOS, NUM_SPECIAL, Vocabulary
from pipeline.evaluation.cider_d import CiderD
from pipeline.evaluation.meteor.formula import MeteorScorer, Pair, scores
from pipeline.evaluation.meteor.words import PLAIN_SENTENCE

EOS_TOKEN = "0end0"  # noqa: S105  # not a password
"""EOS among the tokens of the reward. No word is written like this, and METEOR finds no stem or synonym of it."""

Score = Callable[[Sequence[Pair]], list[float]]
"""From tokenized pairs (caption, reference) to a score for each."""
Tokenize = Callable[[Sequence[str]], list[str]]
"""From sentences to their tokens, separated by spaces."""


class CaptionScorer:
    """Scores captions given as ids. Sentences and words are tokenized once, in one call.

    The tokens of a caption are those of its words one by one. The tokenizer would return the same for the whole
    caption, because a caption has no punctuation between words.

    Args:
        score: scores tokenized pairs.
        tokenize: the tokenizer of the official evaluator.
        vocabulary: the vocabulary of the captions.
        sentences: all references that will be used.

    Attributes:
        words: tokens of each word of the vocabulary, possibly none.
        references: tokens of each sentence.
    """

    def __init__(self, score: Score, tokenize: Tokenize, vocabulary: Vocabulary, sentences: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(sentences))
        tokens = tokenize([*vocabulary.words, *distinct])
        self.score = score
        self.words = tokens[: len(vocabulary.words)]
        self.references = dict(zip(distinct, tokens[len(vocabulary.words) :], strict=True))
        score([(text, text) for text in warmup_texts(tokens)])

    def __call__(self, captions: Sequence[Sequence[int]], sentences: Sequence[str]) -> list[float]:
        """Score each caption (ids of its words, without EOS) against the sentence at the same position."""
        return self.score(
            [
                (self._text(caption), self.references[sentence])
                for caption, sentence in zip(captions, sentences, strict=True)
            ]
        )

    def _text(self, caption: Sequence[int]) -> str:
        return " ".join(tokens for word in caption if (tokens := self.words[word - NUM_SPECIAL]))


def warmup_texts(texts: Sequence[str]) -> list[str]:
    """Return what METEOR must score once to know all words of some texts: then it answers quickly.

    These are the words one by one, and the texts that the engine cannot cut into words by itself.
    """
    words = {word for text in texts for word in text.split(" ") if word}
    return [*sorted(words), *(text for text in texts if not PLAIN_SENTENCE.fullmatch(text))]


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
    def of_words(cls, scorer: CaptionScorer) -> "RewardTokenizer":
        """Use the words, tokenized as the official evaluator does."""
        references = {sentence: f"{tokens} {EOS_TOKEN}".strip() for sentence, tokens in scorer.references.items()}
        return cls((EOS_TOKEN, *[""] * (NUM_SPECIAL - 1), *scorer.words), references)

    @classmethod
    def of_indices(cls, vocabulary: Vocabulary, sentences: Sequence[str], max_words: int) -> "RewardTokenizer":
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
            rewards += self._weights.meteor * scores(self._meteor.statistics(pairs))
        if self._cider_d:
            rewards += self._weights.cider_d * np.array(self._cider_d.score(pairs))
        return [float(reward) for reward in rewards]
