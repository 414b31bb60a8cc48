"""Linear probes: the optimum of their objective, chance on noise, and nothing that depends on luck."""

import numpy as np
import pytest

from pipeline.encoders.probe import Labelled, accuracy, concept_precision, fit_classes, fit_concepts, means

DRAW = np.random.default_rng(0)


def separable(clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of three classes, one channel each, and a channel that tells nothing."""
    classes = DRAW.integers(3, size=clips)
    features = np.concatenate([np.eye(3)[classes], np.zeros((clips, 1))], axis=1)
    return (features + 0.1 * DRAW.normal(size=features.shape)).astype(np.float32), classes


def test_where_features_tell_nothing_the_logits_are_the_logarithms_of_the_shares() -> None:
    classes = np.array([0] * 6 + [1] * 3 + [2])
    logits = fit_classes(np.ones((10, 2), np.float32), classes, 3, 0.1).logits(np.ones((1, 2), np.float32))[0]
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), [0.6, 0.3, 0.1], atol=1e-6)


def test_two_points_have_the_slope_that_the_condition_of_the_optimum_gives() -> None:
    # On x = -1, 1 with classes 0, 1 the concept's weight solves l2 w = sigmoid(-w).
    weight = 0.75
    l2 = 1 / (1 + np.exp(weight)) / weight
    probe = fit_concepts(np.array([[-3.0], [3.0]]), np.array([[False], [True]]), l2)
    assert probe.weights[0, 0] == pytest.approx(weight, abs=1e-6)
    assert probe.bias[0] == pytest.approx(0, abs=1e-6)


def test_the_gradient_vanishes_at_what_is_found() -> None:
    features, classes = separable(200)
    probe = fit_classes(features, classes, 3, 0.01)
    x = (features - features.mean(0, dtype=np.float64)) / features.std(0, dtype=np.float64)
    odds = np.exp(x @ probe.weights + probe.bias)
    error = odds / odds.sum(1, keepdims=True) - np.eye(3)[classes]
    np.testing.assert_allclose(x.T @ error / 200 + 0.01 * probe.weights, 0, atol=1e-6)
    np.testing.assert_allclose(error.mean(0), 0, atol=1e-6)


def test_classes_that_lie_apart_are_told_apart_and_clips_without_class_are_left_out() -> None:
    features, classes = separable(90)
    unknown = np.where(np.arange(90) % 3 == 0, -1, classes)
    found = accuracy((features, unknown), separable(60), 3, 0.01)
    assert found is not None
    assert found["accuracy"] == 1.0
    assert (found["train_clips"], found["clips"]) == (60, 60)
    assert found["majority"] < 0.6


def test_noise_is_read_at_chance() -> None:
    x, test_x = DRAW.normal(size=(800, 8)), DRAW.normal(size=(800, 8))
    y, test_y = DRAW.integers(4, size=800), DRAW.integers(4, size=800)
    found = accuracy((x, y), (test_x, test_y), 4, 0.01)
    assert found is not None
    assert abs(found["accuracy"] - 0.25) < 0.06
    shown = DRAW.random((800, 3)) < 0.2
    one = Labelled(x, y, y, shown, np.ones(800, bool))
    other = Labelled(test_x, test_y, test_y, DRAW.random((800, 3)) < 0.2, np.ones(800, bool))
    noise = concept_precision(one, other, 0.01)
    assert all(abs(each["average_precision"] - each["chance"]) < 0.06 for each in noise.values())


def labelled(clips: int) -> Labelled:
    """Clips of which channel 0 tells concept 0; concept 2 is never shown; every fifth clip is not covered."""
    shown = DRAW.random((clips, 3)) < 0.5
    shown[:, 2] = False
    features = DRAW.normal(size=(clips, 4))
    features[:, 0] += 10 * shown[:, 0]
    covered = np.arange(clips) % 5 > 0
    features[~covered, 0] *= -1
    none = np.full(clips, -1)
    return Labelled(features, none, none, shown, covered)


def test_a_concept_that_a_channel_tells_is_ranked_first_and_only_covered_clips_count() -> None:
    found = concept_precision(labelled(300), labelled(300), 0.01)
    assert found.keys() == {0, 1}, "a concept that no clip shows has no precision"
    assert found[0]["average_precision"] > 0.99
    assert found[1]["average_precision"] < 0.65
    together = means(found, [0, 1, 2])
    assert together is not None
    assert together["concepts"] == 2
    assert together["mean_average_precision"] == pytest.approx(
        np.mean([f["average_precision"] for f in found.values()])
    )
    assert means(found, [2]) is None


def test_equal_features_give_equal_scores_in_whatever_unit() -> None:
    train, test = labelled(200), labelled(100)
    scores = concept_precision(train, test, 0.01)
    assert scores == concept_precision(train, test, 0.01)
    scaled = [Labelled(7 * part.features + 3, *list(vars(part).values())[1:]) for part in (train, test)]
    for number, found in concept_precision(scaled[0], scaled[1], 0.01).items():
        assert found["average_precision"] == pytest.approx(scores[number]["average_precision"], abs=1e-3)


def test_without_clips_there_is_no_accuracy() -> None:
    none = (np.zeros((3, 2)), np.full(3, -1))
    assert accuracy(none, (np.zeros((4, 2)), np.zeros(4, np.int64)), 2, 0.1) is None
