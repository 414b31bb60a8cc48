"""METEOR of exact matches, which needs no Java."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pipeline.evaluation.meteor.formula import MeteorScorer, Pair, Stats


class ExactMeteor(MeteorScorer):
    """METEOR of exact matches only, all words being content words: needs no Java."""

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        statistics = np.zeros((len(pairs), 23))
        for row, (caption, reference) in enumerate(pairs):
            words, reference_words = caption.split(), reference.split()
            places = [
                reference_words.index(word) if word in reference_words and words.index(word) == at else -9
                for at, word in enumerate(words)
            ]
            matched = sum(place >= 0 for place in places)
            chunks = sum(place >= 0 and place != before + 1 for before, place in pairwise([-9, *places]))
            statistics[row, [0, 1, 4, 5, 20, 21, 22]] = (
                len(words),
                len(reference_words),
                matched,
                matched,
                chunks,
                matched,
                matched,
            )
        return statistics
