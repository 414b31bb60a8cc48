"""What captions are praised for."""

from collections.abc import Iterator

import pytest
from helpers.caption_corpus import FakeMeteor, fake_tokenize

from pipeline.captioning.reward_workers import Counter, Crew
from pipeline.captioning.rewards import ENDED, Rewards, Strings
from pipeline.captioning.validation import Judge
from pipeline.config.finetune_scst import Weights
from pipeline.datasets.vocabulary import END, Vocabulary
from pipeline.evaluation.cider_d import CiderD
from pipeline.evaluation.meteor import Meteor

KNOWN = Vocabulary(["a", "ball", "rolls", "roll", "with", "("])
A, BALL, ROLLS, ROLL, WITH, BRACKET = range(2, 8)
SENTENCE, OTHER = "A ball rolls.", "A kite!"


@pytest.fixture(scope="module")
def meteor() -> Iterator[Meteor]:
    with Meteor() as opened:
        yield opened


def words() -> Strings:
    return Strings.of_words(Judge(FakeMeteor().score, fake_tokenize, KNOWN, [SENTENCE, OTHER]))


def test_strings_of_words_are_the_tokenizers_and_tell_of_the_end() -> None:
    strings = words()
    assert strings.caption([A, BALL, END]) == f"a ball {ENDED}"
    assert strings.caption([A, BALL]) == "a ball", "never ended"
    assert strings.references[SENTENCE] == f"a ball rolls {ENDED}"


def test_a_word_without_tokens_leaves_no_gap() -> None:
    judge = Judge(FakeMeteor().score, lambda texts: ["" if text == "(" else text for text in texts], KNOWN, [SENTENCE])
    assert Strings.of_words(judge).caption([A, BRACKET, BALL, END]) == f"a ball {ENDED}"


def test_strings_of_indices_are_the_references() -> None:
    strings = Strings.of_indices(KNOWN, [SENTENCE, OTHER], 2)
    assert strings.caption([A, ROLLS, END]) == "2 4 0"
    assert strings.references == {SENTENCE: "2 3 0", OTHER: "2 1 0"}, "cut to two words, the unknown one is 1"


def reward(strings: Strings, weights: Weights, meteor: Meteor, *captions: list[int]) -> list[float]:
    cider_d = CiderD(strings.references.values())
    with Crew(Counter(lambda: meteor, cider_d, list(strings.references.values())), 0) as crew:
        return Rewards(strings, weights, crew.ask)(captions, [SENTENCE] * len(captions))()


@pytest.mark.parametrize("weights", [Weights(), Weights(meteor=0.0, cider_d=1.0)])
def test_a_caption_that_never_ends_is_not_praised_as_one_that_does(weights: Weights, meteor: Meteor) -> None:
    said = [A, BALL, ROLLS]
    ended, endless, broken = reward(words(), weights, meteor, [*said, END], said, [*said, WITH, A])
    assert broken < endless < ended


def test_only_words_have_stems(meteor: Meteor) -> None:
    same, stem, strange = ([A, BALL, word, END] for word in (ROLLS, ROLL, WITH))
    first, second, third = reward(words(), Weights(), meteor, same, stem, strange)
    assert first > second > third
    first, second, third = reward(Strings.of_indices(KNOWN, [SENTENCE], 9), Weights(), meteor, same, stem, strange)
    assert first > second == third


def test_metrics_are_weighed(meteor: Meteor) -> None:
    captions = [[A, BALL, END], [A, WITH, END], [A, BALL, ROLLS, END]]
    one = reward(words(), Weights(), meteor, *captions)
    other = reward(words(), Weights(meteor=0.0, cider_d=1.0), meteor, *captions)
    both = reward(words(), Weights(meteor=2.0, cider_d=0.5), meteor, *captions)
    assert both == pytest.approx([2 * a + 0.5 * b for a, b in zip(one, other, strict=True)])
    assert other[2] == pytest.approx(10)
