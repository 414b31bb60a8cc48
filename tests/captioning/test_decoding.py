"""Decoding strategies and their constraints."""

from itertools import product

import pytest
import torch
from helpers.captioners import (
    NUM_IDS,
    event_lstm,
    make_batch,
    permute_events,
    token_log_probs,
    with_large_weights,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.captioning.base import Captioner, DecodingStrategy
from pipeline.captioning.captions import UNCONSTRAINED, DecodingConstraints, token_mask
from pipeline.captioning.decoding import BeamSearch, Greedy, Sampling
from pipeline.captioning.event_lstm import EventLstmCaptioner
from pipeline.captioning.streams import EventBatch
from pipeline.datasets.vocabulary import EOS, UNK, Vocabulary

EVENTS = [[(0, 2), (2, 5)], [(0, 7)]]
VIDEOS = [5, 7, 1], [[(2, 5), (0, 2), (0, 5)], [(0, 7)], [(0, 1), (0, 1)]]


def test_sampling_follows_the_probabilities() -> None:
    captioner = event_lstm(max_words=1, context=False, relations=False).eval()
    batch = make_batch([4], [[(0, 4)] * 800])
    torch.manual_seed(0)
    tokens = captioner.generate(batch, Sampling(1.0)).tokens[:, 0]
    expected = captioner(batch, torch.full((800, 1), 2))[0, 0].exp()
    frequencies = torch.bincount(tokens, minlength=len(expected)) / 800
    torch.testing.assert_close(frequencies, expected.detach(), atol=0.05, rtol=0)
    assert frequencies[EOS] == 0
    assert frequencies[UNK] == 0


def test_sampling_log_probs_are_those_at_the_temperature() -> None:
    captioner, batch = event_lstm(max_words=1).eval(), make_batch([4], [[(0, 4)]])
    sampled = captioner.generate(batch, Sampling(0.5))
    tempered = (captioner(batch, torch.tensor([[2]]))[:, 0] / 0.5).log_softmax(1)
    torch.testing.assert_close(sampled.log_probs[:, 0], tempered[0, sampled.tokens[0]])
    assert sampled.log_probs.requires_grad


def test_sampling_draws_belong_to_their_events() -> None:
    captioner, batch = event_lstm().eval(), make_batch([5, 7], EVENTS)
    draws = torch.rand(3, 7, generator=torch.Generator().manual_seed(3))
    ids = captioner.generate(batch, Sampling(1.0, draws)).word_ids()
    order = torch.tensor([2, 0, 1])
    permuted = captioner.generate(permute_events(batch, order), Sampling(1.0, draws[order]))
    assert permuted.word_ids() == [ids[index] for index in order]


def test_greedy_captions_of_the_maximum_length_have_no_eos() -> None:
    captioner, batch = event_lstm(max_words=4), make_batch([4], [[(0, 4)]])
    with torch.no_grad():
        captioner.word_lstm.output.bias[EOS] = -1e9
    captions = captioner.generate(batch, Greedy())
    assert captions.tokens.shape == (1, 4)
    assert EOS not in captions.tokens
    assert captions.mask.all()


def test_greedy_stops_when_all_captions_have_ended() -> None:
    captioner, batch = event_lstm(max_words=50), make_batch([5, 7], EVENTS)
    with torch.no_grad():
        captioner.word_lstm.output.bias[EOS] = 1e9
    captions = captioner.generate(batch, Greedy())
    assert captions.tokens.shape == (3, 2)
    assert [len(ids) for ids in captions.word_ids()] == [1, 1, 1]


def test_sampled_captions_are_eos_after_their_end() -> None:
    captioner, batch = event_lstm(max_words=12, context=False), make_batch([4], [[(0, 4)] * 100])
    torch.manual_seed(0)
    captions = captioner.generate(batch, Sampling(1.0))
    has_ended = (captions.tokens == EOS).cumsum(1) > 0
    assert has_ended.any()
    assert not has_ended.all()
    assert (captions.tokens[has_ended] == EOS).all()
    assert (captions.log_probs[~captions.mask] == 0).all()
    assert [len(ids) for ids in captions.word_ids()] == (~has_ended).sum(1).tolist()


def fixed_draws(num_events: int) -> Sampling:
    return Sampling(1.5, torch.tensor([[0.5, 0.9, 0.1, 0.7, 0.99, 0.6, 0.3]]).expand(num_events, 7))


def strategy_of(name: str, batch: EventBatch) -> DecodingStrategy:
    strategies = {"greedy": Greedy(), "beam": BeamSearch(3, 0.7), "sample": fixed_draws(batch.num_events)}
    return strategies[name]


strategies = pytest.mark.parametrize("name", ["greedy", "beam", "sample"])


@pytest.mark.parametrize("length_power", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("constraints", [UNCONSTRAINED, DecodingConstraints((2, 3, 4), 3)], ids=str)
def test_beam_search_of_width_one_is_greedy_for_all_batches(
    length_power: float, constraints: DecodingConstraints
) -> None:
    for seed in range(3):
        captioner, batch = with_large_weights(event_lstm()), make_batch(*VIDEOS, seed=seed)
        beam = captioner.generate(batch, BeamSearch(1, length_power), constraints)
        assert beam.word_ids() == captioner.generate(batch, Greedy(), constraints).word_ids()


def captioner_of_four_ids(seed: int, context: bool) -> EventLstmCaptioner:
    """Four ids and at most three words: every caption can be listed."""
    captioner = event_lstm(num_ids=4, max_words=3, hidden=8, context=context, seed=seed).eval()
    with torch.no_grad():
        captioner.word_lstm.output.weight.mul_(30)
        captioner.word_lstm.embedding.weight.mul_(30)
    return captioner


@pytest.mark.parametrize(("length_power", "context"), [(0.0, True), (0.7, False), (1.5, True)])
def test_a_wide_beam_search_finds_the_best_of_all_captions(length_power: float, context: bool) -> None:
    captions = [list(words) for size in (1, 2, 3) for words in product((2, 3), repeat=size)]
    results = set()
    for seed in range(4):
        captioner, batch = captioner_of_four_ids(seed, context), make_batch([4], [[(0, 2), (1, 4)]], seed=seed)
        first = best_of_all(captioner, batch, [[words, words] for words in captions], 0, length_power)
        second = best_of_all(captioner, batch, [[first, words] for words in captions], 1, length_power)
        assert captioner.generate(batch, BeamSearch(16, length_power)).word_ids() == [first, second]
        results.add(str([first, second]))
    assert len(results) > 1


def best_of_all(
    captioner: Captioner, batch: EventBatch, candidates: list[list[list[int]]], event: int, length_power: float
) -> list[int]:
    """The caption of one event, of all candidates for the two events, with the largest normalized log-probability."""
    tokens = torch.tensor([[*words, EOS, EOS, EOS][:3] for captions in candidates for words in captions])
    with torch.no_grad():
        log_probs = token_log_probs(captioner, batch.repeat(len(candidates)), tokens)
    lengths = (tokens != EOS).cumprod(1).sum(1)
    scores = log_probs.masked_fill(torch.arange(3) > lengths[:, None], 0).sum(1) / lengths**length_power
    return candidates[int(scores[event::2].argmax())][event]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 50),
    st.sets(st.integers(2, NUM_IDS - 1)),
    st.sampled_from([0, 2, 3]),
    st.sampled_from(["greedy", "beam", "sample"]),
)
def test_decoding_constraints_hold(seed: int, bad_endings: set[int], block: int, name: str) -> None:
    captioner, batch = with_large_weights(event_lstm()), make_batch(*VIDEOS, seed=seed)
    constraints = DecodingConstraints(tuple(bad_endings), block)
    for words in captioner.generate(batch, strategy_of(name, batch), constraints).word_ids():
        assert words, "a caption has at least one word"
        assert UNK not in words
        assert words[-1] not in bad_endings or set(words) <= bad_endings
        ngrams = [tuple(words[first : first + block]) for first in range(len(words) - block + 1)] if block else []
        assert len(set(ngrams)) == len(ngrams)


