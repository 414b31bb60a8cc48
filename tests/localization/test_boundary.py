"""The boundary proposer: network, targets and loss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.localization.boundary import (
    BoundaryNetwork,
    balanced_loss,
    boundary_targets,
    pad_rows,
    row_edges,
    score_boundaries,
)

DIM = 4


def network() -> BoundaryNetwork:
    torch.manual_seed(0)
    return BoundaryNetwork(DIM, 8, 0.5)


def video(rows: int) -> torch.Tensor:
    return torch.randn(rows, DIM, generator=torch.Generator().manual_seed(rows))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_score_boundaries_does_not_depend_on_the_batch(lengths: list[int]) -> None:
    model = network()
    together = score_boundaries(model, [video(length) for length in lengths])
    for length, scores in zip(lengths, together, strict=True):
        [alone] = score_boundaries(model, [video(length)])
        assert scores.start.shape == (length,)
        for name in ("start", "end", "actionness"):
            np.testing.assert_allclose(getattr(scores, name), getattr(alone, name), atol=1e-5)


def test_boundary_network_ignores_padding() -> None:
    model = network().eval()
    padded = pad_rows([video(3), video(9)])
    before = model(padded.rows, padded.mask)[0, :3]
    padded.rows[0, 3:] = 1e6
    assert torch.equal(model(padded.rows, padded.mask)[0, :3], before)


def test_a_video_is_divided_among_its_clips() -> None:
    assert row_edges(np.array([0.5, 1.5, 2.5]), 4.0).tolist() == [0, 1, 2, 4]
    assert row_edges(np.array([0.5]), 0.3).tolist() == [0, 0.3]


def test_boundary_targets_are_at_the_nearest_edges() -> None:
    targets = boundary_targets([(0.9, 3.2), (4.4, 4.5)], np.arange(6.0))
    assert targets[:, 0].tolist() == [0, 1, 0, 0, 1]
    assert targets[:, 1].tolist() == [0, 0, 1, 0, 1]
    assert targets[:, 2].tolist() == [0, 1, 1, 0, 1]


@given(st.floats(0, 20), st.floats(0, 20), st.integers(1, 20))
def test_boundary_targets_have_a_start_and_an_end_in_order(a: float, b: float, rows: int) -> None:
    start, end = sorted((a, b))
    targets = boundary_targets([(start, end)], np.linspace(0, 20, rows + 1))
    assert targets.sum(0)[:2].tolist() == [1, 1]
    assert targets[:, 0].argmax() <= targets[:, 1].argmax()
    assert targets[:, 2].sum() == targets[:, 1].argmax() - targets[:, 0].argmax() + 1


def test_balanced_loss_weights_positives_and_negatives_equally() -> None:
    targets = torch.zeros(1, 100, 3)
    targets[0, 0] = 1
    mask = torch.ones(1, 100, dtype=torch.bool)
    all_negative, all_positive = torch.full((1, 100, 3), -3.0), torch.full((1, 100, 3), 3.0)
    torch.testing.assert_close(balanced_loss(all_negative, targets, mask), balanced_loss(all_positive, targets, mask))
    assert balanced_loss(torch.where(targets > 0, 9.0, -9.0), targets, mask) < 0.001


def test_balanced_loss_ignores_padding() -> None:
    targets = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]])
    logits = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0))
    exact = balanced_loss(logits, targets, torch.tensor([[True, True]]))
    more = torch.cat([logits, torch.full((1, 3, 3), 50.0)], 1), torch.cat([targets, torch.zeros(1, 3, 3)], 1)
    padded = balanced_loss(*more, torch.tensor([[True, True, False, False, False]]))
    torch.testing.assert_close(padded, exact)


def test_balanced_loss_of_a_batch_without_events() -> None:
    loss = balanced_loss(torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), torch.ones(1, 4, dtype=torch.bool))
    assert loss.item() == pytest.approx(3 * np.log(2) / 2)
