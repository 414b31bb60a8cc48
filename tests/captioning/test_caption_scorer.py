"""Scores of captions given as ids."""

from collections.abc import Sequence

from helpers.caption_corpus import FakeMeteor, fake_tokenize

from pipeline.captioning.caption_scorer import CaptionScorer
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.evaluation.tokenizer import tokenize

KITES = Vocabulary(["a", "man's", "kite", "with", "("])


def test_caption_scorer_cuts_captions_as_the_official_tokenizer_does() -> None:
    scored: list[tuple[str, str]] = []

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        scored.extend(pairs)
        return [0.5] * len(pairs)

    scorer = CaptionScorer(score, tokenize, KITES, ["A man's kite.", "A kite!"])
    assert {word for text, _ in scored for word in text.split()} >= {"man", "'s", "kite"}, "all words in the first call"
    scored.clear()
    caption = KITES.encode("a man's kite", 9)
    assert scorer([caption, []], ["A man's kite.", "A kite!"]) == [0.5, 0.5]
    assert scored == [("a man 's kite", "a man 's kite"), ("", "a kite")]
    assert scored[0][0] == tokenize(["A man's kite."])[0]


def test_caption_scorer_calls_the_tokenizer_once() -> None:
    calls = []

    def tokenize_and_note(sentences: Sequence[str]) -> list[str]:
        calls.append(list(sentences))
        return fake_tokenize(sentences)

    scorer = CaptionScorer(FakeMeteor().score, tokenize_and_note, KITES, ["A kite.", "A kite."])
    scorer([[2, 4]], ["A kite."])
    scorer([[2, 4]], ["A kite."])
    assert calls == [[*KITES.words, "A kite."]]
