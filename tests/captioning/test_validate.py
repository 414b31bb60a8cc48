"""Scores of captions given as ids."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.caption_corpus import FakeMeteor, fake_tokenize, write_small

from pipeline.captioning.data import annotated
from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.captioning.validation import Judge, bad_endings, validate
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.evaluation.tokenizer import tokenize
from pipeline.features.cache import ClipCache

KNOWN = Vocabulary(["a", "man's", "kite", "with", "("])


def test_captions_are_scored_as_the_official_tokenizer_cuts_them() -> None:
    seen: list[tuple[str, str]] = []

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        seen.extend(pairs)
        return [0.5] * len(pairs)

    judge = Judge(score, tokenize, KNOWN, ["A man's kite.", "A kite!"])
    assert {word for text, _ in seen for word in text.split()} >= {"man", "'s", "kite"}  # shown to METEOR at once
    seen.clear()
    caption = KNOWN.encode("a man's kite", 9)
    assert judge([caption, []], ["A man's kite.", "A kite!"]) == [0.5, 0.5]
    assert seen == [("a man 's kite", "a man 's kite"), ("", "a kite")]
    assert seen[0][0] == tokenize(["A man's kite."])[0]


def test_the_tokenizer_is_asked_once() -> None:
    asked = []

    def count(sentences: Sequence[str]) -> list[str]:
        asked.append(list(sentences))
        return fake_tokenize(sentences)

    judge = Judge(FakeMeteor().score, count, KNOWN, ["A kite.", "A kite."])
    judge([[2, 4]], ["A kite."])
    judge([[2, 4]], ["A kite."])
    assert asked == [[*KNOWN.words, "A kite."]]


def test_captions_that_break_off_are_counted() -> None:
    captions = [KNOWN.encode(text, 9) for text in ("a kite", "a kite with a", "a kite with", "")]
    assert bad_endings(captions, KNOWN) == pytest.approx(3 / 4)


def test_validation_is_the_mean_over_the_events(tmp_path: Path) -> None:
    small = write_small(tmp_path, {"val": 3})
    features, known = small.open_features(), Vocabulary.read(small.vocabulary)
    events = annotated(Corpus.open(small.corpus), ["val"], features)
    model = Captioner(Architecture(features.dim, 8, known.size, 5, 0.5)).train()

    asked: list[list[str]] = []

    def score(pairs: Sequence[tuple[str, str]]) -> list[float]:
        asked.append([reference for _, reference in pairs])
        return [float(index) for index in range(len(pairs))]

    judge = Judge(score, fake_tokenize, known, [one for event in events for one in event.sentences])
    found = validate(model, events, ClipCache(features, 1.0), judge, known)
    assert asked[1:] == [fake_tokenize([sentence for event in events for sentence in event.sentences])]
    assert found["meteor"] == pytest.approx((12 - 1) / 2)
    assert model.training
