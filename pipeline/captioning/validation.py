"""How good captions are: METEOR of each event's caption against the sentence of that event."""

from collections.abc import Callable, Sequence

from pipeline.captioning.data import EventSequence, collate, sentences_of
from pipeline.captioning.decoding import greedy
from pipeline.captioning.event_captioner import Captioner
from pipeline.captioning.reward_workers import lookups
from pipeline.datasets.vocabulary import FIRST, Vocabulary
from pipeline.evaluation.diversity import BAD_ENDINGS
from pipeline.features.cache import ClipCache, batches

Score = Callable[[Sequence[tuple[str, str]]], list[float]]
"""From pairs (caption, reference), tokenised, to a score for each."""
Tokenize = Callable[[Sequence[str]], list[str]]
"""From sentences to their tokens, separated by spaces."""

BATCH = 16
"""Videos captioned together."""


class Judge:
    """Scores captions given as ids. Sentences and words are tokenised once, in one call.

    A caption's tokens are those of its words one by one, which is how the tokenizer would cut the whole
    caption: it holds no punctuation between words.

    Args:
        score: scores tokenised pairs, METEOR say.
        tokenize: the tokenizer of the official evaluator.
        vocabulary: of the captions.
        sentences: all references that will be asked for.

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
        # METEOR looks its words up now, all at once, and answers quickly later.
        score([(text, text) for text in lookups(tokens)])

    def __call__(self, captions: Sequence[Sequence[int]], sentences: Sequence[str]) -> list[float]:
        """Score of each caption (ids of its words, no END) against the sentence in its place."""
        return self.score(
            [
                (self._text(caption), self.references[sentence])
                for caption, sentence in zip(captions, sentences, strict=True)
            ]
        )

    def _text(self, caption: Sequence[int]) -> str:
        return " ".join(tokens for word in caption if (tokens := self.words[word - FIRST]))


def validate(
    captioner: Captioner,
    sequences: Sequence[EventSequence],
    cache: ClipCache,
    judge: Judge,
    vocabulary: Vocabulary,
) -> dict[str, float]:
    """Caption annotated events greedily, given their true times.

    Returns:
        `meteor`: mean over the events of METEOR against the event's own sentence, in [0, 1];
        `bad_endings`: share of captions that break off, as after "with a".
    """
    device = next(captioner.parameters()).device
    captions: list[list[int]] = []
    for group in batches(sequences, BATCH):
        captions += greedy(captioner, collate(group, cache).to(device)).ids()
    scores = judge(captions, sentences_of(sequences))
    return {"meteor": sum(scores) / len(scores), "bad_endings": bad_endings(captions, vocabulary)}


def bad_endings(captions: Sequence[Sequence[int]], vocabulary: Vocabulary) -> float:
    """Share of captions whose last word calls for another."""
    broken = sum(not caption or vocabulary.decode(caption[-1:]) in BAD_ENDINGS for caption in captions)
    return broken / len(captions)
