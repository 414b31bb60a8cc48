"""The event captioner."""

import math
from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.captioning.data import Batch
from pipeline.captioning.decoding import greedy
from pipeline.captioning.event_captioner import Architecture, Captioner, bins, cross_entropy, of_events
from pipeline.captioning.relations import between, waves
from pipeline.captioning.word_lstm import until_end
from pipeline.datasets.vocabulary import END, UNK

DIM, IDS = 5, 9


def captioner(
    *,
    dim: int = DIM,
    hidden: int = 16,
    dropout: float = 0.0,
    max_words: int = 7,
    relations: bool = True,
    context: bool = True,
) -> Captioner:
    torch.manual_seed(1)
    return Captioner(Architecture(dim, hidden, IDS, max_words, dropout, relations=relations, context=context))


def loud(**kind: bool) -> Captioner:
    """A captioner with weights so large that nothing it reads goes unnoticed."""
    model = captioner(**kind).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def batch_of(lengths: list[int], events: list[list[tuple[int, int]]], *, seed: int = 0, dim: int = DIM) -> Batch:
    """Videos of `lengths` clips with events at the given rows."""
    draw = torch.Generator().manual_seed(seed)
    clips = [torch.randn(length, dim, generator=draw) for length in lengths]
    owners = [index for index, rows in enumerate(events) for _ in rows]
    rows = torch.tensor([row for rows in events for row in rows])
    longest = torch.tensor([float(lengths[owner]) for owner in owners])[:, None]
    spans = torch.cat([rows, rows[:, 1:] - rows[:, :1]], 1) / longest
    return Batch(torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), torch.tensor(owners), rows, spans)


@st.composite
def videos(draw: st.DrawFn) -> tuple[list[int], list[list[tuple[int, int]]]]:
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    events = []
    for length in lengths:
        row = st.integers(0, length - 1).flatmap(
            lambda first, length=length: st.tuples(st.just(first), st.integers(first + 1, length))
        )
        events.append(draw(st.lists(row, min_size=1, max_size=4)))
    return lengths, events


def alone(batch: Batch, sequence: int, length: int) -> Batch:
    """One video of a batch by itself, without any padding."""
    own = batch.sequence == sequence
    clips = batch.clips[sequence : sequence + 1, :length]
    return Batch(clips, torch.zeros_like(batch.sequence[own]), batch.rows[own], batch.spans[own])


def permuted(batch: Batch, order: Tensor) -> Batch:
    """The same events in another order."""
    return replace(batch, sequence=batch.sequence[order], rows=batch.rows[order], spans=batch.spans[order])


def some_words(events: int, words: int) -> Tensor:
    """Captions of words and ENDs, never beginning with one."""
    draw = torch.Generator().manual_seed(2)
    said = torch.randint(0, IDS, (events, words), generator=draw)
    return torch.where((said == UNK) | ((said == END) & (torch.arange(words) == 0)), 2, said)


KINDS = [{}, {"relations": False}, {"context": False}, {"relations": False, "context": False}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=15)
@given(videos(), st.randoms(use_true_random=False))
def test_company_padding_and_order_change_nothing(
    kind: dict[str, bool], drawn: tuple[list[int], list[list[tuple[int, int]]]], random: Random
) -> None:
    lengths, events = drawn
    model, batch = loud(**kind), batch_of(lengths, [sorted(set(rows)) for rows in events])
    words = some_words(len(batch.rows), 6)
    said = until_end(words)
    order = torch.tensor(random.sample(range(len(words)), len(words)))
    together = torch.empty(len(words), 6, IDS)
    together[order] = model(permuted(batch, order), words[order])
    for sequence, length in enumerate(lengths):
        own = batch.sequence == sequence
        one = model(alone(batch, sequence, length), words[own])
        torch.testing.assert_close(together[own][said[own]], one[said[own]], atol=1e-5, rtol=1e-5)


