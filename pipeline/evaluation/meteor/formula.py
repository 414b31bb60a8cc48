"""METEOR's scores from its statistics, for one pair and for a set of pairs taken as one corpus.

Denkowski and Lavie, "Meteor Universal", 2014, section 2.2.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

import numpy as np
from jaxtyping import Float, Int

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""English defaults of METEOR 1.5: weight of recall, exponent and weight of the fragmentation penalty, weight of
content words relative to function words."""
MODULE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""Weight of a match: exact, stem, synonym, paraphrase."""

_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")

Pair = tuple[str, str]
"""A caption and its reference, tokenized: lower case, joined by spaces."""
NUM_STATISTICS = 23
Stats = Float[np.ndarray, "pairs 23"]
"""Columns: 0-1 words of caption and reference; 2-3 function words of both; 4-19 for each of the four modules the
matched content words (caption, reference) and function words (caption, reference); 20 chunks; 21-22 matched words of
both."""


def meteor_scores(statistics: Stats) -> Float[np.ndarray, " pairs"]:
    """Compute the METEOR of each pair, in [0, 1]."""
    return _score(_without_complete_chunks(statistics))


def aggregate(statistics: Stats) -> float:
    """Compute the METEOR of a set of pairs as one corpus, from the summed statistics; 0 for no pairs."""
    return float(_score(_without_complete_chunks(statistics).sum(axis=0, keepdims=True))[0])


def best_references(values: Float[np.ndarray, " pairs"], num_references: Sequence[int]) -> Int[np.ndarray, " samples"]:
    """Return the index of the pair with the highest value of each caption; of equal ones, the first.

    Args:
        values: value of each caption with each of its references; caption after caption.
        num_references: number of references of each caption.
    """
    starts = np.concatenate([[0], np.cumsum(num_references)[:-1]]).astype(np.int64)
    lengths = np.asarray(num_references)
    highest = np.repeat(np.maximum.reduceat(values, starts), lengths)
    order = np.flatnonzero(values == highest)
    owners = np.repeat(np.arange(len(lengths)), lengths)[order]
    first: Int[np.ndarray, " samples"] = order[np.flatnonzero(np.diff(owners, prepend=-1))]
    return first


class MeteorScorer(ABC):
    """Computes METEOR from the 23 statistics of pairs. Use it as a context manager, or call `close`."""

    def __enter__(self) -> "MeteorScorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  # most hold no resources
        """Release all resources."""

    @abstractmethod
    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        """Compute the 23 statistics of each (caption, reference)."""

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Compute the METEOR of each (caption, reference), in [0, 1]; 0 where either side is empty."""
        return [float(value) for value in meteor_scores(self.statistics(pairs))]

    def aggregate(self, documents: Sequence[Sequence[Pair]]) -> Float[np.ndarray, " documents"]:
        """Compute the METEOR of each document, taken as one corpus: not the mean of its pairs' scores."""
        statistics = _without_complete_chunks(self.statistics([pair for document in documents for pair in document]))
        offsets = accumulate((len(document) for document in documents), initial=0)
        # One by one: np.add.reduceat would round in another order than the sum of the document alone.
        sums = [statistics[start:end].sum(axis=0) for start, end in pairwise(offsets)]
        return _score(np.array(sums, np.float64).reshape(-1, NUM_STATISTICS))


def sanitize(texts: Iterable[str]) -> list[str]:
    """Make texts safe for METEOR's line protocol, and split into the same words by Java and by Python.

    Each result is one line without field separators and lone surrogates; any white space or control character is a
    plain space.
    """
    return [
        text
        if text.isprintable() and "|||" not in text  # of white space, only the plain space is printable
        else _SPACES.sub(" ", text.replace("|||", "")).encode("utf-8", "replace").decode()
        for text in texts
    ]


def _without_complete_chunks(statistics: Stats) -> Stats:
    """Return the statistics with 0 chunks for each pair that matches completely in one chunk."""
    caption_length, reference_length = statistics[:, 0], statistics[:, 1]
    chunks, caption_matches, reference_matches = statistics[:, 20], statistics[:, 21], statistics[:, 22]
    complete = (caption_matches == caption_length) & (reference_matches == reference_length) & (chunks == 1)
    adjusted = statistics.copy()
    adjusted[complete, 20] = 0
    return adjusted


def _score(statistics: Stats) -> Float[np.ndarray, " pairs"]:
    """Apply the scoring formula; an empty side, or no match, scores 0."""
    lengths, function_words = statistics[:, 0:2], statistics[:, 2:4]
    # Per module: matched content words of both sides, then function words of both sides.
    by_module = statistics[:, 4:20].reshape(-1, 4, 4)
    matches = np.einsum("pmk,m->pk", by_module, MODULE_WEIGHTS)
    weighted = DELTA * matches[:, 0:2] + (1 - DELTA) * matches[:, 2:4]
    possible = DELTA * (lengths - function_words) + (1 - DELTA) * function_words
    precision, recall = _ratio(weighted, possible).T
    mean = _ratio(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
    fragmentation = _ratio(statistics[:, 20], statistics[:, 21:23].sum(axis=1) / 2)
    return mean * (1 - GAMMA * fragmentation**BETA)


def _ratio(part: Float[np.ndarray, "*any"], whole: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
