"""Scores of recognizers: the published numbers, and their rules for ties and unknown classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.datasets.caption_tokens import CaptionTokens
from pipeline.evaluation.meteor.engine import Meteor
from pipeline.evaluation.recognition import (
    exact_match,
    group_probabilities,
    likely_captions,
    majority_classes,
    normalize_caption,
    score_captions,
    top_k_accuracy,
)
from tests.helpers.two_channel_golden import read_golden


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


@pytest.fixture
def published(shared: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return the golden scores, and group and training clips of each class in their order."""
    table = read_golden(shared, "something_something_groups")
    classes = sorted(table["classes"], key=lambda entry: entry["index_bracketed"])
    groups = np.array([entry["group"] for entry in classes])
    counts = np.array([entry["train"] for entry in classes])
    return read_golden(shared, "metrics_captioning")["groups"], groups, counts


def test_group_accuracy_sums_the_published_class_probabilities(published: tuple[Any, np.ndarray, np.ndarray]) -> None:
    golden, groups, _ = published
    logits = (np.random.RandomState(0).standard_normal((64, 178)) * 3).astype(np.float32)
    log_probs = log_softmax(logits)[:, :174]
    probabilities = group_probabilities(log_probs, groups, 50)
    assert probabilities[0] == pytest.approx(golden["group_probabilities_row0"], abs=1e-5)
    targets = np.array(golden["coarse_targets"])
    accuracy = 100 * (probabilities.argmax(1) == targets).mean()
    assert accuracy == golden["coarse_accuracy_from_fine_percent (sum of probabilities per group, argmax)"]
    mapped = 100 * (groups[log_probs.argmax(1)] == targets).mean()
    assert mapped == golden["coarse_accuracy_if_only_the_argmax_class_is_mapped_percent"]
    fine = np.array(golden["fine_targets"])
    assert 100 * top_k_accuracy(log_probs, fine, 1) == golden["fine_accuracy_percent"]


def test_the_majority_class_of_a_predicted_group_is_the_published_one(
    published: tuple[Any, np.ndarray, np.ndarray], shared: Path
) -> None:
    golden, groups, counts = published
    expected = golden["conditional_majority"]
    logits = (np.random.RandomState(3).standard_normal((64, 50)) * 3).astype(np.float32)
    majority = majority_classes(groups, counts, 50)
    predicted = majority[logits.argmax(1)]
    assert predicted.tolist() == expected["predicted_fine"]
    assert 100 * (predicted == np.array(expected["fine_targets"])).mean() == expected["accuracy_percent"]
    table = read_golden(shared, "something_something_groups")
    names = [entry["template"] for entry in sorted(table["classes"], key=lambda entry: entry["index_bracketed"])]
    assert [names[index] for index in majority] == [group["majority_class_in_train"] for group in table["groups"]]


def test_exact_match_is_the_published_one(shared: Path) -> None:
    golden = read_golden(shared, "ptcap_text")["exact_match"]
    tokens = CaptionTokens.build(golden["vocabulary_from"], 0, golden["user_maxlen"])
    assert tokens.length == golden["maxlen"]
    encoder = tokens.encoder()
    rows = golden["rows"]
    predictions = [encoder.encode(row["prediction"]) for row in rows]
    references = [encoder.encode(row["reference"]) for row in rows]
    assert predictions == [row["prediction_ids"] for row in rows]
    assert references == [row["reference_ids"] for row in rows]
    for row, *pair in zip(rows, predictions, references, strict=True):
        assert 100 * exact_match(pair[:1], pair[1:]) == row["caption_accuracy"]
    assert 100 * exact_match(predictions, references) == pytest.approx(golden["batch_accuracy"])


def test_top_k_counts_ties_against_the_clip_and_unknown_classes_as_wrong() -> None:
    log_probs = np.log(np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.5, 0.3, 0.2]]))
    targets = np.array([0, 0, -1])
    assert top_k_accuracy(log_probs, targets, 1) == pytest.approx(1 / 3)
    assert top_k_accuracy(log_probs, targets, 2) == pytest.approx(2 / 3)


def test_the_most_likely_caption_is_the_first_to_be_most_frequent() -> None:
    rows = [("a", "x"), ("a", "y"), ("a", "y"), ("a", "x"), ("b", "z"), ("c", ""), ("c", "w")]
    assert likely_captions(rows) == {"a": "y", "b": "z", "c": ""}


def test_captions_are_compared_as_letters() -> None:
    assert normalize_caption("Holding 2 men's  caps!") == "holding mens caps"
    with Meteor() as meteor:
        scores = score_captions(["holding a red cap."] * 2, ["Holding a RED cap", "Holding a red cap (2)"], meteor)
        other = score_captions(["holding a red cap"], ["dropping nothing at all"], meteor)
    assert scores["Bleu_4"] == pytest.approx(1.0)
    assert scores["ROUGE_L"] == pytest.approx(1.0)
    assert scores["METEOR"] > 0.99
    assert all(value < 0.2 for value in other.values())
