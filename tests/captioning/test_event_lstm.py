"""The parts of the event captioner; what it shares with all captioners is in test_contract.py."""

import math

import pytest
import torch
from helpers.captioners import (
    NUM_IDS,
    event_lstm,
    make_batch,
    random_captions,
    single_video,
    small_sizes,
    videos,
    with_large_weights,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.captioning.captions import cross_entropy, token_mask
from pipeline.captioning.decoding import Greedy
from pipeline.captioning.event_lstm import (
    EventLstmCaptioner,
    position_mask,
    relative_positions,
    sinusoidal_encoding,
)
from pipeline.config.captioners import EventLstmSettings
from pipeline.datasets.vocabulary import EOS, UNK
from pipeline.errors import PipelineError

ABLATIONS = [{}, {"relations": False}, {"context": False}, {"relations": False, "context": False}]


def test_padding_is_not_read_even_if_it_is_nan() -> None:
    captioner, batch = event_lstm().eval(), make_batch([3, 8], [[(0, 2), (2, 3)], [(1, 8)]])
    tokens = torch.full((3, 4), 2)
    before = captioner(batch, tokens)
    batch.streams["features"].values[0, 3:] = torch.nan
    assert torch.equal(captioner(batch, tokens), before)


@pytest.mark.parametrize("relations", [True, False])
def test_relations_let_events_of_a_video_depend_on_each_other(relations: bool) -> None:
    captioner = event_lstm(relations=relations).eval()
    one, other = make_batch([6], [[(0, 2), (3, 4)]]), make_batch([6], [[(0, 2), (3, 6)]])
    assert torch.equal(captioner.encode(one).context[0], captioner.encode(other).context[0]) != relations


@settings(max_examples=15)
@given(videos(), st.integers(0, 3), st.floats(-50, 50))
def test_events_of_other_videos_do_not_matter(
    drawn: tuple[list[int], list[list[tuple[int, int]]]], which: int, value: float
) -> None:
    captioner, batch = with_large_weights(event_lstm()), make_batch(*drawn)
    sequence = which % batch.num_sequences
    tokens = random_captions(batch.num_events, 4)
    before, others = captioner(batch, tokens), batch.sequence_index != sequence
    batch.streams["features"].values[sequence] = value
    batch.relative_times[~others] = torch.tensor([0.25, 0.75, 0.5])
    mask = others[:, None] & token_mask(tokens)
    torch.testing.assert_close(captioner(batch, tokens)[mask], before[mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("context", [True, False])
def test_context_lets_captions_depend_on_earlier_captions(context: bool) -> None:
    captioner = event_lstm(context=context).eval()
    batch = make_batch([6], [[(3, 4), (0, 2)]])  # the second event is captioned first
    one, other = torch.tensor([[2, 3], [4, 5]]), torch.tensor([[2, 3], [4, 6]])
    first, second = captioner(batch, one), captioner(batch, other)
    assert torch.equal(first[1], second[1])
    assert torch.equal(first[0], second[0]) != context


def test_gradients_are_finite_with_padding() -> None:
    captioner = event_lstm()
    batch = make_batch([3, 8, 1], [[(0, 2), (2, 3), (0, 3)], [(1, 8)], [(0, 1), (0, 1)]])
    tokens = random_captions(6, 5)
    cross_entropy(captioner(batch, tokens), tokens).backward()
    gradients = {name: parameter.grad for name, parameter in captioner.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


def test_wide_features_are_projected_first() -> None:
    captioner = event_lstm(dim=1025)
    assert captioner.word_lstm.key.in_features == 16
    assert event_lstm(dim=1024).word_lstm.key.in_features == 1024
    batch = make_batch([4], [[(0, 4)]], dim=1025)
    assert captioner(batch, torch.full((1, 3), 2)).shape == (1, 3, NUM_IDS)


def test_several_streams_are_refused_with_their_names() -> None:
    with pytest.raises(PipelineError, match=r"event_lstm reads 1 stream of features, not 2 \(visual, audio\)"):
        EventLstmCaptioner(small_sizes({"visual": 5, "audio": 3}), EventLstmSettings())


def test_tokens_depend_on_earlier_tokens_alone() -> None:
    captioner, batch = event_lstm().eval(), make_batch([4], [[(0, 4)]])
    first, second = captioner(batch, torch.tensor([[2, 3, 4]])), captioner(batch, torch.tensor([[2, 5, 4]]))
    assert torch.equal(first[:, :2], second[:, :2])
    assert not torch.allclose(first[:, 2], second[:, 2])


def test_position_bins_are_the_hundredths_that_an_event_covers() -> None:
    bins = position_mask(torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 0.01], [0.0, 0.011, 0.011]]))
    assert bins.sum(1).tolist() == [100, 1, 2]
    assert bins[1, 49] == 1


def test_relative_positions_are_distances_in_lengths_and_log_length_ratios() -> None:
    positions = relative_positions(torch.tensor([[0.0, 0.2, 0.2], [0.3, 0.7, 0.4]]))
    expected = torch.tensor([[[0, 0], [2, math.log(2)]], [[-1, -math.log(2)], [0, 0]]], dtype=torch.float64)
    torch.testing.assert_close(positions, expected, atol=1e-6, rtol=1e-6)


def test_sinusoidal_encoding_of_two_numbers() -> None:
    encoding = sinusoidal_encoding(torch.tensor([[0.02, -0.01]], dtype=torch.float64))
    assert encoding.shape == (1, 512)
    sines, cosines = encoding[0, :128], encoding[0, 128:256]
    assert sines[0] == pytest.approx(math.sin(2))
    assert cosines[64] == pytest.approx(math.cos(2 / 100))
    assert encoding[0, 256] == pytest.approx(math.sin(-1))


def test_scheduled_sampling_reads_drawn_tokens() -> None:
    captioner, batch = event_lstm().eval(), make_batch([6], [[(0, 6)]])
    tokens = torch.tensor([[2, 3, 4, 5, EOS]])
    torch.manual_seed(0)
    annotated, sampled = captioner(batch, tokens), captioner(batch, tokens, 1.0)
    assert torch.equal(annotated[:, 0], sampled[:, 0]), "BOS is never replaced"
    assert not torch.allclose(annotated[:, 1:], sampled[:, 1:])
    with torch.no_grad():
        captioner.word_lstm.output.bias[3] = 1e9  # every drawn token is this one
    expected = captioner(batch, torch.tensor([[3, 3, 3, 3, EOS]]))
    torch.testing.assert_close(captioner(batch, tokens, 1.0), expected)


def test_unknown_words_do_not_make_weights_infinite() -> None:
    captioner, batch = event_lstm(), make_batch([3], [[(0, 3)]])
    tokens = torch.tensor([[2, UNK, 3, EOS]])
    optimizer = torch.optim.Adam(captioner.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        cross_entropy(captioner(batch, tokens), tokens).backward()
        optimizer.step()
    assert all(torch.isfinite(parameter).all() for parameter in captioner.parameters())


@pytest.mark.parametrize("settings", ABLATIONS, ids=str)
@pytest.mark.parametrize("num_events", [1, 20])
def test_videos_of_one_and_of_a_thousand_rows_are_captioned_together(
    num_events: int, settings: dict[str, bool]
) -> None:
    captioner = event_lstm(**settings).eval()
    batch = make_batch([1, 1000], [[(0, 1)] * num_events, [(0, 1000)] * num_events])
    together = captioner.generate(batch, Greedy())
    assert len(together.word_ids()) == 2 * num_events
    long = captioner.generate(single_video(batch, 1), Greedy())
    assert together.word_ids()[num_events:] == long.word_ids()
