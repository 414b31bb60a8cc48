"""The rewards of self-critical training."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from helpers.caption_corpus import FakeMeteor, fake_tokenize

from pipeline.captioning.caption_scorer import CaptionScorer
from pipeline.captioning.rewards import EOS_TOKEN, RewardFunction, RewardTokenizer
from pipeline.config.finetune_scst import RewardWeights
from pipeline.datasets.vocabulary import EOS, Vocabulary
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.meteor.formula import MeteorScorer, Pair, Stats

VOCABULARY = Vocabulary(["a", "ball", "rolls", "roll", "with", "("])
A, BALL, ROLLS, ROLL, WITH, BRACKET = range(2, 8)
SENTENCE, OTHER = "A ball rolls.", "A kite!"


@pytest.fixture(scope="module")
def meteor() -> Iterator[Meteor]:
    with Meteor() as opened:
        yield opened


def word_tokenizer() -> RewardTokenizer:
    return RewardTokenizer.from_words(CaptionScorer(FakeMeteor().score, fake_tokenize, VOCABULARY, [SENTENCE, OTHER]))


def test_reward_tokenizer_comparing_words_adds_a_token_for_eos() -> None:
    tokenizer = word_tokenizer()
    assert tokenizer.caption_text([A, BALL, EOS]) == f"a ball {EOS_TOKEN}"
    assert tokenizer.caption_text([A, BALL]) == "a ball", "the caption has no EOS"
    assert tokenizer.references[SENTENCE] == f"a ball rolls {EOS_TOKEN}"


def test_reward_tokenizer_leaves_no_gap_for_a_word_without_tokens() -> None:
    scorer = CaptionScorer(
        FakeMeteor().score, lambda texts: ["" if text == "(" else text for text in texts], VOCABULARY, [SENTENCE]
    )
    assert RewardTokenizer.from_words(scorer).caption_text([A, BRACKET, BALL, EOS]) == f"a ball {EOS_TOKEN}"


def test_reward_tokenizer_comparing_ids_is_that_of_the_reference_implementation() -> None:
    tokenizer = RewardTokenizer.from_ids(VOCABULARY, [SENTENCE, OTHER], 2)
    assert tokenizer.caption_text([A, ROLLS, EOS]) == "2 4 0"
    assert tokenizer.references == {SENTENCE: "2 3 0", OTHER: "2 1 0"}, "truncated to two words; 1 is the unknown word"


def rewards(
    tokenizer: RewardTokenizer, weights: RewardWeights, meteor: MeteorScorer, *captions: list[int]
) -> list[float]:
    reward = RewardFunction(tokenizer, weights, meteor, list(tokenizer.references))
    return reward(captions, [SENTENCE] * len(captions))


@pytest.mark.parametrize("weights", [RewardWeights(), RewardWeights(meteor=0.0, cider_d=1.0)])
def test_reward_of_a_caption_that_ends_is_larger(weights: RewardWeights, meteor: Meteor) -> None:
    words = [A, BALL, ROLLS]
    ended, endless, broken = rewards(word_tokenizer(), weights, meteor, [*words, EOS], words, [*words, WITH, A])
    assert broken < endless < ended


def test_reward_of_words_knows_stems_and_that_of_indices_does_not(meteor: Meteor) -> None:
    captions = [[A, BALL, word, EOS] for word in (ROLLS, ROLL, WITH)]
    same, stem, other = rewards(word_tokenizer(), RewardWeights(), meteor, *captions)
    assert same > stem > other
    tokenizer = RewardTokenizer.from_ids(VOCABULARY, [SENTENCE], 9)
    same, stem, other = rewards(tokenizer, RewardWeights(), meteor, *captions)
    assert same > stem == other


def test_reward_is_the_weighted_sum_of_the_metrics(meteor: Meteor) -> None:
    captions = [[A, BALL, EOS], [A, WITH, EOS], [A, BALL, ROLLS, EOS]]
    of_meteor = rewards(word_tokenizer(), RewardWeights(), meteor, *captions)
    of_cider = rewards(word_tokenizer(), RewardWeights(meteor=0.0, cider_d=1.0), meteor, *captions)
    of_both = rewards(word_tokenizer(), RewardWeights(meteor=2.0, cider_d=0.5), meteor, *captions)
    assert of_both == pytest.approx([2 * a + 0.5 * b for a, b in zip(of_meteor, of_cider, strict=True)])
    assert of_cider[2] == pytest.approx(10)


def test_reward_uses_only_the_metrics_that_have_a_weight() -> None:
    class Counting(MeteorScorer):
        calls = 0

        def statistics(self, pairs: Sequence[Pair]) -> Stats:
            self.calls += 1
            return np.zeros((len(pairs), 23))

    for weights, calls in ((RewardWeights(meteor=0.0, cider_d=1.0), 0), (RewardWeights(), 2)):
        meteor = Counting()
        assert len(rewards(word_tokenizer(), weights, meteor, [A, EOS])) == 1
        assert meteor.calls == calls, "once for all words, once for the captions"
