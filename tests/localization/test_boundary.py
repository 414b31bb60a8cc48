"""The temporal network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.localization.boundary import BoundaryNetwork, balanced_loss, boundaries, edges, labels, pad

DIM = 4


def network() -> BoundaryNetwork:
    torch.manual_seed(0)
    return BoundaryNetwork(DIM, 8, 0.5)


def video(clips: int) -> torch.Tensor:
    return torch.randn(clips, DIM, generator=torch.Generator().manual_seed(clips))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_company_and_padding_change_nothing(lengths: list[int]) -> None:
    model = network()
    together = boundaries(model, [video(length) for length in lengths])
    for length, found in zip(lengths, together, strict=True):
        [alone] = boundaries(model, [video(length)])
        assert found.start.shape == (length,)
        for ours, theirs in ((found.start, alone.start), (found.end, alone.end), (found.inside, alone.inside)):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_stands_in_the_padding_is_not_read() -> None:
    model = network().eval()
    padded = pad([video(3), video(9)])
    before = model(padded.clips, padded.mask)[0, :3]
    padded.clips[0, 3:] = 1e6
    assert torch.equal(model(padded.clips, padded.mask)[0, :3], before)


def test_a_video_is_divided_among_its_clips() -> None:
    assert edges(np.array([0.5, 1.5, 2.5]), 4.0).tolist() == [0, 1, 2, 4]
    assert edges(np.array([0.5]), 0.3).tolist() == [0, 0.3]


def test_labels_lie_at_the_nearest_edges() -> None:
    wanted = labels([(0.9, 3.2), (4.4, 4.5)], np.arange(6.0))
    assert wanted[:, 0].tolist() == [0, 1, 0, 0, 1]
    assert wanted[:, 1].tolist() == [0, 0, 1, 0, 1]
    assert wanted[:, 2].tolist() == [0, 1, 1, 0, 1]


@given(st.floats(0, 20), st.floats(0, 20), st.integers(1, 20))
def test_every_event_has_a_start_and_an_end_in_order(one: float, other: float, clips: int) -> None:
    start, end = sorted((one, other))
    wanted = labels([(start, end)], np.linspace(0, 20, clips + 1))
    assert wanted.sum(0)[:2].tolist() == [1, 1]
    assert wanted[:, 0].argmax() <= wanted[:, 1].argmax()
    assert wanted[:, 2].sum() == wanted[:, 1].argmax() - wanted[:, 0].argmax() + 1


def test_rare_answers_weigh_as_much_as_common_ones() -> None:
    wanted = torch.zeros(1, 100, 3)
    wanted[0, 0] = 1
    mask = torch.ones(1, 100, dtype=torch.bool)
    always_no, always_yes = torch.full((1, 100, 3), -3.0), torch.full((1, 100, 3), 3.0)
    torch.testing.assert_close(balanced_loss(always_no, wanted, mask), balanced_loss(always_yes, wanted, mask))
    assert balanced_loss(torch.where(wanted > 0, 9.0, -9.0), wanted, mask) < 0.001


def test_the_loss_does_not_see_padding() -> None:
    wanted = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]])
    logits = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0))
    exact = balanced_loss(logits, wanted, torch.tensor([[True, True]]))
    more = torch.cat([logits, torch.full((1, 3, 3), 50.0)], 1), torch.cat([wanted, torch.zeros(1, 3, 3)], 1)
    padded = balanced_loss(*more, torch.tensor([[True, True, False, False, False]]))
    torch.testing.assert_close(padded, exact)


def test_a_batch_without_any_event_has_a_loss() -> None:
    loss = balanced_loss(torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), torch.ones(1, 4, dtype=torch.bool))
    assert loss.item() == pytest.approx(3 * np.log(2) / 2)
