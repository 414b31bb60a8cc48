"""METEOR 1.5 without its jar: the same 23 statistics of every pair, for many pairs at a time."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
from jaxtyping import Int

from pipeline.evaluation.meteor.alignment import Matches, select_matches
from pipeline.evaluation.meteor.formula import NUM_STATISTICS, MeteorScorer, Pair, Stats, sanitize
from pipeline.evaluation.meteor.matchers import Sentences, find_matches
from pipeline.evaluation.meteor.paraphrases import ParaphraseTable
from pipeline.evaluation.meteor.words import WordKnowledge
from pipeline.evaluation.ragged import chunk_by_weight, offsets_of
from pipeline.evaluation.tokenized_text import TokenizedText
from pipeline.io.progress import Progress

MAX_CELLS = 300_000
"""Pairs form a batch until their tables of words by words have this many cells: about 100 MB."""


class Meteor(MeteorScorer):
    """METEOR of (caption, reference) pairs, from statistics that are equal to the jar's, to the last bit.

    The word lists are read in the background, in half a second, while the caller continues. An instance is not
    thread-safe; a forked process may use its copy.

    Args:
        timeout_s: Java, which computes stems and normal forms of new words, is stopped when it needs longer [s].
        workers: number of threads.

    Raises:
        PipelineError: from `statistics` and the methods that use it: no Java, no METEOR, or Java failed.
    """

    def __init__(self, timeout_s: float = 600.0, workers: int = 1) -> None:
        self.workers, self.timeout_s = workers, timeout_s
        self._open()

    def _open(self) -> None:
        background = ThreadPoolExecutor(1)
        self._knowledge = background.submit(lambda: (WordKnowledge(self.timeout_s), ParaphraseTable.open()))
        self._process = os.getpid()
        background.shutdown(wait=False)

    def _word_knowledge(self) -> tuple[WordKnowledge, ParaphraseTable]:
        """Return the word lists. A forked process reads them again: the thread that was reading them is not there."""
        if self._process != os.getpid():
            self._open()
        return self._knowledge.result()

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        """Compute the 23 statistics of each (caption, reference); each distinct pair is computed once."""
        if not pairs:
            return np.empty((0, NUM_STATISTICS), np.float64)
        sentence_ids = {sentence: index for index, sentence in enumerate(dict.fromkeys(chain.from_iterable(pairs)))}
        captions, references = (np.array([sentence_ids[pair[side]] for pair in pairs]) for side in (0, 1))
        distinct, rows = np.unique(captions * len(sentence_ids) + references, return_inverse=True)
        caption_ids, reference_ids = np.divmod(distinct, len(sentence_ids))
        sentences = Sentences.look_up(sanitize(sentence_ids), np.unique(caption_ids), *self._word_knowledge())
        lengths = sentences.text.lengths
        caption_lengths, reference_lengths = lengths[caption_ids], lengths[reference_ids]
        blocks = (np.maximum(caption_lengths, reference_lengths) + 63) // 64
        cells = caption_lengths * reference_lengths * blocks
        # Batches of similar lengths: their searches end together, and no long sentence widens the others' tables.
        order = np.lexsort((reference_lengths, blocks))
        batches = [order[chunk] for chunk in chunk_by_weight(cells[order], MAX_CELLS)]

        def work(batch: Int[np.ndarray, " batch"]) -> Stats:
            return _align_batch(sentences, caption_ids[batch], reference_ids[batch])

        if min(self.workers, len(batches)) == 1:  # threads cost more than a few pairs
            statistics = _concatenate(map(work, batches), len(distinct))
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                statistics = _concatenate(pool.map(work, batches), len(distinct))
        in_order = np.empty_like(statistics)
        in_order[order] = statistics
        return in_order[rows]


def _concatenate(parts: Iterable[Stats], num_pairs: int) -> Stats:
    """Concatenate the statistics of batches as they are computed, and report the progress."""
    progress, statistics = Progress("METEOR pairs", num_pairs), []
    for part in parts:
        statistics.append(part)
        progress.step(len(part))
    return np.concatenate(statistics)


def _align_batch(
    sentences: Sentences, caption: Int[np.ndarray, " pairs"], reference: Int[np.ndarray, " pairs"]
) -> Stats:
    """Align a batch of pairs and count its statistics."""
    matches, lengths = find_matches(sentences, caption, reference), sentences.text.lengths
    selected = matches.take(select_matches(matches, lengths[reference], lengths[caption]))
    num_function_words = offsets_of(sentences.is_function_word.astype(np.int64))
    return _count_statistics(sentences.text, num_function_words, caption, reference, selected)


def _count_statistics(
    text: TokenizedText,
    num_function_words: Int[np.ndarray, " offsets"],
    caption: Int[np.ndarray, " pairs"],
    reference: Int[np.ndarray, " pairs"],
    matches: Matches,
) -> Stats:
    """Count the statistics of pairs.

    Args:
        text: sentences.
        num_function_words: number of function words of the text before each of its words.
        caption: index of each pair's caption in the text.
        reference: index of each pair's reference in the text.
        matches: selected matches of all pairs, ordered by pair and position.
    """
    num_pairs = len(caption)
    statistics = np.zeros((num_pairs, NUM_STATISTICS))
    sides = (
        (caption, matches.caption_start, matches.caption_length),
        (reference, matches.reference_start, matches.reference_length),
    )
    for side, (sentence, start, length) in enumerate(sides):
        statistics[:, side] = text.lengths[sentence]
        statistics[:, 2 + side] = (
            num_function_words[text.offsets[sentence + 1]] - num_function_words[text.offsets[sentence]]
        )
        begin = text.offsets[sentence][matches.pair] + start
        function_words = num_function_words[begin + length] - num_function_words[begin]
        for kind, words in enumerate((length - function_words, function_words)):
            column = 4 + 4 * matches.module + 2 * kind + side
            cells = matches.pair * NUM_STATISTICS + column
            statistics += np.bincount(cells, words, num_pairs * NUM_STATISTICS).reshape(num_pairs, NUM_STATISTICS)
        statistics[:, 21 + side] = np.bincount(matches.pair, length, num_pairs)
    reference_end = matches.reference_start + matches.reference_length
    caption_end = matches.caption_start + matches.caption_length
    continues_chunk = np.diff(matches.pair, prepend=-1) == 0
    continues_chunk[1:] &= matches.reference_start[1:] == reference_end[:-1]
    continues_chunk[1:] &= matches.caption_start[1:] == caption_end[:-1]
    statistics[:, 20] = np.bincount(matches.pair[~continues_chunk], minlength=num_pairs)
    return statistics
