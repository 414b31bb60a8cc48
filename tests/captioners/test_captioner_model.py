"""The event captioner."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.captioners.data import Batch
from pipeline.captioners.decode import greedy
from pipeline.captioners.model import Architecture, Captioner, cross_entropy, of_events, until_end
from pipeline.captioners.vocabulary import END, UNK

DIM, IDS = 5, 9


def captioner(*, hidden: int = 16, dropout: float = 0.0, max_words: int = 7) -> Captioner:
    torch.manual_seed(1)
    return Captioner(Architecture(DIM, hidden, IDS, max_words, dropout))


def batch_of(lengths: list[int], events: list[list[tuple[int, int]]], seed: int = 0) -> Batch:
    """Videos of `lengths` clips with events at the given rows."""
    draw = torch.Generator().manual_seed(seed)
    clips = [torch.randn(length, DIM, generator=draw) for length in lengths]
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


@settings(max_examples=25)
@given(videos())
def test_company_and_padding_change_nothing(drawn: tuple[list[int], list[list[tuple[int, int]]]]) -> None:
    lengths, events = drawn
    model, batch = captioner().eval(), batch_of(lengths, events)
    words = torch.randint(2, IDS, (len(batch.rows), 6), generator=torch.Generator().manual_seed(2))
    together = model(batch, words)
    for sequence, length in enumerate(lengths):
        own = batch.sequence == sequence
        torch.testing.assert_close(
            together[own], model(alone(batch, sequence, length), words[own]), atol=1e-5, rtol=1e-4
        )


def test_what_stands_in_the_padding_is_not_read() -> None:
    model, batch = captioner().eval(), batch_of([3, 8], [[(0, 2), (2, 3)], [(1, 8)]])
    words = torch.full((3, 4), 2)
    before = model(batch, words)
    batch.clips[0, 3:] = 1e6
    assert torch.equal(model(batch, words), before)


def test_events_of_a_video_know_of_one_another() -> None:
    model = captioner().eval()
    words = torch.full((2, 3), 2)
    one, other = batch_of([6], [[(0, 2), (3, 4)]]), batch_of([6], [[(0, 2), (3, 6)]])
    assert not torch.allclose(model(one, words)[0], model(other, words)[0])


def test_log_probabilities_are_of_words_that_may_come() -> None:
    said = captioner()(batch_of([4], [[(0, 4)]]), torch.full((1, 3), 2))
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


@pytest.mark.parametrize("events", [1, 20])
def test_one_event_or_twenty_one_clip_or_a_thousand(events: int) -> None:
    model = captioner().eval()
    batch = batch_of([1, 1000], [[(0, 1)] * events, [(0, 1000)] * events])
    assert len(greedy(model, batch).ids()) == 2 * events
