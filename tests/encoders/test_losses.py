"""Tests of the loss terms and the heads: the formulas of the papers, finite for every input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.losses import LOSSES, build_losses
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.losses import (
    BatchLoss,
    Heads,
    LossTerm,
    NumLabels,
    Targets,
    asymmetric_loss,
    build_loss_terms,
    mean_average_precision,
    pretraining_loss,
    selection_score,
)
from pipeline.encoders.sampling import NO_ACTION, ClipSample
from pipeline.errors import PipelineError

CPU = torch.device("cpu")

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
def test_asymmetric_loss_golden_values(logit: float, target: float, gamma_pos: float, loss: float) -> None:
    value = asymmetric_loss(torch.tensor([logit]), torch.tensor([target]), 4.0, gamma_pos, 0.05)
    assert float(value) == pytest.approx(loss, abs=1e-6)


def test_asymmetric_loss_of_an_easy_negative_is_exactly_zero() -> None:
    x = torch.tensor([-4.0], requires_grad=True)
    loss = asymmetric_loss(x, torch.zeros(1), 4.0, 1.0, 0.05)
    loss.sum().backward()
    assert float(loss.detach()) == 0.0
    assert float(x.grad) == 0.0


@pytest.mark.parametrize("gamma_neg", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("gamma_pos", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_asymmetric_loss_gradients_equal_finite_differences(gamma_neg: float, gamma_pos: float, margin: float) -> None:
    # Away from the corner where p equals the margin, at a logit of -2.94.
    x = torch.tensor([-7.0, -3.5, -2.5, -1.0, 0.0, 0.7, 3.0, 7.0], dtype=torch.float64, requires_grad=True)
    for target in (torch.zeros(8, dtype=torch.float64), torch.ones(8, dtype=torch.float64)):
        assert torch.autograd.gradcheck(lambda x, y=target: asymmetric_loss(x, y, gamma_neg, gamma_pos, margin), x)


@given(logit=st.floats(-30, 30), target=st.sampled_from([0.0, 1.0]))
def test_asymmetric_loss_without_focusing_and_margin_is_binary_cross_entropy(logit: float, target: float) -> None:
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
def test_asymmetric_loss_is_the_formula(
    logit: float, target: float, gamma_neg: float, gamma_pos: float, margin: float
) -> None:
    p = 1 / (1 + math.exp(-logit))
    p_m = max(p - margin, 0.0)
    expected = -((1 - p) ** gamma_pos) * math.log(p) if target else -(p_m**gamma_neg) * math.log(1 - p_m)
    x, y = torch.tensor([logit], dtype=torch.float64), torch.tensor([target], dtype=torch.float64)
    value = asymmetric_loss(x, y, gamma_neg, gamma_pos, margin)
    assert float(value) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_asymmetric_loss_is_finite_for_extreme_logits_of_any_precision(
    dtype: torch.dtype, gamma: float, margin: float
) -> None:
    x = torch.tensor([-60000.0, -200.0, -20.0, 0.0, 20.0, 200.0, 60000.0], dtype=dtype, requires_grad=True)
    for target in (torch.zeros(7), torch.ones(7)):
        loss = asymmetric_loss(x, target.to(dtype), gamma, gamma, margin)
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss).all()
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        assert torch.isfinite(gradient).all()


def test_asymmetric_loss_keeps_its_precision_under_autocast() -> None:
    x, y = torch.randn(3, 5), torch.randint(0, 2, (3, 5)).float()
    plain = asymmetric_loss(x, y, 4.0, 1.0, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(asymmetric_loss(x, y, 4.0, 1.0, 0.05), plain)


Logits = dict[str, torch.Tensor]


def build_terms(num_concepts: int = 3, num_actions: int = 4, **weights: float) -> dict[str, LossTerm]:
    """Build the terms of the given weights; without any, those of the default configuration."""
    config = EncoderEntry(losses=build_losses(**weights)) if weights else EncoderEntry()
    return build_loss_terms(config, NumLabels(num_actions, num_concepts))


def draw_samples(actions: list[int], has_caption: list[bool], num_concepts: int = 3) -> list[ClipSample]:
    rng = np.random.default_rng(len(actions))
    concept_sets = [tuple(np.flatnonzero(rng.random(num_concepts) < 0.5).tolist()) for _ in actions]
    return [
        ClipSample("v", 0, action, concepts if covered else None, 0, 0, False)
        for action, concepts, covered in zip(actions, concept_sets, has_caption, strict=True)
    ]


def draw_batch(
    terms: dict[str, LossTerm], actions: list[int], has_caption: list[bool], num_concepts: int = 3
) -> tuple[Logits, dict[str, Targets]]:
    generator = torch.Generator().manual_seed(len(actions))
    samples = draw_samples(actions, has_caption, num_concepts)
    logits = {
        name: torch.randn(len(actions), term.num_outputs, generator=generator).requires_grad_()
        for name, term in terms.items()
    }
    return logits, {name: term.targets(samples, CPU) for name, term in terms.items()}


def compute_loss(
    terms: dict[str, LossTerm], actions: list[int], has_caption: list[bool]
) -> tuple[BatchLoss, Logits, dict[str, Targets]]:
    logits, targets = draw_batch(terms, actions, has_caption)
    return pretraining_loss(logits, targets, terms), logits, targets


def test_pretraining_loss_is_the_weighted_sum_of_its_terms() -> None:
    terms = build_terms(action=1.0, region=0.5, concepts=0.25)
    loss, logits, targets = compute_loss(terms, [0, NO_ACTION, 3], [True, False, True])
    action, region, concepts = (loss.terms[name].value for name in ("action", "region", "concepts"))
    torch.testing.assert_close(loss.total, action + 0.5 * region + 0.25 * concepts)
    log_p = logits["action"].log_softmax(1)
    torch.testing.assert_close(action, -(log_p[0, 0] + log_p[2, 3]) / 2)
    log_p = logits["region"].log_softmax(1)
    torch.testing.assert_close(region, -(log_p[0, 1] + log_p[1, 0] + log_p[2, 1]) / 3)
    per_clip = asymmetric_loss(logits["concepts"], targets["concepts"]["concepts"], 4.0, 1.0, 0.05).sum(1)
    torch.testing.assert_close(concepts, (per_clip[0] + per_clip[2]) / 2)
    assert [int(loss.terms[name].count) for name in terms] == [2, 3, 2]


def test_concepts_term_uses_the_settings_of_its_section() -> None:
    section = {"losses": {"concepts": {"gamma_neg": 0.0, "gamma_pos": 0.0, "margin": 0.0}}}
    terms = build_loss_terms(EncoderEntry.parse(section, ""), NumLabels(4, 3))
    logits, targets = draw_batch(terms, [0, 1], [True, True])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits["concepts"], targets["concepts"]["concepts"], reduction="none"
    )
    loss = pretraining_loss(logits, targets, terms)
    torch.testing.assert_close(loss.total, 0.1 * expected.sum(1).mean())


def test_background_gives_the_action_head_and_uncovered_clips_the_concepts_head_no_gradient() -> None:
    loss, logits, _ = compute_loss(build_terms(), [1, NO_ACTION], [False, True])
    loss.total.backward()
    action, concepts = logits["action"].grad, logits["concepts"].grad
    assert action is not None and concepts is not None
    assert action[0].abs().sum() > 0
    assert action[1].abs().sum() == 0
    assert concepts[0].abs().sum() == 0
    assert concepts[1].abs().sum() > 0


def test_pretraining_loss_without_foreground_and_without_captions_is_finite() -> None:
    loss, logits, _ = compute_loss(build_terms(), [NO_ACTION] * 3, [False] * 3)
    assert float(loss.terms["action"].value.detach()) == 0.0
    assert float(loss.terms["concepts"].value.detach()) == 0.0
    loss.total.backward()
    assert all(values.grad is not None and torch.isfinite(values.grad).all() for values in logits.values())


def test_pretraining_loss_leaves_out_a_term_of_weight_0() -> None:
    terms = build_terms(action=0.0, region=1.0)
    loss, _, _ = compute_loss(terms, [0, NO_ACTION, 3], [True, False, True])
    assert loss.terms.keys() == {"region"}
    torch.testing.assert_close(loss.total, loss.terms["region"].value)


def test_pretraining_loss_multiplies_a_single_term_by_its_weight() -> None:
    loss, _, _ = compute_loss(build_terms(action=0.5), [0, NO_ACTION, 3], [True, False, True])
    torch.testing.assert_close(loss.total, 0.5 * loss.terms["action"].value)


@pytest.mark.parametrize("num_actions", [0, 4])
@pytest.mark.parametrize("region", [True, False])
@pytest.mark.parametrize("num_concepts", [1, 5])
def test_pretraining_loss_gradients_equal_finite_differences(num_actions: int, region: bool, num_concepts: int) -> None:
    terms = build_terms(num_concepts, num_actions, action=1.0, region=0.5 * region, concepts=0.25)
    heads = Heads(terms, 3, global_dim=2).double()
    samples = draw_samples([0, NO_ACTION, 3], [True, False, True], num_concepts)
    targets = {name: term.targets(samples, CPU) for name, term in terms.items()}

    def total(features: torch.Tensor, global_features: torch.Tensor) -> torch.Tensor:
        return pretraining_loss(heads(features, global_features), targets, terms).total

    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(3, dim, generator=generator, dtype=torch.float64).requires_grad_() for dim in (3, 2)]
    assert torch.autograd.gradcheck(total, tuple(features))


@pytest.mark.parametrize("num_actions", [0, 4])
@pytest.mark.parametrize("region", [True, False])
@pytest.mark.parametrize("num_concepts", [0, 5])
def test_heads_without_weight_or_classes_are_left_out(num_actions: int, region: bool, num_concepts: int) -> None:
    terms = build_terms(num_concepts, num_actions, action=1.0, region=float(region), concepts=1.0)
    heads = Heads(terms, 8)
    present = {"action": num_actions > 0, "region": region, "concepts": num_concepts > 0}
    expected = {name for name, is_present in present.items() if is_present}
    assert {name.split(".")[0] for name in heads.state_dict()} == expected
    assert heads(torch.randn(2, 8)).keys() == expected


def test_heads_are_created_in_the_order_of_the_registry() -> None:
    names = ["action", "region", "concepts"]
    assert list(LOSSES)[:3] == names, "another order gives other initial weights; add new terms at the end"
    assert list(build_terms(concepts=1.0, region=1.0, action=1.0)) == names
    assert list(build_terms(**dict.fromkeys(reversed(list(LOSSES)), 1.0))) == list(LOSSES)


def test_heads_give_only_the_region_head_the_global_feature() -> None:
    heads = Heads(build_terms(5), 3, global_dim=2)
    local, global_features = torch.randn(6, 3), torch.randn(6, 2)
    with_global, without = heads(local, global_features), heads(local, torch.zeros(6, 2))
    assert torch.equal(with_global["action"], without["action"])
    assert torch.equal(with_global["concepts"], without["concepts"])
    weight, bias = heads["region"].weight, heads["region"].bias
    torch.testing.assert_close(without["region"], local @ weight[:, :3].T + bias)
    torch.testing.assert_close(with_global["region"] - without["region"], global_features @ weight[:, 3:].T)


def test_loss_terms_of_the_papers_take_part_in_the_selection_of_the_epoch() -> None:
    metrics = {name: term.selection_metric for name, term in build_terms().items()}
    assert metrics == {"action": "accuracy", "region": "accuracy", "concepts": "map"}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_term_declares_its_metrics_and_works_on_no_clips(name: str) -> None:
    (term,) = build_terms(**{name: 1.0}).values()
    logits, targets = torch.zeros(2, term.num_outputs), term.targets(draw_samples([0, 1], [True, True]), CPU)
    assert tuple(term.metrics(logits, targets)) == term.metric_names
    rows = term.validation_rows(torch.zeros(0, term.num_outputs), term.targets([], CPU))
    validation = term.validation_metrics(*(row.numpy() for row in rows))
    assert term.selection_metric in {None, *term.metric_names, *validation}
    assert {"action", "region", "concepts"}.issuperset(LOSSES[name].labels)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_term_trains_its_head_and_is_finite_without_foreground(name: str) -> None:
    (term,) = build_terms(**{name: 1.0}).values()
    head, features = term.head(5), torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    logits = head(features)
    assert logits.shape == (2, term.num_outputs)
    loss = term.loss(logits, term.targets(draw_samples([0, 1], [True, True]), CPU))
    assert loss.count == 2
    loss.value.backward()
    # A head without parameters passes its gradient on to the encoder.
    gradients = [parameter.grad for parameter in head.parameters()] or [features.grad]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    background = term.targets(draw_samples([NO_ACTION, NO_ACTION], [False, False]), CPU)
    assert torch.isfinite(term.loss(logits.detach(), background).value)


@pytest.mark.parametrize(
    ("losses", "key"),
    [
        ({"gloss": 1.0}, "losses.gloss"),
        ({"action": "1e-4"}, "losses.action.weight = '1e-4'"),
        ({"region": -1.0}, "losses.region.weight = -1.0"),
        ({"action": {"gamma_neg": 1.0}}, "losses.action.gamma_neg"),
        ({"action": 0.0}, "losses: "),
        ({}, "losses: "),
    ],
)
def test_losses_section_names_the_key_of_an_error(losses: dict[str, object], key: str) -> None:
    with pytest.raises(PipelineError) as error:
        EncoderEntry.parse({"losses": losses}, "pretrain_encoder")
    assert f"pretrain_encoder.{key}" in str(error.value)


def test_selection_score_is_the_mean_accuracy_or_else_the_mean_of_the_selection_metrics() -> None:
    terms = build_terms()
    metrics = {"val_action_accuracy": 0.5, "val_region_accuracy": 1.0, "val_concepts_map": 0.1}
    assert selection_score(metrics, terms) == 0.75
    assert selection_score({"val_region_accuracy": 1.0, "val_concepts_map": 0.1}, terms) == 1.0
    assert selection_score({"val_concepts_map": 0.1}, terms) == 0.1
    assert selection_score({}, terms) == 0.0


def average_precision(scores: list[float], is_positive: list[int]) -> float:
    scores_column = np.array(scores, dtype=np.float32)[:, None]
    return mean_average_precision(scores_column, np.array(is_positive, dtype=bool)[:, None])


def test_mean_average_precision_of_a_given_ranking() -> None:
    # Hits at ranks 1, 3 and 4: (1/1 + 2/3 + 3/4) / 3.
    assert average_precision([0.9, 0.8, 0.7, 0.6, 0.1], [1, 0, 1, 1, 0]) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert average_precision([1, 2, 3], [0, 0, 1]) == 1.0


def test_mean_average_precision_ignores_the_order_of_equal_scores() -> None:
    assert (
        average_precision([1, 1, 1, 1], [1, 0, 0, 0])
        == average_precision([1, 1, 1, 1], [0, 0, 0, 1])
        == pytest.approx(0.25)
    )


def test_mean_average_precision_leaves_out_concepts_without_positive_clips() -> None:
    scores = np.array([[0.1, 0.9], [0.2, 0.1]], dtype=np.float32)
    assert mean_average_precision(scores, np.array([[False, True], [False, False]])) == 1.0
    assert mean_average_precision(scores, np.zeros((2, 2), dtype=bool)) == 0.0


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_mean_average_precision_is_the_mean_precision_at_the_hits(items: list[tuple[int, bool]]) -> None:
    if not any(hit for _, hit in items):
        return
    precisions = []
    for score, hit in items:
        if hit:
            ranked_before = [is_hit for value, is_hit in items if value >= score]
            precisions.append(sum(ranked_before) / len(ranked_before))
    scores, hits = [float(score) for score, _ in items], [int(hit) for _, hit in items]
    assert average_precision(scores, hits) == pytest.approx(float(np.mean(precisions)))
