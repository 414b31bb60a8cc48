"""Tests of linear probes: the optimum of their objective, chance on noise, and determinism."""

import numpy as np
import pytest

from pipeline.encoders.probe import (
    ProbeDataset,
    class_accuracy,
    concept_precisions,
    draw_clips,
    fit_classes,
    fit_concepts,
    mean_precision,
)

RNG = np.random.default_rng(0)


def draw_separable(num_clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of three classes, one channel each, and a channel of noise."""
    classes = RNG.integers(3, size=num_clips)
    features = np.concatenate([np.eye(3)[classes], np.zeros((num_clips, 1))], axis=1)
    return (features + 0.1 * RNG.normal(size=features.shape)).astype(np.float32), classes


def test_fit_classes_on_constant_features_gives_the_frequencies_of_the_classes() -> None:
    classes = np.array([0] * 6 + [1] * 3 + [2])
    logits = fit_classes(np.ones((10, 2), np.float32), classes, 3, 0.1).logits(np.ones((1, 2), np.float32))[0]
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), [0.6, 0.3, 0.1], atol=1e-6)


def test_fit_concepts_on_two_points_solves_the_condition_of_the_optimum() -> None:
    # On x = -1, 1 with classes 0, 1 the concept's weight solves l2 w = sigmoid(-w).
    weight = 0.75
    l2 = 1 / (1 + np.exp(weight)) / weight
    probe = fit_concepts(np.array([[-3.0], [3.0]]), np.array([[False], [True]]), l2)
    assert probe.weights[0, 0] == pytest.approx(weight, abs=1e-6)
    assert probe.bias[0] == pytest.approx(0, abs=1e-6)


def test_fit_classes_has_a_vanishing_gradient() -> None:
    features, classes = draw_separable(200)
    probe = fit_classes(features, classes, 3, 0.01)
    x = (features - features.mean(0, dtype=np.float64)) / features.std(0, dtype=np.float64)
    odds = np.exp(x @ probe.weights + probe.bias)
    error = odds / odds.sum(1, keepdims=True) - np.eye(3)[classes]
    np.testing.assert_allclose(x.T @ error / 200 + 0.01 * probe.weights, 0, atol=1e-6)
    np.testing.assert_allclose(error.mean(0), 0, atol=1e-6)


def test_class_accuracy_of_separable_classes_is_1_and_leaves_out_clips_without_class() -> None:
    features, classes = draw_separable(90)
    unknown = np.where(np.arange(90) % 3 == 0, -1, classes)
    scores = class_accuracy((features, unknown), draw_separable(60), 3, 0.01)
    assert scores is not None
    assert scores["accuracy"] == 1.0
    assert (scores["train_clips"], scores["clips"]) == (60, 60)
    assert scores["majority"] < 0.6


def test_probes_of_noise_score_at_chance() -> None:
    x, test_x = RNG.normal(size=(800, 8)), RNG.normal(size=(800, 8))
    y, test_y = RNG.integers(4, size=800), RNG.integers(4, size=800)
    scores = class_accuracy((x, y), (test_x, test_y), 4, 0.01)
    assert scores is not None
    assert abs(scores["accuracy"] - 0.25) < 0.06
    concepts = RNG.random((800, 3)) < 0.2
    train = ProbeDataset(x, y, y, concepts, np.ones(800, bool))
    test = ProbeDataset(test_x, test_y, test_y, RNG.random((800, 3)) < 0.2, np.ones(800, bool))
    precisions = concept_precisions(train, test, 0.01)
    assert all(abs(scores["average_precision"] - scores["chance"]) < 0.06 for scores in precisions.values())


def draw_dataset(num_clips: int) -> ProbeDataset:
    """Draw clips whose channel 0 shows concept 0; no clip shows concept 2; every fifth clip has no caption."""
    concepts = RNG.random((num_clips, 3)) < 0.5
    concepts[:, 2] = False
    features = RNG.normal(size=(num_clips, 4))
    features[:, 0] += 10 * concepts[:, 0]
    has_caption = np.arange(num_clips) % 5 > 0
    features[~has_caption, 0] *= -1
    no_label = np.full(num_clips, -1)
    return ProbeDataset(features, no_label, no_label, concepts, has_caption)


def test_concept_precisions_use_only_clips_with_a_caption() -> None:
    precisions = concept_precisions(draw_dataset(300), draw_dataset(300), 0.01)
    assert precisions.keys() == {0, 1}, "a concept that no clip shows has no precision"
    assert precisions[0]["average_precision"] > 0.99
    assert precisions[1]["average_precision"] < 0.65
    mean = mean_precision(precisions, [0, 1, 2])
    assert mean is not None
    assert mean["concepts"] == 2
    assert mean["mean_average_precision"] == pytest.approx(
        np.mean([scores["average_precision"] for scores in precisions.values()])
    )
    assert mean_precision(precisions, [2]) is None


def test_concept_precisions_are_equal_for_equal_features_in_any_unit() -> None:
    train, test = draw_dataset(200), draw_dataset(100)
    precisions = concept_precisions(train, test, 0.01)
    assert precisions == concept_precisions(train, test, 0.01)
    scaled = [ProbeDataset(7 * part.features + 3, *list(vars(part).values())[1:]) for part in (train, test)]
    for index, scores in concept_precisions(scaled[0], scaled[1], 0.01).items():
        assert scores["average_precision"] == pytest.approx(precisions[index]["average_precision"], abs=1e-3)


def test_class_accuracy_without_clips_is_none() -> None:
    unlabelled = (np.zeros((3, 2)), np.full(3, -1))
    assert class_accuracy(unlabelled, (np.zeros((4, 2)), np.zeros(4, np.int64)), 2, 0.1) is None


@pytest.mark.parametrize("num_classes", [2, 3, 5])
@pytest.mark.parametrize("missing", [False, True])
def test_fit_classes_minimises_the_documented_objective(num_classes: int, missing: bool) -> None:
    """The objective has the same optimum for two and for more classes, and with a class without clips."""
    classes = RNG.integers(num_classes, size=300)
    features = (RNG.normal(size=(300, 6)) + np.eye(num_classes, 6)[classes]).astype(np.float32)
    probe = fit_classes(features, classes, num_classes + missing, 0.02)
    x = (features - features.mean(0, dtype=np.float64)) / features.std(0, dtype=np.float64)

    def objective(weights: np.ndarray, bias: np.ndarray) -> float:
        logits = x @ weights + bias
        cross_entropy = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(300), classes]
        return float(cross_entropy.mean() + 0.01 * (weights**2).sum())

    optimum = objective(probe.weights, probe.bias)
    for _ in range(20):
        step = 1e-3 * RNG.normal(size=probe.weights.shape)
        assert objective(probe.weights + step, probe.bias) > optimum
        assert objective(probe.weights, probe.bias + 1e-3 * RNG.normal(size=probe.bias.shape)) > optimum


def test_fit_classes_predicts_the_only_class() -> None:
    probe = fit_classes(RNG.normal(size=(5, 2)), np.full(5, 2), 4, 0.1)
    assert set(probe.logits(RNG.normal(size=(9, 2))).argmax(axis=1)) == {2}


def test_fit_concepts_gives_concepts_of_all_or_no_clips_no_weight() -> None:
    concepts = np.stack([np.ones(6, bool), np.zeros(6, bool), np.arange(6) < 3], axis=1)
    probe = fit_concepts(RNG.normal(size=(6, 2)), concepts, 0.1)
    assert (probe.weights[:, :2] == 0).all()
    assert (probe.weights[:, 2] != 0).all()


def test_fit_concepts_does_not_depend_on_the_number_of_workers() -> None:
    features, concepts = RNG.normal(size=(50, 4)), RNG.random((50, 6)) < 0.4
    one, three = (fit_concepts(features, concepts, 0.1, workers) for workers in (1, 3))
    assert np.array_equal(one.weights, three.weights)
    assert np.array_equal(one.bias, three.bias)


def test_draw_clips_keeps_labels_with_their_features_in_order() -> None:
    index = np.arange(60)
    dataset = ProbeDataset(index[:, None].astype(np.float32), index, -index, index[:, None] % 2 == 0, index % 3 == 0)
    drawn = draw_clips(dataset, 20)
    assert len(np.unique(drawn.action)) == 20
    assert (np.diff(drawn.action) > 0).all()
    for column, of_all in zip(vars(drawn).values(), vars(dataset).values(), strict=True):
        assert np.array_equal(column, of_all[drawn.action])
    other = ProbeDataset(-dataset.features, *list(vars(dataset).values())[1:])
    assert np.array_equal(draw_clips(other, 20).action, drawn.action), "other features on the same time grid"


@pytest.mark.parametrize("max_clips", [None, 60, 61])
def test_draw_clips_returns_all_clips_if_there_are_no_more(max_clips: int | None) -> None:
    dataset = draw_dataset(60)
    assert draw_clips(dataset, max_clips) is dataset
