"""Targets and losses of BMN."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.bmn_videos import EVENTS
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.io.atomic import read_json
from pipeline.localization.bmn.model import BmnTargets, bmn_losses, bmn_targets, stack_targets
from pipeline.localization.bmn.network import BmnOutput
from pipeline.localization.rescaling import rescale_features
from pipeline.localization.segment_maps import iou_regression_loss, weighted_bce

POSITIONS = 20


@pytest.mark.parametrize("video", EVENTS)
def test_bmn_targets_are_the_published_ones(shared: Path, video: str) -> None:
    expected = read_json(shared / "golden" / "bmn.json")[f"label_{video}"]
    targets = bmn_targets(EVENTS[video], expected["corrected_second"], 100)
    assert targets.start.sum().item() == pytest.approx(expected["start_sum"], abs=1e-5)
    for side, entries in ((targets.start, expected["start_nonzero"]), (targets.end, expected["end_nonzero"])):
        assert side.nonzero()[:, 0].tolist() == [position for position, _ in entries]
        torch.testing.assert_close(side[side != 0], torch.tensor([value for _, value in entries]), atol=1e-5, rtol=0)
    assert targets.iou.double().sum().item() == pytest.approx(expected["iou_sum"], rel=1e-7)
    assert targets.iou.max().item() == pytest.approx(expected["iou_max"], abs=1e-6)
    assert list(divmod(int(targets.iou.argmax()), 100)) == expected["iou_argmax"]
    assert (targets.iou > 0.9).sum() == expected["n_gt_0_9"]
    assert (targets.iou > 0.7).sum() == expected["n_gt_0_7"]


times = st.floats(0, 50).flatmap(lambda start: st.floats(start, 60).map(lambda end: (start, end)))


@given(st.lists(times, max_size=5), st.integers(2, 20))
def test_bmn_targets_are_in_range(events: list[tuple[float, float]], positions: int) -> None:
    targets = bmn_targets(events, 50.0, positions)
    for values in (targets.start, targets.end, targets.iou):
        assert ((values >= 0) & (values <= 1)).all()
    assert not targets.iou.tril(-1).any()
    assert bool(targets.start.any()) == bool(events)


def test_bmn_targets_of_an_empty_event_have_boundaries_and_no_iou() -> None:
    targets = bmn_targets([(5.0, 5.0)], 10.0, 10)
    assert targets.start.tolist() == targets.end.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert not targets.iou.any()


def test_stack_targets_of_several_videos() -> None:
    stacked = stack_targets([bmn_targets([(0.0, 5.0)], 10.0, 4), bmn_targets([], 10.0, 4)])
    assert stacked.iou.shape == (2, 4, 4)
    assert stacked.iou[0].any()
    assert not stacked.iou[1].any()


def test_rescale_features_interpolates_over_time() -> None:
    features = torch.tensor([[0.0, 10.0], [2.0, 30.0]])
    rescaled = rescale_features(features, np.array([1.0, 3.0]), 4.0, 4)
    torch.testing.assert_close(rescaled, torch.tensor([[0.0, 10.0], [0.5, 15.0], [1.5, 25.0], [2.0, 30.0]]))


@given(st.integers(1, 30), st.integers(1, 30))
def test_rescale_features_keeps_constant_features(rows: int, positions: int) -> None:
    rescaled = rescale_features(torch.full((rows, 2), 7.0), np.arange(rows) + 0.5, rows + 0.3, positions)
    assert rescaled.dtype == torch.float32
    torch.testing.assert_close(rescaled, torch.full((positions, 2), 7.0))


def batch(seed: int) -> tuple[BmnOutput, BmnTargets, torch.Tensor]:
    torch.manual_seed(seed)
    maps = torch.rand(2, 2, POSITIONS, POSITIONS)
    pred = BmnOutput(torch.rand(2, POSITIONS), torch.rand(2, POSITIONS), maps[0], maps[1])
    targets = stack_targets(
        [
            bmn_targets([(1.03, 4.11), (5.07, 9.43)], 10.0, POSITIONS),
            bmn_targets([(2.02, 8.19)], 10.0, POSITIONS),
        ]
    )
    return pred, targets, torch.rand(2, 2, POSITIONS, POSITIONS)


def bce_with_coefficients(pred: np.ndarray, positive: np.ndarray) -> float:
    """Compute the weighted loss as published, with coefficients from the ratio of all to positive elements."""
    ratio = positive.size / positive.sum()
    positive_weight, negative_weight = 0.5 * ratio, 0.5 * ratio / (ratio - 1)
    terms = positive_weight * positive * np.log(pred + 1e-6) + negative_weight * ~positive * np.log(1 - pred + 1e-6)
    return float(-terms.mean())


def test_bmn_losses_are_those_of_the_reference(shared: Path) -> None:
    """Probabilities are from numpy's generator 3, between 0.05 and 0.95; the draws are from generator 0."""
    golden = read_json(shared / "golden" / "bmn.json")
    probabilities, chance = np.random.RandomState(3), np.random.RandomState(0)
    start, end, maps = (
        torch.tensor(0.05 + 0.9 * probabilities.rand(*shape), dtype=torch.float32)
        for shape in ((2, 100), (2, 100), (2, 2, 100, 100))
    )
    targets = stack_targets(
        [bmn_targets(events, golden[f"label_{video}"]["corrected_second"], 100) for video, events in EVENTS.items()]
    )
    draws = torch.tensor(chance.rand(2, 2, 100, 100), dtype=torch.float32)
    losses = bmn_losses(BmnOutput(start, end, iou_reg=maps[:, 0], iou_cls=maps[:, 1]), targets, draws)
    expected = golden["loss_np_seed0"]
    for loss, name in (
        (losses.boundaries, "tem"),
        (losses.iou_reg, "pem_reg"),
        (losses.iou_cls, "pem_cls"),
        (losses.total, "total"),
    ):
        assert loss.item() == pytest.approx(expected[name], abs=1e-6)
    start_loss = weighted_bce(start, targets.start > 0.5, torch.ones_like(start, dtype=torch.bool))
    assert start_loss.item() == pytest.approx(golden["tem_start_only"], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_bmn_losses_equal_the_published_formulas(seed: int) -> None:
    pred, targets, draws = batch(seed)
    losses = bmn_losses(pred, targets, draws)
    start, end, iou_reg, iou_cls = (
        getattr(pred, name).double().numpy() for name in ("start", "end", "iou_reg", "iou_cls")
    )
    boundaries = bce_with_coefficients(start, targets.start.numpy() > 0.5) + bce_with_coefficients(
        end, targets.end.numpy() > 0.5
    )
    upper = np.broadcast_to(np.triu(np.ones((POSITIONS, POSITIONS), bool)), iou_cls.shape)
    iou = targets.iou.double().numpy()
    classification = bce_with_coefficients(iou_cls[upper], iou[upper] > 0.9)
    high, medium, low = iou > 0.7, (iou > 0.3) & (iou <= 0.7), (iou > 0) & (iou <= 0.3)
    sampled = high.copy()
    for group, draw in ((medium, draws[0].numpy()), (low, draws[1].numpy())):
        sampled |= group & (draw > 1 - high.sum() / group.sum())
    regression = 0.5 * (sampled * (iou_reg - iou) ** 2).sum() / sampled.sum()
    assert losses.boundaries.item() == pytest.approx(boundaries, abs=1e-5)
    assert losses.iou_cls.item() == pytest.approx(classification, abs=1e-5)
    assert losses.iou_reg.item() == pytest.approx(regression, abs=1e-5)
    assert losses.total.item() == pytest.approx(boundaries + 10 * regression + classification, abs=1e-5)


def test_iou_regression_loss_samples_as_many_medium_and_low_proposals_as_high_ones() -> None:
    torch.manual_seed(0)
    iou = torch.cat([torch.full((100, 4), 0.8), torch.full((100, 36), 0.5), torch.full((100, 60), 0.1)], 1)[None]
    valid = torch.ones(100, 100, dtype=torch.bool)
    pred = iou.clone()
    pred[iou == 0.5] += 1
    loss_of_medium = iou_regression_loss(pred, iou, valid, torch.rand(2, 1, 100, 100)).item()
    assert 2 * loss_of_medium == pytest.approx(1 / 3, abs=0.03)


def test_iou_regression_loss_ignores_proposals_without_overlap_and_invalid_pairs() -> None:
    iou = torch.zeros(1, 2, 2)
    iou[0, 0, 0] = 0.9
    pred = torch.tensor([[[0.9, 5.0], [5.0, 5.0]]])
    valid = torch.ones(2, 2, dtype=torch.bool).triu()
    assert iou_regression_loss(pred, iou, valid, torch.ones(2, 1, 2, 2)) == 0


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)).map(sorted), max_size=3), min_size=1, max_size=3)
)
def test_bmn_losses_of_any_batch_have_a_finite_gradient(events: list[list[list[float]]]) -> None:
    torch.manual_seed(0)
    targets = stack_targets([bmn_targets([(start, end) for start, end in one], 10.0, 6) for one in events])
    videos = len(events)
    logits = torch.randn(videos, 84, requires_grad=True)
    start, end, iou_reg, iou_cls = logits.sigmoid().split([6, 6, 36, 36], 1)
    pred = BmnOutput(start, end, iou_reg.view(videos, 6, 6), iou_cls.view(videos, 6, 6))
    total = bmn_losses(pred, targets, torch.rand(2, videos, 6, 6)).total
    total.backward()
    assert torch.isfinite(total)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_weighted_bce_weights_positives_and_negatives_equally() -> None:
    positive = torch.zeros(100, dtype=torch.bool)
    positive[0] = True
    valid = torch.ones(100, dtype=torch.bool)
    low, high = torch.full((100,), 0.1), torch.full((100,), 0.9)
    torch.testing.assert_close(weighted_bce(low, positive, valid), weighted_bce(high, positive, valid))
    assert weighted_bce(torch.where(positive, 1.0, 0.0), positive, valid).abs() < 1e-5
