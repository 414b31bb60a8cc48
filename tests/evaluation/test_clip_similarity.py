"""Similarity of clips: standardised features, average cosine similarity of categories, nearest clips."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation.clip_similarity import category_similarity, cosine_similarities, nearest_clips, standardise


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((shared / "golden" / "clip_captioning" / "metrics_captioning.json").read_text())
    return data["acs"]


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """The mean tokens of the golden file, standardised."""
    tokens = np.random.RandomState(0).standard_normal((60, 15, 16)).astype(np.float32)
    tokens += np.random.RandomState(2).standard_normal((20, 1, 16)).astype(np.float32)[np.arange(60) % 20]
    return standardise(tokens.mean(axis=1))


def test_similarities_agree_with_the_reference(golden: dict[str, Any], features: np.ndarray) -> None:
    expected = golden["standardised_mean_features"]
    np.testing.assert_allclose(features.flat[expected["flat_index"]], expected["values"], rtol=1e-5, atol=1e-5)
    # The reference numbers its categories; numbers with two digits sort as they do.
    names = [f"{number:02}" for number in np.arange(60) % 20]
    acs = category_similarity(cosine_similarities(features), names)
    matrix = golden["matrix"]
    np.testing.assert_allclose(acs.matrix.flat[matrix["flat_index"]], matrix["values"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.diag(acs.matrix), golden["diagonal"], rtol=1e-5, atol=1e-5)
    assert acs.within == pytest.approx(golden["mean_intra_class"], abs=1e-5)
    assert acs.counts == (3,) * 20


def test_nearest_clips_agree_with_the_reference(golden: dict[str, Any], features: np.ndarray) -> None:
    similarities = cosine_similarities(features)
    [query, *others] = golden["retrieval_for_query_0"]["order (own index first)"]
    assert nearest_clips(similarities, 10)[query].tolist() == others
    np.testing.assert_allclose(
        similarities[query, others], golden["retrieval_for_query_0"]["cosine"][1:], rtol=1e-5, atol=1e-5
    )


def test_similarity_between_categories_leaves_out_the_diagonal() -> None:
    acs = category_similarity(np.array([[1.0, 0.5, -1.0], [0.5, 1.0, 0.0], [-1.0, 0.0, 1.0]]), ["b", "b", "a"])
    assert acs.categories == ("a", "b")
    np.testing.assert_allclose(acs.matrix, [[1.0, -0.5], [-0.5, 0.75]])
    assert (acs.within, acs.between) == (0.875, -0.5)
    assert category_similarity(np.eye(1), ["a"]).between == 0


def test_channels_and_clips_without_variation_are_zero_and_not_nan() -> None:
    features = standardise(np.array([[1.0, 2.0], [1.0, 4.0]]))
    np.testing.assert_allclose(features, [[0, -np.sqrt(0.5)], [0, np.sqrt(0.5)]])
    assert cosine_similarities(np.zeros((2, 3))).tolist() == [[0, 0], [0, 0]]


def test_nearest_clips_are_others_and_the_smaller_index_of_equal_ones() -> None:
    similarities = np.array([[1.0, 0.5, 0.5], [0.5, 1.0, 0.9], [0.5, 0.9, 1.0]])
    assert nearest_clips(similarities, 5).tolist() == [[1, 2], [2, 0], [1, 0]]