@strategies
def test_no_caption_has_a_bad_ending(name: str) -> None:
    captioner, batch = event_lstm().eval(), make_batch(*VIDEOS)
    with torch.no_grad():
        captioner.word_lstm.output.weight.zero_()
        captioner.word_lstm.output.bias.copy_(torch.tensor([9.0, 0, 8, 6, -20, -20, -20, -20, -20]))
    strategy = strategy_of(name, batch)
    assert any(words[-1] == 2 for words in captioner.generate(batch, strategy).word_ids())
    constrained = captioner.generate(batch, strategy, DecodingConstraints((2,), 3))
    assert all(words[-1] == 3 for words in constrained.word_ids())


@strategies
def test_captions_of_the_maximum_length_are_truncated_to_a_good_ending(name: str) -> None:
    captioner, batch = event_lstm().eval(), make_batch([5, 7], EVENTS)
    with torch.no_grad():
        # One word again and again, another one if that is forbidden, and never EOS.
        captioner.word_lstm.output.weight.zero_()
        captioner.word_lstm.output.bias.copy_(torch.tensor([-30.0, 0, 9, 6, -30, -30, -30, -30, -30]))
    captions = captioner.generate(batch, strategy_of(name, batch), DecodingConstraints((2,), 5))
    assert all(words[-1] == 3 for words in captions.word_ids())
    is_short = torch.tensor([len(words) < 7 for words in captions.word_ids()])
    assert is_short.any()
    num_words = (captions.tokens != EOS).sum(1)
    assert (captions.mask.sum(1)[is_short] == num_words[is_short] + 1).all(), "EOS counts"
    assert (captions.log_probs.amin(1)[is_short] < -20).all(), "the captioner's probability of EOS there"


