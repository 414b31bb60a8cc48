"""Greedy captions, samples, beam search, and what they may not say."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_event_captioner import DIM, IDS, KINDS, alone, batch_of, captioner, loud, permuted

from pipeline.captioning.beam import Beams
from pipeline.captioning.constraints import FREE, Rules
from pipeline.captioning.data import Batch
from pipeline.captioning.decoding import Captions, beam, greedy, sample
from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.datasets.vocabulary import END, UNK, Vocabulary

EVENTS = [[(0, 2), (2, 5)], [(0, 7)]]


def test_greedy_words_are_the_likeliest_and_their_log_probabilities_the_models() -> None:
    model, batch = captioner().eval(), batch_of([5, 7], EVENTS)
    captions = greedy(model, batch)
    said = model(batch, captions.words)
    assert torch.equal(said.argmax(2)[captions.mask], captions.words[captions.mask])
    chosen = said.gather(2, captions.words[..., None]).squeeze(2)
    torch.testing.assert_close(captions.log_probs[captions.mask], chosen[captions.mask])
    assert (captions.log_probs[~captions.mask] == 0).all()


def test_greedy_goes_without_dropout_and_leaves_training_mode_on() -> None:
    model, batch = captioner(dropout=0.9).train(), batch_of([5, 7], EVENTS)
    first, second = greedy(model, batch), greedy(model, batch)
    assert torch.equal(first.log_probs, second.log_probs)
    assert model.training
    assert not first.log_probs.requires_grad


def test_samples_follow_the_models_probabilities() -> None:
    model = captioner(max_words=1, context=False, relations=False).eval()
    batch = batch_of([4], [[(0, 4)] * 800])
    torch.manual_seed(0)
    drawn = sample(model, batch, 1.0).words[:, 0]
    expected = model(batch, torch.full((800, 1), 2))[0, 0].exp()
    frequencies = torch.bincount(drawn, minlength=len(expected)) / 800
    torch.testing.assert_close(frequencies, expected.detach(), atol=0.05, rtol=0)
    assert frequencies[END] == 0
    assert frequencies[UNK] == 0


def test_cold_samples_are_greedy() -> None:
    model, batch = captioner().eval(), batch_of([5, 7], EVENTS)
    assert sample(model, batch, 1e-4).ids() == greedy(model, batch).ids()


def test_log_probabilities_are_of_the_distribution_that_was_drawn_from() -> None:
    model, batch = captioner(max_words=1).eval(), batch_of([4], [[(0, 4)]])
    drawn = sample(model, batch, 0.5)
    tempered = (model(batch, torch.tensor([[2]]))[:, 0] / 0.5).log_softmax(1)
    torch.testing.assert_close(drawn.log_probs[:, 0], tempered[0, drawn.words[0]])
    assert drawn.log_probs.requires_grad


def test_what_is_drawn_is_decided_by_the_numbers_given() -> None:
    model, batch = captioner().eval(), batch_of([5, 7], EVENTS)
    draws = torch.rand(3, 7, generator=torch.Generator().manual_seed(3))
    one, other = (sample(model, batch, 1.0, draws=draws) for _ in range(2))
    assert torch.equal(one.words, other.words)
    order = torch.tensor([2, 0, 1])
    assert sample(model, permuted(batch, order), 1.0, draws=draws[order]).ids() == [one.ids()[i] for i in order]
    assert sample(model, batch, 1.0, draws=1 - draws).ids() != one.ids()


def test_captions_that_do_not_end_are_cut_and_hold_no_end() -> None:
    model, batch = captioner(max_words=4), batch_of([4], [[(0, 4)]])
    with torch.no_grad():
        model.words.output.bias[END] = -1e9
    captions = greedy(model, batch)
    assert captions.words.shape == (1, 4)
    assert END not in captions.words
    assert captions.mask.all()


def test_decoding_stops_when_all_captions_have_ended() -> None:
    model, batch = captioner(max_words=50), batch_of([5, 7], EVENTS)
    with torch.no_grad():
        model.words.output.bias[END] = 1e9
    captions = greedy(model, batch)
    assert captions.words.shape == (3, 2)
    assert [len(ids) for ids in captions.ids()] == [1, 1, 1]


def test_nothing_follows_a_captions_end() -> None:
    model, batch = captioner(max_words=12, context=False), batch_of([4], [[(0, 4)] * 100])
    torch.manual_seed(0)
    captions = sample(model, batch, 1.0)
    ended = (captions.words == END).cumsum(1) > 0
    assert ended.any()
    assert not ended.all()
    assert (captions.words[ended] == END).all()
    assert (captions.log_probs[~captions.mask] == 0).all()
    assert [len(ids) for ids in captions.ids()] == (~ended).sum(1).tolist()


Decode = Callable[[Captioner, Batch, Rules], Captions]


def drawn(model: Captioner, batch: Batch, rules: Rules) -> Captions:
    numbers = torch.tensor([[0.5, 0.9, 0.1, 0.7, 0.99, 0.6, 0.3]]).expand(len(batch.rows), 7)
    with torch.no_grad():
        return sample(model, batch, 1.5, rules, numbers)


DECODINGS: dict[str, Decode] = {
    "greedy": greedy,
    "beam": lambda model, batch, rules: beam(model, batch, Beams(3, 0.7), rules),
    "sample": drawn,
}
decodings = pytest.mark.parametrize("decode", DECODINGS.values(), ids=DECODINGS.keys())
VIDEOS = [5, 7, 1], [[(2, 5), (0, 2), (0, 5)], [(0, 7)], [(0, 1), (0, 1)]]


@decodings
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_batch_says_what_its_videos_say_one_by_one(decode: Decode, kind: dict[str, bool]) -> None:
    model, batch, rules = loud(**kind), batch_of(*VIDEOS), Rules((2, 3), 3)
    together = decode(model, batch, rules)
    for sequence, length in enumerate(VIDEOS[0]):
        own = batch.sequence == sequence
        one = decode(model, alone(batch, sequence, length), rules)
        places = one.words.shape[1]
        assert torch.equal(together.words[own][:, :places], one.words)
        torch.testing.assert_close(together.log_probs[own][:, :places], one.log_probs, atol=1e-5, rtol=1e-4)
        assert not together.mask[own][:, places:].any()


@pytest.mark.parametrize("rules", [FREE, Rules((2, 3, 4), 3)], ids=str)
@pytest.mark.parametrize("decode", [DECODINGS["greedy"], DECODINGS["beam"]], ids=["greedy", "beam"])
def test_log_probabilities_are_the_models_whatever_the_rules(decode: Decode, rules: Rules) -> None:
    model, batch = loud(), batch_of(*VIDEOS)
    captions = decode(model, batch, rules)
    chosen = model(batch, captions.words).gather(2, captions.words[..., None]).squeeze(2)
    torch.testing.assert_close(captions.log_probs[captions.mask], chosen[captions.mask], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("length_power", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("rules", [FREE, Rules((2, 3, 4), 3)], ids=str)
def test_a_beam_of_one_is_greedy(length_power: float, rules: Rules) -> None:
    for seed in range(3):
        model, batch = loud(), batch_of(*VIDEOS, seed=seed)
        one = beam(model, batch, Beams(1, length_power), rules)
        assert one.ids() == greedy(model, batch, rules).ids()


def toy(seed: int, context: bool) -> Captioner:
    """Four ids, three words at most: every caption can be listed."""
    torch.manual_seed(seed)
    model = Captioner(Architecture(DIM, 8, 4, 3, 0.0, context=context)).eval()
    with torch.no_grad():
        model.words.output.weight.mul_(30)
        model.words.embedding.weight.mul_(30)
    return model


@pytest.mark.parametrize(("length_power", "context"), [(0.0, True), (0.7, False), (1.5, True)])
def test_a_wide_beam_finds_the_best_of_all_captions(length_power: float, context: bool) -> None:
    every = [list(words) for size in (1, 2, 3) for words in product((2, 3), repeat=size)]
    found = set()
    for seed in range(4):
        model, batch = toy(seed, context), batch_of([4], [[(0, 2), (1, 4)]], seed=seed)
        first = best_of_all(model, batch, [[words, words] for words in every], 0, length_power)
        second = best_of_all(model, batch, [[first, words] for words in every], 1, length_power)
        assert beam(model, batch, Beams(16, length_power)).ids() == [first, second]
        found.add(str([first, second]))
    assert len(found) > 1


def best_of_all(
    model: Captioner, batch: Batch, stories: list[list[list[int]]], event: int, length_power: float
) -> list[int]:
    """Of the captions that the stories have for an event, that of the greatest normalised log-probability."""
    count = len(stories)
    said = torch.tensor([[*words, END, END, END][:3] for story in stories for words in story])
    owners = torch.arange(count).repeat_interleave(2)
    copies = Batch(batch.clips.repeat(count, 1, 1), owners, batch.rows.repeat(count, 1), batch.spans.repeat(count, 1))
    with torch.no_grad():
        chosen = model(copies, said).gather(2, said[..., None]).squeeze(2)
    lengths = (said != END).cumprod(1).sum(1)
    totals = chosen.masked_fill(torch.arange(3) > lengths[:, None], 0).sum(1) / lengths**length_power
    return stories[int(totals[event::2].argmax())][event]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 50),
    st.sets(st.integers(2, IDS - 1)),
    st.sampled_from([0, 2, 3]),
    st.sampled_from(["greedy", "beam", "sample"]),
)
def test_rules_hold(seed: int, unfinished: set[int], block: int, name: str) -> None:
    model, batch = loud(), batch_of(*VIDEOS, seed=seed)
    for words in DECODINGS[name](model, batch, Rules(tuple(unfinished), block)).ids():
        assert words, "a caption has a word at least"
        assert UNK not in words
        assert words[-1] not in unfinished or set(words) <= unfinished
        rows = [tuple(words[first : first + block]) for first in range(len(words) - block + 1)] if block else []
        assert len(set(rows)) == len(rows)


@decodings
def test_no_caption_ends_as_with_a(decode: Decode) -> None:
    model, batch = captioner().eval(), batch_of(*VIDEOS)
    with torch.no_grad():
        model.words.output.weight.zero_()
        model.words.output.bias.copy_(torch.tensor([9.0, 0, 8, 6, -20, -20, -20, -20, -20]))
    assert any(words[-1] == 2 for words in decode(model, batch, FREE).ids())
    assert all(words[-1] == 3 for words in decode(model, batch, Rules((2,), 3)).ids())


@decodings
def test_captions_that_are_too_long_are_cut_back_to_a_good_ending(decode: Decode) -> None:
    model, batch = captioner().eval(), batch_of([5, 7], EVENTS)
    with torch.no_grad():
        # One word again and again, another where that is barred, and never an end.
        model.words.output.weight.zero_()
        model.words.output.bias.copy_(torch.tensor([-30.0, 0, 9, 6, -30, -30, -30, -30, -30]))
    captions = decode(model, batch, Rules((2,), 5))
    assert all(words[-1] == 3 for words in captions.ids())
    short = torch.tensor([len(words) < 7 for words in captions.ids()])
    assert short.any()
    assert (captions.mask.sum(1)[short] == (captions.words != END).sum(1)[short] + 1).all(), "the end counts"
    assert (captions.log_probs.amin(1)[short] < -20).all(), "an end there, as the captioner sees it"


def test_what_is_cut_off_is_not_told_to_the_next_event() -> None:
    model, batch = loud(), batch_of([6], [[(0, 2), (3, 4)]])
    captions = greedy(model, batch, Rules(tuple(range(4, IDS))))
    chosen = model(batch, captions.words).gather(2, captions.words[..., None]).squeeze(2)
    torch.testing.assert_close(captions.log_probs[captions.mask], chosen[captions.mask], atol=1e-5, rtol=1e-4)


def test_samples_are_free_unless_rules_are_asked_for() -> None:
    model, batch = captioner(context=False, relations=False).eval(), batch_of([4], [[(0, 4)] * 200])
    torch.manual_seed(0)
    free = sample(model, batch, 1.0).ids()
    assert any(words[-1] == 2 for words in free)
    assert not any(words[-1] == 2 for words in sample(model, batch, 1.0, Rules((2,))).ids())


def test_bad_endings_are_those_of_the_diversity_measures() -> None:
    rules = Rules.of(Vocabulary(["man", "with", "a", "in"]), 3)
    assert rules == Rules((3, 4), 3)


def test_where_everything_is_barred_a_caption_ends() -> None:
    said = torch.tensor([[2, 2], [2, 3]])
    scores = torch.tensor([[-1.0, -torch.inf, -2.0, -torch.inf]] * 2)
    barred = Rules((2,), 2).bar(scores, said)
    assert barred.tolist() == [[-1.0, -torch.inf, -torch.inf, -torch.inf], [-1.0, -torch.inf, -2.0, -torch.inf]]
