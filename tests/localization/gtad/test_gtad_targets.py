"""Targets and losses of G-TAD against the published ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.gtad_goldens import check_array, read_golden, seeded_scores

from pipeline.localization.gtad.network import GtadOutput
from pipeline.localization.gtad.targets import (
    GtadTargets,
    LossWeights,
    gtad_losses,
    stack_targets,
    valid_segments,
    video_targets,
    window_targets,
)

ANET = "gtad_anet_labels_losses_inference.json"
THUMOS = "gtad_thumos_windows_labels_losses_inference.json"
ANET_WEIGHTS = LossWeights(iou_reg=10.0, iou_cls=1.0, added_count=0)
THUMOS_WEIGHTS = LossWeights(iou_reg=1.0, iou_cls=10.0, added_count=10)


def anet_targets(golden: Any, video: str, positions: int) -> GtadTargets:
    entry = golden["videos"][video]
    seconds = entry["feature_frame"] / entry["duration_frame"] * entry["duration_second"]
    actions = np.array([annotation["segment"] for annotation in entry["annotations"]], np.float64)
    return video_targets(actions / seconds * positions, positions, positions)


def thumos_targets(golden: Any, index: int) -> GtadTargets:
    """Compute the targets of a training window.

    The published code truncates the first frame of a window less 2.5 towards zero, and compares the tIoU at this grid,
    but the boundaries at the exact one.
    """
    config, frames = golden["data"]["config"], golden["windows_train"][index][1]
    positions, duration, skip = config["temporal_scale"], config["max_duration"], config["skip_videoframes"]
    actions = np.array(golden["labels"][index]["gt_frames"], np.float64)
    exact = window_targets((actions - (frames - skip / 2)) / skip, positions, duration)
    truncated = window_targets((actions - int(frames - skip / 2)) / skip, positions, duration)
    return GtadTargets(exact.start, exact.end, truncated.iou)


def check_boundaries(values: torch.Tensor, expected: list[list[float]]) -> None:
    assert values.nonzero()[:, 0].tolist() == [position for position, _ in expected]
    np.testing.assert_allclose(values[values != 0], [value for _, value in expected], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positions", [20, 100])
@pytest.mark.parametrize("video", ["v_short", "v_edge", "v_whole"])
def test_targets_of_a_video_are_the_published_ones(shared: Path, video: str, positions: int) -> None:
    golden = read_golden(shared, ANET)
    expected = golden["labels"][f"T{positions}"][video]
    targets = anet_targets(golden, video, positions)
    check_boundaries(targets.start, expected["start_nonzero"])
    check_boundaries(targets.end, expected["end_nonzero"])
    check_array(targets.iou, expected["iou_map"], atol=1e-6, rtol=1e-5)
    assert targets.iou.double().sum().item() == pytest.approx(expected["iou_map_sum"], rel=1e-6)
    assert int((targets.iou > 0.9).sum()) == expected["count_gt_0.9"]
    assert int((targets.iou > 0.7).sum()) == expected["count_gt_0.7"]
    assert list(divmod(int(targets.iou.argmax()), positions)) == expected["argmax_duration_start"]


@pytest.mark.parametrize("index", range(9))
def test_targets_of_a_window_are_the_published_ones(shared: Path, index: int) -> None:
    golden = read_golden(shared, THUMOS)
    expected = golden["labels"][index]
    targets = thumos_targets(golden, index)
    check_boundaries(targets.start, expected["start_nonzero"])
    check_boundaries(targets.end, expected["end_nonzero"])
    np.testing.assert_allclose(targets.iou, expected["iou_map"], atol=1e-6, rtol=1e-5)


def golden_batch(golden: Any, form: str) -> tuple[GtadTargets, torch.Tensor, list[torch.Tensor]]:
    """Return the targets, the draws and the scores (start, end, confidence) of the golden batch."""
    loss = golden["loss_T20" if form == "anet" else "loss"]
    if form == "anet":
        targets = stack_targets([anet_targets(golden, video, 20) for video in loss["batch_order"]])
    else:
        targets = stack_targets([thumos_targets(golden, index) for index in range(9)])
    seeds = {"anet": (12, 13, 11), "thumos": (22, 23, 21)}[form]
    videos, durations, positions = targets.iou.shape
    shapes = ((videos, positions), (videos, positions), (videos, 2, durations, positions))
    scores = [seeded_scores(seed, *shape).requires_grad_() for seed, shape in zip(seeds, shapes, strict=True)]
    generator = np.random.RandomState(0)
    draws = torch.from_numpy(np.stack([generator.rand(*targets.iou.shape) for _ in range(2)])).float()
    return targets, draws, scores


@pytest.mark.parametrize("form", ["anet", "thumos"])
def test_losses_and_their_gradients_are_the_published_ones(shared: Path, form: str) -> None:
    golden = read_golden(shared, ANET if form == "anet" else THUMOS)
    expected = golden["loss_T20" if form == "anet" else "loss"]
    weights = ANET_WEIGHTS if form == "anet" else THUMOS_WEIGHTS
    targets, draws, (start, end, confidence) = golden_batch(golden, form)
    pred = GtadOutput(start, end, iou_reg=confidence[:, 0], iou_cls=confidence[:, 1])
    losses = gtad_losses(pred, targets, draws, weights.added_count)
    total = losses.total(weights)
    assert valid_segments(*reversed(targets.iou.shape[1:])).sum(1).tolist() == expected["mask_row_sums"]
    assert losses.boundaries.item() == pytest.approx(expected["tem" if form == "anet" else "node"], rel=1e-5)
    assert losses.iou_reg.item() == pytest.approx(expected["reg_channel0"], rel=1e-5)
    assert losses.iou_cls.item() == pytest.approx(expected["cls_channel1"], rel=1e-5)
    assert total.item() == pytest.approx(expected["total"], rel=1e-5)
    total.backward()
    assert confidence.grad is not None
    check_array(confidence.grad, expected["grad_confidence"], atol=1e-6, rtol=1e-4)
    for scores, name in ((start, "grad_start"), (end, "grad_end")):
        np.testing.assert_allclose(scores.grad, expected[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("weights", [ANET_WEIGHTS, THUMOS_WEIGHTS])
def test_losses_without_actions_are_finite(weights: LossWeights) -> None:
    none = np.zeros((0, 2))
    targets = stack_targets([video_targets(none, 20, 20)])
    start, end, confidence = (
        seeded_scores(seed, *shape) for seed, shape in ((1, (1, 20)), (2, (1, 20)), (3, (2, 1, 20, 20)))
    )
    losses = gtad_losses(GtadOutput(start, end, *confidence), targets, torch.rand(2, 1, 20, 20), weights.added_count)
    assert torch.isfinite(losses.total(weights))
    assert losses.iou_reg == 0


def test_classification_loss_of_thumos_without_positives_is_the_published_one(shared: Path) -> None:
    expected = float(read_golden(shared, THUMOS)["loss_without_positives"]["cls"])
    targets = stack_targets([window_targets(np.zeros((0, 2)), 32, 12)] * 9)
    start, end, confidence = (
        seeded_scores(seed, *shape) for seed, shape in ((22, (9, 32)), (23, (9, 32)), (21, (9, 2, 12, 32)))
    )
    pred = GtadOutput(start, end, iou_reg=confidence[:, 0], iou_cls=confidence[:, 1])
    losses = gtad_losses(pred, targets, torch.zeros(2, 9, 12, 32), THUMOS_WEIGHTS.added_count)
    assert losses.iou_cls.item() == pytest.approx(expected, rel=1e-5)
