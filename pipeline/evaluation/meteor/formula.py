"""METEOR's scores from its statistics: of one pair, and of a set of pairs taken as one corpus."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
from jaxtyping import Float

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""English defaults of METEOR 1.5: weight of recall, shape and weight of the fragmentation penalty, weight of
content words against function words."""
MODULES = np.array([1.0, 0.6, 0.8, 0.6])
"""What a match is worth: exact, stem, synonym, paraphrase."""

_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")

S = TypeVar("S", bound="Scorer")

Pair = tuple[str, str]
"""A caption and its reference, tokenized: lower case, joined by spaces."""
Stats = Float[np.ndarray, "pairs 23"]
"""Lengths of caption and reference; how many of those are function words (caption, reference); for each of
the four modules the matched content words (caption, reference) and function words (caption, reference);
chunks; all matched words of caption and reference."""


def scores(statistics: Stats) -> Float[np.ndarray, " pairs"]:
    """METEOR of each pair, in [0, 1]."""
    return _score(_whole(statistics))


def aggregate(statistics: Stats) -> float:
    """METEOR of a set of pairs as one corpus: the score of the summed statistics; 0 for no pairs."""
    return float(_score(_whole(statistics).sum(axis=0, keepdims=True))[0])


class Scorer(ABC):
    """Whoever counts the 23 statistics of pairs can score them. Use as a context manager, or call `close`."""

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  # most have nothing to give back
        """Give back what is held."""

    @abstractmethod
    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        """The 23 statistics of each (caption, reference)."""

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """METEOR of each (caption, reference), in [0, 1]; 0 where either side is empty."""
        return [float(value) for value in scores(self.statistics(pairs))]

    def aggregate(self, documents: Sequence[Sequence[Pair]]) -> Float[np.ndarray, " documents"]:
        """METEOR of each document: a set of pairs taken as one corpus (not the mean of their scores)."""
        found = _whole(self.statistics([pair for document in documents for pair in document]))
        bounds = accumulate((len(document) for document in documents), initial=0)
        # One by one, not by np.add.reduceat, which would round in another order than a sum of the document alone.
        sums = [found[start:end].sum(axis=0) for start, end in pairwise(bounds)]
        return _score(np.array(sums, np.float64).reshape(-1, 23))


def one_line(text: str) -> str:
    """Text that is safe within METEOR's line protocol, and is cut into words alike by Java and by Python.

    One line, no field separator, no lone surrogates; what is a space or a control character becomes a plain space.
    """
    return _SPACES.sub(" ", text.replace("|||", "")).encode("utf-8", "replace").decode()


def _whole(statistics: Stats) -> Stats:
    """The statistics with no chunk counted for a pair that matches completely and in one piece."""
    test_length, reference_length = statistics[:, 0], statistics[:, 1]
    chunks, test_matches, reference_matches = statistics[:, 20], statistics[:, 21], statistics[:, 22]
    complete = (test_matches == test_length) & (reference_matches == reference_length) & (chunks == 1)
    whole = statistics.copy()
    whole[complete, 20] = 0
    return whole


def _score(statistics: Stats) -> Float[np.ndarray, " pairs"]:
    """The scoring formula; what cannot be divided (an empty side, no match) scores 0."""
    lengths, function_words = statistics[:, 0:2], statistics[:, 2:4]
    matches = np.einsum("pmk,m->pk", statistics[:, 4:20].reshape(-1, 4, 4), MODULES)  # module, (content, function)
    weighted = DELTA * matches[:, 0:2] + (1 - DELTA) * matches[:, 2:4]
    possible = DELTA * (lengths - function_words) + (1 - DELTA) * function_words
    precision, recall = _ratio(weighted, possible).T
    mean = _ratio(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
    fragmentation = _ratio(statistics[:, 20], statistics[:, 21:23].sum(axis=1) / 2)
    return mean * (1 - GAMMA * fragmentation**BETA)


def _ratio(part: Float[np.ndarray, "*any"], whole: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
