"""METEOR of captions given as token ids, for validation and as a part of the reward of self-critical training."""

from collections.abc import Callable, Sequence

from pipeline.datasets.vocabulary import NUM_SPECIAL, Vocabulary
from pipeline.evaluation.meteor.formula import Pair
from pipeline.evaluation.meteor.words import is_cut_by_words

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
    return [*sorted(words), *(text for text in texts if not is_cut_by_words(text))]
