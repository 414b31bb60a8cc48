"""How similar the encoded clips of a captioner are, within and between categories (Yang et al., 2022, figures 4 to 6).

A clip is the mean of its encoded feature rows. Each channel is standardised over the clips: mean 0, and the unbiased
standard deviation 1. The average cosine similarity (ACS) of two categories is the mean over all pairs of their clips.
As in the authors' notebook, the ACS of a category with itself includes each clip with itself, so that a category of n
clips gains 1 / n from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


def standardise(features: Float[np.ndarray, "clips channels"]) -> Float[np.ndarray, "clips channels"]:
    """Standardise each channel over the clips; a channel without variation becomes 0. There are at least two clips."""
    deviations = features.std(axis=0, ddof=1)
    centred = features - features.mean(axis=0)
    return np.divide(centred, deviations, out=np.zeros_like(centred), where=deviations > 0)


def cosine_similarities(features: Float[np.ndarray, "clips channels"]) -> Float[np.ndarray, "clips clips"]:
    """Compute the cosine of each pair of clips; 0 with a clip whose features are all 0."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, norms, out=np.zeros_like(features), where=norms > 0)
    similarities: Float[np.ndarray, "clips clips"] = unit @ unit.T
    return similarities


@dataclass(frozen=True)
class CategorySimilarity:
    """Average cosine similarities of categories.

    Attributes:
        categories: names, in the order of the matrix.
        matrix: ACS of each pair of categories.
        counts: number of clips of each category.
    """

    categories: tuple[str, ...]
    matrix: Float[np.ndarray, "categories categories"]
    counts: tuple[int, ...]

    @property
    def within(self) -> float:
        """Mean ACS of the categories with themselves, which the paper reports."""
        return float(np.mean(np.diag(self.matrix)))

    @property
    def between(self) -> float:
        """Mean ACS of different categories; 0 if there is only one."""
        count = len(self.categories)
        return float((self.matrix.sum() - np.trace(self.matrix)) / (count * (count - 1))) if count > 1 else 0.0


def category_similarity(
    similarities: Float[np.ndarray, "clips clips"], categories: Sequence[str]
) -> CategorySimilarity:
    """Compute the average cosine similarity of each pair of categories.

    Args:
        similarities: cosine of each pair of clips.
        categories: category of each clip.
    """
    names, indices = np.unique(np.array(categories), return_inverse=True)
    members = (indices == np.arange(len(names))[:, None]).astype(np.float64)
    counts = members.sum(axis=1)
    matrix = members @ similarities.astype(np.float64) @ members.T / np.outer(counts, counts)
    return CategorySimilarity(tuple(names.tolist()), matrix, tuple(counts.astype(int).tolist()))


def nearest_clips(similarities: Float[np.ndarray, "clips clips"], count: int) -> Int[np.ndarray, "clips count"]:
    """Return for each clip the most similar others, the nearest first; of equally similar ones, the smaller index.

    Args:
        similarities: cosine of each pair of clips.
        count: number of neighbours; fewer if there are not so many clips.
    """
    others = similarities.astype(np.float64).copy()
    np.fill_diagonal(others, -np.inf)
    order: Int[np.ndarray, "clips count"] = np.argsort(-others, axis=1, kind="stable")[:, : min(count, len(others) - 1)]
    return order