def test_what_stands_in_the_padding_is_not_read() -> None:
    model, batch = captioner().eval(), batch_of([3, 8], [[(0, 2), (2, 3)], [(1, 8)]])
    words = torch.full((3, 4), 2)
    before = model(batch, words)
    batch.clips[0, 3:] = torch.nan
    assert torch.equal(model(batch, words), before)


def test_what_stands_behind_a_caption_is_not_read() -> None:
    model, batch = captioner().eval(), batch_of([6], [[(0, 2), (3, 4)]])
    one, other = torch.tensor([[2, END, END], [3, 4, END]]), torch.tensor([[2, END, 5], [3, 4, END]])
    torch.testing.assert_close(model(batch, one)[until_end(one)], model(batch, other)[until_end(one)])


@pytest.mark.parametrize("relations", [True, False])
def test_events_of_a_video_know_of_one_another_if_they_are_to(relations: bool) -> None:
    model = captioner(relations=relations).eval()
    one, other = batch_of([6], [[(0, 2), (3, 4)]]), batch_of([6], [[(0, 2), (3, 6)]])
    assert torch.equal(model.encode(one).context[0], model.encode(other).context[0]) != relations


@settings(max_examples=15)
@given(videos(), st.integers(0, 3), st.floats(-50, 50))
def test_an_event_of_another_video_never_matters(
    drawn: tuple[list[int], list[list[tuple[int, int]]]], which: int, value: float
) -> None:
    model, batch = loud(), batch_of(*drawn)
    sequence = which % len(batch.clips)
    words = some_words(len(batch.rows), 4)
    before, others = model(batch, words), batch.sequence != sequence
    batch.clips[sequence] = value
    batch.spans[~others] = torch.tensor([0.25, 0.75, 0.5])
    said = others[:, None] & until_end(words)
    torch.testing.assert_close(model(batch, words)[said], before[said], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("context", [True, False])
def test_captions_know_of_those_before_them_if_they_are_to(context: bool) -> None:
    model, batch = captioner(context=context).eval(), batch_of([6], [[(3, 4), (0, 2)]])  # the second is told first
    one, other = torch.tensor([[2, 3], [4, 5]]), torch.tensor([[2, 3], [4, 6]])
    first, second = model(batch, one), model(batch, other)
    assert torch.equal(first[1], second[1])
    assert torch.equal(first[0], second[0]) != context


def test_gradients_stay_finite_whatever_is_padded() -> None:
    model, batch = captioner(), batch_of([3, 8, 1], [[(0, 2), (2, 3), (0, 3)], [(1, 8)], [(0, 1), (0, 1)]])
    words = some_words(6, 5)
    cross_entropy(model(batch, words), words).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


def test_wide_features_are_narrowed_first() -> None:
    model = captioner(dim=1025)
    assert model.words.key.in_features == 16
    assert captioner(dim=1024).words.key.in_features == 1024
    assert model(batch_of([4], [[(0, 4)]], dim=1025), torch.full((1, 3), 2)).shape == (1, 3, IDS)


def test_log_probabilities_are_of_words_that_may_come() -> None:
    said = captioner()(batch_of([4], [[(0, 4)]]), torch.tensor([[2, 2, 2]]))
    torch.testing.assert_close(said.exp().sum(2), torch.ones(1, 3))
    assert (said[:, :, UNK] == -torch.inf).all()
    assert said[0, 0, END] == -torch.inf, "a caption has a word at least"
    assert said[0, 1, END] > -torch.inf


def test_words_depend_on_those_before_not_after() -> None:
    model, batch = captioner().eval(), batch_of([4], [[(0, 4)]])
    one, other = torch.tensor([[2, 3, 4]]), torch.tensor([[2, 5, 4]])
    first, second = model(batch, one), model(batch, other)
    assert torch.equal(first[:, :2], second[:, :2])
    assert not torch.allclose(first[:, 2], second[:, 2])


def test_spans_are_told_in_hundredths() -> None:
    found = bins(torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 0.01], [0.0, 0.011, 0.011]]))
    assert found.sum(1).tolist() == [100, 1, 2]
    assert found[1, 49] == 1


