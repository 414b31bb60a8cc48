"""Attributes: average precision, F1 of the first k, the rule of ties, labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation.attributes import (
    REFERENCE_HITS,
    average_precision,
    f1_at,
    label_attributes,
    rank_attributes,
    score_attributes,
)


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((shared / "golden" / "clip_captioning" / "metrics_captioning.json").read_text())
    return data["attributes"]


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    """The probabilities (noisy-OR) and labels of the golden file."""
    logits = (np.random.RandomState(0).standard_normal((6, 9, 120)) * 1.5 - 4.0).astype(np.float32).astype(np.float64)
    return 1 - np.prod(1 / (1 + np.exp(logits)), axis=1), np.random.RandomState(1).rand(6, 120) < 0.08


def test_attributes_agree_with_the_reference(golden: dict[str, Any], scored: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = scored
    assert labels.sum(axis=1).tolist() == golden["n_positive"]
    expected = {name: [row[name] for row in golden["per_video"]] for name in golden["per_video"][0]}
    np.testing.assert_allclose(average_precision(probabilities, labels), expected["mAP"], rtol=1e-5, atol=1e-5)
    for k in (10, 20, 30, 40, 50):
        values = f1_at(probabilities, labels, k, no_hits=REFERENCE_HITS)
        np.testing.assert_allclose(values, expected[f"F1-{k}"], rtol=1e-5, atol=1e-5)
    scores = score_attributes(probabilities, labels)
    assert scores["mAP"] == pytest.approx(golden["metrics"]["mAP"], abs=1e-5)
    assert scores["F1@30"] == pytest.approx(golden["metrics"]["F1-30"], abs=1e-4)  # theirs counts 0.001 hits for none


def test_of_equal_probabilities_the_smaller_index_ranks_first() -> None:
    assert rank_attributes(np.array([[0.5, 0.9, 0.5, 0.9, 0.1]])).tolist() == [[1, 3, 0, 2, 4]]


def test_f1_and_average_precision_by_hand() -> None:
    probabilities = np.array([[0.9, 0.8, 0.7, 0.6]])
    labels = np.array([[True, False, True, False]])
    assert average_precision(probabilities, labels) == pytest.approx([(1 / 1 + 2 / 3) / 2])
    assert f1_at(probabilities, labels, 1) == pytest.approx([2 * 1 * 0.5 / 1.5])
    assert f1_at(np.array([[0.1, 0.9, 0.1, 0.9]]), labels, 2) == pytest.approx([0])


def test_clips_without_any_attribute_do_not_count() -> None:
    labels = np.array([[True, False], [False, False]])
    scores = score_attributes(np.array([[0.9, 0.1], [0.9, 0.1]]), labels, (1, 2, 10))
    assert scores == {"mAP": 1.0, "F1@1": 1.0, "F1@2": pytest.approx(2 / 3), "n_clips": 1, "n_clips_without": 1}
    assert score_attributes(np.zeros((1, 2)), np.zeros((1, 2), bool), (1,))["mAP"] == 0


def test_label_attributes_takes_all_captions_of_a_clip() -> None:
    labels = label_attributes([[["a", "dog"], ["two", "cats"]], [["rain"]]], ["cats", "dog", "sun"])
    assert labels.tolist() == [[True, True, False], [False, False, False]]
