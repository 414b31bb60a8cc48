"""CIDEr-D with the document frequencies of a fixed corpus, as a reward of self-critical training.

The evaluator's `cider` takes document frequencies from the captions that it scores together, so the score of a caption
depends on the others. A reward must not. Vedantam et al., CVPR 2015; document frequencies of the training captions as
in self-critical.pytorch, which counts an n-gram that no sentence has as if one sentence had it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from pipeline.evaluation.meteor.formula import Pair
from pipeline.evaluation.ngrams import MAX_ORDER

SIGMA = 6.0
"""Width of the discount for a difference in length, words."""

TfIdf = tuple[list[dict[str, float]], list[float], int]
"""TF-IDF weight of each n-gram of a sentence, for n = 1 to 4; norm of each of these vectors; number of words."""


class CiderD:
    """Computes the CIDEr-D of single pairs.

    Args:
        corpus: sentences, tokens separated by spaces; each counts as one document.
    """

    def __init__(self, corpus: Iterable[str]) -> None:
        num_documents, frequencies = 0, Counter[str]()
        for sentence in corpus:
            num_documents += 1
            for counts in _count_ngrams(sentence):
                frequencies.update(counts.keys())
        self._log_num_documents = math.log(max(num_documents, 1))
        # N-grams of one sentence have the weight of unknown ones. Most n-grams are such, and they are not stored.
        self._log_frequencies = {ngram: math.log(count) for ngram, count in frequencies.items() if count > 1}

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """Compute the CIDEr-D of each (caption, reference), in [0, 10]; 0 where either side is empty."""
        return [self._score(self._tf_idf(caption), self._tf_idf(reference)) for caption, reference in pairs]

    def _tf_idf(self, sentence: str) -> TfIdf:
        weights = [
            {
                ngram: count * (self._log_num_documents - self._log_frequencies.get(ngram, 0.0))
                for ngram, count in counts.items()
            }
            for counts in _count_ngrams(sentence)
        ]
        norms = [math.sqrt(sum(weight**2 for weight in vector.values())) for vector in weights]
        return weights, norms, len(sentence.split())

    def _score(self, caption: TfIdf, reference: TfIdf) -> float:
        total = 0.0
        for vector, target, norm, target_norm in zip(caption[0], reference[0], caption[1], reference[1], strict=True):
            if norm and target_norm:
                # Clipped: repeating an n-gram beyond its count in the reference adds nothing.
                product = sum(
                    min(weight, target[ngram]) * target[ngram] for ngram, weight in vector.items() if ngram in target
                )
                total += product / (norm * target_norm)
        return 10 * total / MAX_ORDER * math.exp(-((caption[2] - reference[2]) ** 2) / (2 * SIGMA**2))


def _count_ngrams(sentence: str) -> list[Counter[str]]:
    """Count the n-grams of a sentence, for n = 1 to 4."""
    words = sentence.split()
    return [
        Counter(" ".join(words[start : start + order]) for start in range(len(words) - order + 1))
        for order in range(1, MAX_ORDER + 1)
    ]
