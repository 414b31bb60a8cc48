"""CIDEr-D with document frequencies of a corpus of its own, as self-critical training wants it.

The evaluator's `cider` takes frequencies from the captions that it scores together, so that a caption's score depends
on its company; a reward must not. Vedantam et al., CVPR 2015; with frequencies of the training captions as in
self-critical.pytorch, which count n-grams that no sentence has as if one had them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from pipeline.evaluation.cider import SIGMA
from pipeline.evaluation.meteor.formula import Pair
from pipeline.evaluation.ngrams import HIGHEST

Vector = tuple[list[dict[str, float]], list[float], int]
"""What each n-gram of a sentence weighs, for n = 1 to 4; the length of each of these vectors; words."""


class CiderD:
    """CIDEr-D of pairs, one by one.

    Args:
        corpus: sentences, tokens parted by spaces; each counts as one document.
    """

    def __init__(self, corpus: Iterable[str]) -> None:
        count, frequencies = 0, Counter[str]()
        for sentence in corpus:
            count += 1
            for grams in _grams(sentence):
                frequencies.update(grams.keys())
        self._highest = math.log(max(count, 1))
        # Those of one sentence weigh as much as unknown ones; they are most of all, and not kept.
        self._logs = {gram: math.log(times) for gram, times in frequencies.items() if times > 1}

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """CIDEr-D of each (caption, reference), in [0, 10]; 0 where either side is empty."""
        return [self._score(self._vector(caption), self._vector(reference)) for caption, reference in pairs]

    def _vector(self, sentence: str) -> Vector:
        weights = [
            {gram: count * (self._highest - self._logs.get(gram, 0.0)) for gram, count in grams.items()}
            for grams in _grams(sentence)
        ]
        return weights, [math.sqrt(sum(weight**2 for weight in grams.values())) for grams in weights], _words(sentence)

    def _score(self, caption: Vector, reference: Vector) -> float:
        total = 0.0
        for said, wanted, one, other in zip(caption[0], reference[0], caption[1], reference[1], strict=True):
            if one and other:
                # A word said too often is not praised for it.
                shared = sum(
                    min(weight, wanted[gram]) * wanted[gram] for gram, weight in said.items() if gram in wanted
                )
                total += shared / (one * other)
        return 10 * total / HIGHEST * math.exp(-((caption[2] - reference[2]) ** 2) / (2 * SIGMA**2))


def _words(sentence: str) -> int:
    return len(sentence.split())


def _grams(sentence: str) -> list[Counter[str]]:
    """N-grams of a sentence and how often it has each, for n = 1 to 4."""
    words = sentence.split()
    return [
        Counter(" ".join(words[start : start + order]) for start in range(len(words) - order + 1))
        for order in range(1, HIGHEST + 1)
    ]
