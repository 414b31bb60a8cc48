"""The losses of the boundary-matching network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.bmn_videos import REAL
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.io.atomic import read_json
from pipeline.localization.bmn.losses import balanced, losses, regression
from pipeline.localization.bmn.network import Said
from pipeline.localization.bmn.targets import Wanted, labels, stack

POSITIONS = 20


def batch(seed: int) -> tuple[Said, Wanted, torch.Tensor]:
    torch.manual_seed(seed)
    maps = torch.rand(2, 2, POSITIONS, POSITIONS)
    said = Said(torch.rand(2, POSITIONS), torch.rand(2, POSITIONS), maps[0], maps[1])
    wanted = stack([labels([(1.03, 4.11), (5.07, 9.43)], 10.0, POSITIONS), labels([(2.02, 8.19)], 10.0, POSITIONS)])
    return said, wanted, torch.rand(2, 2, POSITIONS, POSITIONS)


def by_coefficients(said: np.ndarray, yes: np.ndarray) -> float:
    """The weighted loss as it is published, with coefficients of the ratio of all to positive."""
    ratio = yes.size / yes.sum()
    of_yes, of_no = 0.5 * ratio, 0.5 * ratio / (ratio - 1)
    terms = of_yes * yes * np.log(said + 1e-6) + of_no * ~yes * np.log(1 - said + 1e-6)
    return float(-terms.mean())


def test_losses_are_those_of_the_reference(shared: Path) -> None:
    """Probabilities from numpy's generator 3, between 0.05 and 0.95; what the regression looks at, from generator 0."""
    golden = read_json(shared / "golden" / "bmn.json")
    probabilities, chance = np.random.RandomState(3), np.random.RandomState(0)
    start, end, maps = (
        torch.tensor(0.05 + 0.9 * probabilities.rand(*shape), dtype=torch.float32)
        for shape in ((2, 100), (2, 100), (2, 2, 100, 100))
    )
    wanted = stack(
        [labels(events, golden[f"label_{video}"]["corrected_second"], 100) for video, events in REAL.items()]
    )
    draws = torch.tensor(chance.rand(2, 2, 100, 100), dtype=torch.float32)
    found = losses(Said(start, end, overlap=maps[:, 0], good=maps[:, 1]), wanted, draws)
    known = golden["loss_np_seed0"]
    for ours, name in (
        (found.boundaries, "tem"),
        (found.overlap, "pem_reg"),
        (found.good, "pem_cls"),
        (found.total, "total"),
    ):
        assert ours.item() == pytest.approx(known[name], abs=1e-6)
    starts = balanced(start, wanted.start > 0.5, torch.ones_like(start, dtype=torch.bool))
    assert starts.item() == pytest.approx(golden["tem_start_only"], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_losses_are_the_published_ones(seed: int) -> None:
    said, wanted, draws = batch(seed)
    found = losses(said, wanted, draws)
    start, end, overlap, good = (getattr(said, name).double().numpy() for name in ("start", "end", "overlap", "good"))
    boundaries = by_coefficients(start, wanted.start.numpy() > 0.5) + by_coefficients(end, wanted.end.numpy() > 0.5)
    upper = np.broadcast_to(np.triu(np.ones((POSITIONS, POSITIONS), bool)), good.shape)
    truth = wanted.overlap.double().numpy()
    classified = by_coefficients(good[upper], truth[upper] > 0.9)
    high, middle, low = truth > 0.7, (truth > 0.3) & (truth <= 0.7), (truth > 0) & (truth <= 0.3)
    chosen = high.copy()
    for side, draw in ((middle, draws[0].numpy()), (low, draws[1].numpy())):
        chosen |= side & (draw > 1 - high.sum() / side.sum())
    regressed = 0.5 * (chosen * (overlap - truth) ** 2).sum() / chosen.sum()
    assert found.boundaries.item() == pytest.approx(boundaries, abs=1e-5)
    assert found.good.item() == pytest.approx(classified, abs=1e-5)
    assert found.overlap.item() == pytest.approx(regressed, abs=1e-5)
    assert found.total.item() == pytest.approx(boundaries + 10 * regressed + classified, abs=1e-5)


def test_as_many_middling_and_low_overlaps_are_looked_at_as_high_ones() -> None:
    torch.manual_seed(0)
    overlap = torch.cat([torch.full((100, 4), 0.8), torch.full((100, 36), 0.5), torch.full((100, 60), 0.1)], 1)[None]
    there = torch.ones(100, 100, dtype=torch.bool)
    said = overlap.clone()
    said[overlap == 0.5] += 1
    of_middling = regression(said, overlap, there, torch.rand(2, 1, 100, 100)).item()
    assert 2 * of_middling == pytest.approx(1 / 3, abs=0.03)


def test_an_overlap_of_nothing_and_what_is_no_proposal_are_not_looked_at() -> None:
    overlap = torch.zeros(1, 2, 2)
    overlap[0, 0, 0] = 0.9
    said = torch.tensor([[[0.9, 5.0], [5.0, 5.0]]])
    there = torch.ones(2, 2, dtype=torch.bool).triu()
    assert regression(said, overlap, there, torch.ones(2, 1, 2, 2)) == 0


segments = st.tuples(st.floats(0, 10), st.floats(0, 10)).map(sorted)


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)).map(sorted), max_size=3), min_size=1, max_size=3)
)
def test_every_batch_has_a_loss_and_a_gradient(events: list[list[list[float]]]) -> None:
    torch.manual_seed(0)
    wanted = stack([labels([(start, end) for start, end in one], 10.0, 6) for one in events])
    videos = len(events)
    logits = torch.randn(videos, 84, requires_grad=True)
    start, end, overlap, good = logits.sigmoid().split([6, 6, 36, 36], 1)
    said = Said(start, end, overlap.view(videos, 6, 6), good.view(videos, 6, 6))
    total = losses(said, wanted, torch.rand(2, videos, 6, 6)).total
    total.backward()
    assert torch.isfinite(total)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_rare_answers_weigh_as_much_as_common_ones() -> None:
    yes = torch.zeros(100, dtype=torch.bool)
    yes[0] = True
    there = torch.ones(100, dtype=torch.bool)
    low, high = torch.full((100,), 0.1), torch.full((100,), 0.9)
    torch.testing.assert_close(balanced(low, yes, there), balanced(high, yes, there))
    assert balanced(torch.where(yes, 1.0, 0.0), yes, there).abs() < 1e-5
