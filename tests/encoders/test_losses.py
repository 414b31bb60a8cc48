"""The losses are the papers', and finite whatever comes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.heads import Heads, Logits
from pipeline.encoders.losses import NO_ACTION, Labels, asymmetric_loss, pretraining_loss

GOLDEN = [
    # logit, target, gamma_pos, loss for gamma_neg 4 and margin 0.05
    (0.0, 1.0, 1.0, 0.34657359),
    (0.0, 1.0, 0.0, 0.69314718),
    (0.0, 0.0, 1.0, 0.02451505),
    (2.0, 1.0, 1.0, 0.01513019),
    (2.0, 1.0, 0.0, 0.12692801),
    (3.0, 0.0, 1.0, 1.54539054),
    (-2.0, 0.0, 1.0, 1.64e-06),
]


@pytest.mark.parametrize(("logit", "target", "gamma_pos", "loss"), GOLDEN)
def test_golden_values(logit: float, target: float, gamma_pos: float, loss: float) -> None:
    found = asymmetric_loss(torch.tensor([logit]), torch.tensor([target]), 4.0, gamma_pos, 0.05)
    assert float(found) == pytest.approx(loss, abs=1e-6)


def test_an_easy_negative_costs_exactly_nothing() -> None:
    x = torch.tensor([-4.0], requires_grad=True)
    loss = asymmetric_loss(x, torch.zeros(1), 4.0, 1.0, 0.05)
    loss.sum().backward()
    assert float(loss.detach()) == 0.0
    assert float(x.grad) == 0.0


@pytest.mark.parametrize("gamma_neg", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("gamma_pos", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_gradients_are_those_of_finite_differences(gamma_neg: float, gamma_pos: float, margin: float) -> None:
    # Away from the corner where p equals the margin, at a logit of -2.94.
    x = torch.tensor([-7.0, -3.5, -2.5, -1.0, 0.0, 0.7, 3.0, 7.0], dtype=torch.float64, requires_grad=True)
    for target in (torch.zeros(8, dtype=torch.float64), torch.ones(8, dtype=torch.float64)):
        assert torch.autograd.gradcheck(lambda x, y=target: asymmetric_loss(x, y, gamma_neg, gamma_pos, margin), x)


@given(logit=st.floats(-30, 30), target=st.sampled_from([0.0, 1.0]))
def test_without_focusing_and_margin_it_is_binary_cross_entropy(logit: float, target: float) -> None:
    x, y = torch.tensor([logit], dtype=torch.float64), torch.tensor([target], dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(x, y)
    assert float(asymmetric_loss(x, y, 0.0, 0.0, 0.0)) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


@given(
    logit=st.floats(-12, 12),
    target=st.sampled_from([0.0, 1.0]),
    gamma_neg=st.floats(0, 6),
    gamma_pos=st.floats(0, 6),
    margin=st.floats(0, 0.9),
)
def test_it_is_the_formula(logit: float, target: float, gamma_neg: float, gamma_pos: float, margin: float) -> None:
    p = 1 / (1 + math.exp(-logit))
    p_m = max(p - margin, 0.0)
    expected = -((1 - p) ** gamma_pos) * math.log(p) if target else -(p_m**gamma_neg) * math.log(1 - p_m)
    x, y = torch.tensor([logit], dtype=torch.float64), torch.tensor([target], dtype=torch.float64)
    found = asymmetric_loss(x, y, gamma_neg, gamma_pos, margin)
    assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_extreme_logits_of_any_precision_stay_finite(dtype: torch.dtype, gamma: float, margin: float) -> None:
    x = torch.tensor([-60000.0, -200.0, -20.0, 0.0, 20.0, 200.0, 60000.0], dtype=dtype, requires_grad=True)
    for target in (torch.zeros(7), torch.ones(7)):
        loss = asymmetric_loss(x, target.to(dtype), gamma, gamma, margin)
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss).all()
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        assert torch.isfinite(gradient).all()


def test_autocast_does_not_lower_its_precision() -> None:
    x, y = torch.randn(3, 5), torch.randint(0, 2, (3, 5)).float()
    plain = asymmetric_loss(x, y, 4.0, 1.0, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(asymmetric_loss(x, y, 4.0, 1.0, 0.05), plain)


def batch(actions: list[int], covered: list[bool], concepts: int = 3, classes: int = 4) -> tuple[Logits, Labels]:
    generator = torch.Generator().manual_seed(len(actions))
    size = len(actions)

    def noise(width: int) -> torch.Tensor:
        return torch.randn(size, width, generator=generator).requires_grad_()

    labels = Labels(
        action=torch.tensor(actions),
        region=(torch.tensor(actions) != NO_ACTION).long(),
        concepts=(torch.rand(size, concepts, generator=generator) < 0.5).float(),
        covered=torch.tensor(covered),
    )
    return Logits(noise(classes), noise(2), noise(concepts)), labels


def test_the_parts_are_added_with_their_weights() -> None:
    logits, labels = batch([0, NO_ACTION, 3], [True, False, True])
    losses = pretraining_loss(logits, labels, PretrainEncoder(alpha=0.5, beta=0.25))
    assert losses.region is not None
    assert losses.semantic is not None
    torch.testing.assert_close(losses.total, losses.action + 0.5 * losses.region + 0.25 * losses.semantic)
    log_p = logits.action.log_softmax(1)
    torch.testing.assert_close(losses.action, -(log_p[0, 0] + log_p[2, 3]) / 2)
    each = asymmetric_loss(logits.semantic, labels.concepts, 4.0, 1.0, 0.05).sum(1)
    torch.testing.assert_close(losses.semantic, (each[0] + each[2]) / 2)


def test_background_teaches_the_action_head_nothing_and_uncovered_clips_no_concepts() -> None:
    logits, labels = batch([1, NO_ACTION], [False, True])
    pretraining_loss(logits, labels, PretrainEncoder()).total.backward()
    assert logits.action.grad is not None and logits.semantic.grad is not None
    assert logits.action.grad[0].abs().sum() > 0
    assert logits.action.grad[1].abs().sum() == 0
    assert logits.semantic.grad[0].abs().sum() == 0
    assert logits.semantic.grad[1].abs().sum() > 0


def test_a_batch_without_foreground_and_without_sentences_is_finite() -> None:
    logits, labels = batch([NO_ACTION] * 3, [False] * 3)
    losses = pretraining_loss(logits, labels, PretrainEncoder())
    assert float(losses.action.detach()) == 0.0
    assert float(losses.semantic.detach()) == 0.0
    losses.total.backward()
    assert all(torch.isfinite(part.grad).all() for part in (logits.action, logits.region, logits.semantic))


def test_without_an_action_head_its_weight_is_out_of_the_sum() -> None:
    logits, labels = batch([0, NO_ACTION, 3], [True, False, True])
    losses = pretraining_loss(Logits(None, logits.region, None), labels, PretrainEncoder(action=0.0))
    assert losses.action is None
    torch.testing.assert_close(losses.total, losses.region)


def test_the_weight_of_the_action_loss() -> None:
    logits, labels = batch([0, NO_ACTION, 3], [True, False, True])
    losses = pretraining_loss(Logits(logits.action, None, None), labels, PretrainEncoder(action=0.5))
    torch.testing.assert_close(losses.total, 0.5 * losses.action)


@pytest.mark.parametrize("actions", [0, 4])
@pytest.mark.parametrize("region", [True, False])
@pytest.mark.parametrize("concepts", [1, 5])
def test_gradients_of_the_whole_loss_are_those_of_finite_differences(actions: int, region: bool, concepts: int) -> None:
    heads = Heads(3, actions, region=region, concepts=concepts, global_dim=2).double()
    _, labels = batch([0, NO_ACTION, 3], [True, False, True], concepts)
    config = PretrainEncoder(alpha=0.5, beta=0.25)

    def total(features: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        return pretraining_loss(heads(features, whole), labels, config).total

    draw = torch.Generator().manual_seed(0)
    features = [torch.randn(3, dim, generator=draw, dtype=torch.float64).requires_grad_() for dim in (3, 2)]
    assert torch.autograd.gradcheck(total, tuple(features))


@pytest.mark.parametrize("actions", [0, 4])
@pytest.mark.parametrize("region", [True, False])
@pytest.mark.parametrize("concepts", [0, 5])
def test_heads_that_are_left_out_have_no_weights(actions: int, region: bool, concepts: int) -> None:
    heads = Heads(8, actions, region=region, concepts=concepts)
    present = {"action": actions > 0, "region": region, "semantic": concepts > 0}
    assert {name.split(".")[0] for name in heads.state_dict()} == {name for name, there in present.items() if there}
    said = heads(torch.randn(2, 8))
    assert {name: getattr(said, name) is not None for name in present} == present


def test_the_region_head_alone_sees_the_global_feature_after_the_local_one() -> None:
    heads = Heads(3, 4, region=True, concepts=5, global_dim=2)
    local, whole = torch.randn(6, 3), torch.randn(6, 2)
    with_it, without = heads(local, whole), heads(local, torch.zeros(6, 2))
    assert torch.equal(with_it.action, without.action)
    assert torch.equal(with_it.semantic, without.semantic)
    weight = heads.region.weight
    torch.testing.assert_close(without.region, local @ weight[:, :3].T + heads.region.bias)
    torch.testing.assert_close(with_it.region - without.region, whole @ weight[:, 3:].T)