def test_truncated_words_do_not_reach_the_next_event() -> None:
    captioner, batch = with_large_weights(event_lstm()), make_batch([6], [[(0, 2), (3, 4)]])
    captions = captioner.generate(batch, Greedy(), DecodingConstraints(tuple(range(4, NUM_IDS))))
    expected = token_log_probs(captioner, batch, captions.tokens)
    torch.testing.assert_close(captions.log_probs[captions.mask], expected[captions.mask], atol=1e-5, rtol=1e-4)


def test_sampling_is_unconstrained_by_default() -> None:
    captioner = event_lstm(context=False, relations=False).eval()
    batch = make_batch([4], [[(0, 4)] * 200])
    torch.manual_seed(0)
    assert any(words[-1] == 2 for words in captioner.generate(batch, Sampling(1.0)).word_ids())
    constrained = captioner.generate(batch, Sampling(1.0), DecodingConstraints((2,)))
    assert not any(words[-1] == 2 for words in constrained.word_ids())


def test_constraints_from_a_vocabulary_use_the_bad_endings_of_the_evaluation() -> None:
    constraints = DecodingConstraints.from_vocabulary(Vocabulary(["man", "with", "a", "in"]), 3)
    assert constraints == DecodingConstraints((3, 4), 3)


def test_mask_logits_ends_a_caption_if_every_token_is_forbidden() -> None:
    tokens = torch.tensor([[2, 2], [2, 3]])
    logits = torch.tensor([[-1.0, -torch.inf, -2.0, -torch.inf]] * 2)
    masked = DecodingConstraints((2,), 2).mask_logits(logits, tokens)
    assert masked.tolist() == [[-1.0, -torch.inf, -torch.inf, -torch.inf], [-1.0, -torch.inf, -2.0, -torch.inf]]


def test_token_mask_ends_with_the_first_eos() -> None:
    tokens = torch.tensor([[2, EOS, EOS], [2, 3, 4], [2, 3, EOS], [EOS, 2, EOS]])
    expected = [[True, True, False], [True, True, True], [True, True, True], [True, False, False]]
    assert token_mask(tokens).tolist() == expected