def test_positions_are_seen_from_each_event() -> None:
    found = between(torch.tensor([[0.0, 0.2, 0.2], [0.3, 0.7, 0.4]]))
    expected = torch.tensor([[[0, 0], [2, math.log(2)]], [[-1, -math.log(2)], [0, 0]]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_waves_of_positions() -> None:
    told = waves(torch.tensor([[0.02, -0.01]], dtype=torch.float64))
    assert told.shape == (1, 512)
    sines, cosines = told[0, :128], told[0, 128:256]
    assert sines[0] == pytest.approx(math.sin(2))
    assert cosines[64] == pytest.approx(math.cos(2 / 100))
    assert told[0, 256] == pytest.approx(math.sin(-1))


def test_scheduled_sampling_reads_what_the_captioner_draws() -> None:
    model, batch, words = captioner().eval(), batch_of([6], [[(0, 6)]]), torch.tensor([[2, 3, 4, 5, END]])
    torch.manual_seed(0)
    as_written, as_drawn = model(batch, words), model(batch, words, 1.0)
    assert torch.equal(as_written[:, 0], as_drawn[:, 0]), "the beginning is read as it is"
    assert not torch.allclose(as_written[:, 1:], as_drawn[:, 1:])
    with torch.no_grad():
        model.words.output.bias[3] = 1e9  # whatever is drawn, it is this word
    drawn = model(batch, torch.tensor([[3, 3, 3, 3, END]]))
    torch.testing.assert_close(model(batch, words, 1.0), drawn)


def test_clips_of_events_are_cut_out() -> None:
    clips = torch.arange(10.0).view(2, 5, 1)
    own, mask = of_events(clips, torch.tensor([1, 0]), torch.tensor([[3, 5], [0, 3]]))
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert own[..., 0][mask].tolist() == [8.0, 9.0, 0.0, 1.0, 2.0]


def test_a_caption_lasts_until_its_first_end() -> None:
    words = torch.tensor([[2, END, END], [2, 3, 4], [2, 3, END], [END, 2, END]])
    expected = [[True, True, False], [True, True, True], [True, True, True], [True, False, False]]
    assert until_end(words).tolist() == expected


def test_cross_entropy_counts_words_and_the_end_but_no_unknown_words() -> None:
    log_probs = torch.log(torch.tensor([[[0.5, 0.2, 0.3], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]]]))
    one = cross_entropy(log_probs, torch.tensor([[2, END, END]]))
    assert one.item() == pytest.approx(-(torch.tensor([0.3, 0.25]).log().mean().item()))
    unknown = cross_entropy(log_probs, torch.tensor([[UNK, 2, END]]))
    assert unknown.item() == pytest.approx(-(torch.tensor([0.25, 0.1]).log().mean().item()))


def learn(model: Captioner, batch: Batch, words: Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(batch, words), words).backward()
        optimizer.step()


def test_it_can_learn_one_video_by_heart() -> None:
    model, batch = captioner(hidden=32), batch_of([9], [[(0, 3), (3, 5), (5, 9)]])
    words = torch.tensor([[2, 3, 4, END, END], [5, 3, 2, 6, END], [7, END, END, END, END]])
    learn(model, batch, words, 60)
    assert greedy(model, batch).ids() == [[2, 3, 4], [5, 3, 2, 6], [7]]


def test_unknown_words_do_not_spoil_learning() -> None:
    model, batch = captioner(), batch_of([3], [[(0, 3)]])
    learn(model, batch, torch.tensor([[2, UNK, 3, END]]), 3)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("events", [1, 20])
def test_one_event_or_twenty_one_clip_or_a_thousand(events: int, kind: dict[str, bool]) -> None:
    model = captioner(**kind).eval()
    batch = batch_of([1, 1000], [[(0, 1)] * events, [(0, 1000)] * events])
    together = greedy(model, batch)
    assert len(together.ids()) == 2 * events
    long = greedy(model, alone(batch, 1, 1000))
    assert together.ids()[events:] == long.ids()
