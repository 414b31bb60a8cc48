"""Dual attribute prediction: the published numbers, and what the formulas promise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.captioning.attributes.prediction import (
    AttributePredictor,
    attribute_loss,
    noisy_or,
    sample_sparsely,
)
from pipeline.captioning.instances import Instances
from pipeline.config.attributes import AttributeSettings
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json
from tests.helpers.clip_golden import attribute_labels, clip_batch, read_golden, small_captioner


def golden_scores() -> tuple[Tensor, Tensor]:
    draw = np.random.RandomState(1)
    scores = torch.from_numpy((draw.randn(3, 5, 7) * 2 - 2).astype(np.float32))
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[0, 3:], mask[1, 1:], mask[2] = False, False, False
    return scores, mask


def test_noisy_or_is_the_published_one(shared: Path) -> None:
    golden = read_json(shared / "golden" / "clip_dap.json")
    scores, mask = golden_scores()
    for of_mask, name in ((torch.ones_like(mask), "nomask"), (mask, "mask")):
        predicted = noisy_or(scores, of_mask)
        torch.testing.assert_close(
            predicted.probabilities, torch.tensor(golden[f"noisyor_{name}"]), atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(predicted.mean, torch.tensor(golden[f"avg_{name}"]), atol=1e-5, rtol=1e-5)


LABELS = torch.tensor([[1.0, 0, 0, 1, 0, 0, 0], [0] * 7, [1] * 7])
"""Of the golden losses. The file does not state them; the recorded gradient has them alone."""


def test_losses_and_gradients_of_attributes_are_the_published_ones(shared: Path) -> None:
    golden = read_json(shared / "golden" / "clip_dap.json")
    scores, mask = golden_scores()
    scores.requires_grad_()
    loss = attribute_loss(noisy_or(scores, torch.ones_like(mask)), LABELS, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(golden["loss_nomask_batchmean"], abs=1e-5)
    assert scores.grad.abs().sum().item() == pytest.approx(golden["grad_nomask_abs_sum"], abs=1e-5)
    assert scores.grad[0, 0].tolist() == pytest.approx(golden["grad_nomask_row0_frame0"], abs=1e-5)
    masked = attribute_loss(noisy_or(scores, mask), LABELS, 1.0)
    assert masked.item() == pytest.approx(golden["loss_mask_batchmean"], abs=1e-5)


def test_a_saturated_attribute_is_moved_by_the_regularizer_alone(shared: Path) -> None:
    expected = read_json(shared / "golden" / "clip_dap.json")["saturated"]
    logits = torch.full((1, 30, 1), 4.0, requires_grad=True)
    predicted = noisy_or(logits, torch.ones(1, 30, dtype=torch.bool))
    assert predicted.probabilities.item() == pytest.approx(expected["p"])
    attribute_loss(predicted, torch.ones(1, 1), 0.0).backward()
    assert logits.grad.abs().sum() == 0
    logits = torch.full((1, 30, 4), 4.0, requires_grad=True)
    predicted = noisy_or(logits, torch.ones(1, 30, dtype=torch.bool))
    loss = attribute_loss(predicted, torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-5)
    assert logits.grad.abs().sum().item() == pytest.approx(expected["grad_abs_sum"], abs=1e-5)


def test_an_attribute_that_is_certain_in_one_instance_is_certain() -> None:
    logits = torch.tensor([[[-30.0, -30.0], [30.0, -30.0]]])
    predicted = noisy_or(logits, torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(predicted.probabilities, torch.tensor([[1.0, 0.0]]))


def test_an_event_without_any_attribute_and_one_without_instances_have_finite_losses() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.tensor([[True, True, True], [False, False, False]])
    loss = attribute_loss(noisy_or(logits, mask), torch.zeros(2, 4), 1.0)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_the_regularizer_starts_where_the_mean_exceeds_the_share_of_positive_attributes() -> None:
    labels = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    below, above = (noisy_or(torch.full((1, 1, 4), value), torch.ones(1, 1, dtype=torch.bool)) for value in (-2.0, 2.0))
    assert attribute_loss(below, labels, 1.0) == attribute_loss(below, labels, 0.0)
    excess = attribute_loss(above, labels, 1.0) - attribute_loss(above, labels, 0.0)
    assert excess.item() == pytest.approx(torch.tensor(2.0).sigmoid().item() - 0.25)


def test_sparse_sampling_draws_uniform_shares_without_replacement_from_the_event_alone() -> None:
    torch.manual_seed(0)
    mask = torch.arange(20) < torch.tensor([[20], [5]]).repeat(500, 1)
    drawn = sample_sparsely(mask)
    assert not (drawn & ~mask).any()
    counts = drawn.sum(1).view(500, 2)
    for column, total in ((0, 20), (1, 5)):
        shares = torch.bincount(counts[:, column], minlength=total + 1)[1:] / 500
        assert (shares - 1 / total).abs().max() < 0.08, "every number of instances is equally probable"
    of_position = drawn.view(500, 2, 20)[:, 0].float().mean(0)
    assert (of_position - 0.525).abs().max() < 0.1, "every instance is equally probable"


@pytest.mark.parametrize("recipe", ["plain", "strong"])
def test_losses_of_sampled_instances_are_the_published_ones(recipe: str, shared: Path) -> None:
    golden = read_golden(shared, "clip_transformer_small")[f"dap_{recipe}"]
    expected = golden["sparse"]
    captioner = small_captioner("transformer", recipe, attributes=True)
    memory = captioner.encode(clip_batch())
    mask = torch.zeros_like(memory.mask)
    for row, ids in enumerate(expected["sampled_ids"]):
        mask[row, ids] = True
    predicted = captioner.attributes.predict("visual", Instances(memory.values, mask))
    assert_close(predicted.probabilities, expected["preds_attr"])
    assert_close(predicted.mean, expected["avg_prob_attr"])
    loss = attribute_loss(predicted, attribute_labels(), 1.0)
    assert loss.item() == pytest.approx(expected["losses"]["V-Attr"], rel=1e-5)


def assert_close(values: Tensor, recorded: dict[str, Any]) -> None:
    expected = torch.tensor(recorded["values"]).view(recorded["shape"])
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-5)


def test_predicted_attributes_are_those_of_evaluation_whatever_the_batch(shared: Path) -> None:
    golden = read_golden(shared, "clip_transformer_small")["dap_strong"]
    assert_close(
        small_captioner("transformer", "strong", attributes=True).predict_attributes(clip_batch()), golden["preds_attr"]
    )


SIDES = [(visual, text, sparse) for visual in (False, True) for text in (False, True) for sparse in (False, True)]


@pytest.mark.parametrize(("visual", "text", "sparse"), SIDES)
def test_sides_and_sampling_are_switched_one_by_one(visual: bool, text: bool, sparse: bool) -> None:
    values = {"visual": visual, "text": text, "sparse_sampling": sparse, "count": 4}
    if not (visual or text):
        with pytest.raises(ValueError, match="null"):
            AttributeSettings.model_validate(values)
        return
    torch.manual_seed(0)
    predictor = AttributePredictor(AttributeSettings.model_validate(values), 4, {"visual": 6, "text": 6}).train()
    rows = Instances(torch.randn(2, 50, 6), torch.ones(2, 50, dtype=torch.bool))
    labels = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]])
    first, second = (predictor.compute_losses(rows, rows, labels) for _ in range(2))
    assert set(first) == {f"{side}_attributes" for side, on in (("visual", visual), ("text", text)) if on}
    if visual:
        assert (first["visual_attributes"] != second["visual_attributes"]) == sparse
        assert torch.equal(
            *(predictor.eval().compute_losses(rows, rows, labels)["visual_attributes"] for _ in range(2))
        )


def test_weights_multiply_the_losses_of_their_sides() -> None:
    rows, labels = Instances(torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool)), torch.eye(2, 4)
    losses = []
    for weights in ({}, {"visual_weight": 0.5, "text_weight": 3.0}):
        torch.manual_seed(0)
        settings = AttributeSettings.model_validate({"count": 4, **weights})
        losses.append(
            AttributePredictor(settings, 4, {"visual": 6, "text": 6}).eval().compute_losses(rows, rows, labels)
        )
    torch.testing.assert_close(0.5 * losses[0]["visual_attributes"], losses[1]["visual_attributes"])
    torch.testing.assert_close(3.0 * losses[0]["text_attributes"], losses[1]["text_attributes"])


def test_a_shared_head_needs_instances_of_one_size() -> None:
    settings = AttributeSettings(count=4, shared=True)
    shared = AttributePredictor(settings, 4, {"visual": 6, "text": 6})
    assert shared.heads["visual"] is shared.heads["text"]
    with pytest.raises(PipelineError, match="shared"):
        AttributePredictor(settings, 4, {"visual": 6, "text": 5})


def test_a_captioner_without_attributes_from_features_says_so() -> None:
    captioner = small_captioner("transformer", "plain")
    with pytest.raises(PipelineError, match="transformer"):
        captioner.predict_attributes(clip_batch())
