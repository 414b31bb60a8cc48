"""METEOR 1.5 without its jar: the same 23 statistics of every pair, many pairs at a time."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Int

from pipeline.evaluation.meteor.formula import Pair, Scorer, Stats, one_line
from pipeline.evaluation.meteor.matching import Material, Text, matches
from pipeline.evaluation.meteor.paraphrases import Paraphrases
from pipeline.evaluation.meteor.search import Matches, search
from pipeline.evaluation.meteor.words import Words
from pipeline.evaluation.ragged import bounds, pieces

CELLS = 300_000
"""Pairs are taken together until their tables of words by words have so many cells: some 100 MB."""


class Meteor(Scorer):
    """METEOR of (caption, reference) pairs, from statistics that are equal to its jar's to the last bit.

    What it knows of words is read in the background, half a second; meanwhile the caller can go on. An instance is for
    one thread at a time, and safe in several processes.

    Args:
        timeout_s: Java, which is asked about words it has not yet seen, is stopped when it needs longer, seconds.
        workers: threads.

    Raises:
        PipelineError: from `statistics` and all that rests on it: no Java, no METEOR, or Java failed.
    """

    def __init__(self, timeout_s: float = 600.0, workers: int = 1) -> None:
        self.workers, self.timeout_s = workers, timeout_s
        self._open()

    def _open(self) -> None:
        background = ThreadPoolExecutor(1)
        self._knowledge = background.submit(lambda: (Words(self.timeout_s), Paraphrases.open()))
        self._process = os.getpid()
        background.shutdown(wait=False)

    def _known(self) -> tuple[Words, Paraphrases]:
        """What is known of words. In a forked process the thread that was reading it does not go on: read it again."""
        if self._process != os.getpid():
            self._open()
        return self._knowledge.result()

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        """The 23 statistics of each (caption, reference); each distinct pair is worked out once."""
        if not pairs:
            return np.empty((0, 23), np.float64)
        sentences: dict[str, int] = {}
        distinct: dict[tuple[int, int], int] = {}
        numbered = [(_index(one, sentences), _index(other, sentences)) for one, other in pairs]
        rows = np.array([distinct.setdefault(pair, len(distinct)) for pair in numbered])
        caption, reference = np.array(list(distinct), np.int64).T
        material = Material.of([one_line(sentence) for sentence in sentences], *self._known())
        lengths = material.text.lengths
        blocks = (np.maximum(lengths[caption], lengths[reference]) + 63) // 64
        cells = lengths[caption] * lengths[reference] * blocks
        # Alike in length: they end their search together, and no long one makes the tables of the others wide.
        order = np.lexsort((lengths[reference], blocks))
        batches = [order[piece] for piece in pieces(cells[order], CELLS)]

        def work(batch: Int[np.ndarray, " batch"]) -> Stats:
            return _batch(material, caption[batch], reference[batch])

        if min(self.workers, len(batches)) == 1:  # a thread would cost more than a few pairs do
            found = np.concatenate([work(batch) for batch in batches])
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                found = np.concatenate(list(pool.map(work, batches)))
        every = np.empty_like(found)
        every[order] = found
        return every[rows]


def _index(sentence: str, known: dict[str, int]) -> int:
    return known.setdefault(sentence, len(known))


def _batch(material: Material, caption: Int[np.ndarray, " pairs"], reference: Int[np.ndarray, " pairs"]) -> Stats:
    possible, lengths = matches(material, caption, reference), material.text.lengths
    chosen = possible.take(search(possible, lengths[reference], lengths[caption]))
    functional = bounds(material.words.functional[material.text.words].astype(np.int64))
    return _statistics(material.text, functional, caption, reference, chosen)


def _statistics(
    text: Text,
    functional: Int[np.ndarray, " bounds"],
    caption: Int[np.ndarray, " pairs"],
    reference: Int[np.ndarray, " pairs"],
    chosen: Matches,
) -> Stats:
    """Count what was matched.

    Args:
        text: sentences.
        functional: function words of the text before each of its words.
        caption: of each pair, its index in the text.
        reference: likewise.
        chosen: the matches of all pairs, ordered by pair and place.
    """
    pairs = len(caption)
    found = np.zeros((pairs, 23))
    sides = ((caption, chosen.other, chosen.width), (reference, chosen.start, chosen.length))
    for side, (sentence, start, length) in enumerate(sides):
        found[:, side] = text.lengths[sentence]
        found[:, 2 + side] = functional[text.offsets[sentence + 1]] - functional[text.offsets[sentence]]
        begin = text.offsets[sentence][chosen.pair] + start
        function = functional[begin + length] - functional[begin]
        for kind, words in enumerate((length - function, function)):
            column = 4 + 4 * chosen.module + 2 * kind + side
            found += np.bincount(chosen.pair * 23 + column, words, pairs * 23).reshape(pairs, 23)
        found[:, 21 + side] = np.bincount(chosen.pair, length, pairs)
    joined = np.diff(chosen.pair, prepend=-1) == 0
    joined[1:] &= chosen.start[1:] == chosen.start[:-1] + chosen.length[:-1]
    joined[1:] &= chosen.other[1:] == chosen.other[:-1] + chosen.width[:-1]
    found[:, 20] = np.bincount(chosen.pair[~joined], minlength=pairs)
    return found
