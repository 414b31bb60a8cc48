"""ROUGE-L as the official evaluator computes it (pycocoevalcap 1.2).

Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", ACL workshop 2004.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt64

from pipeline.evaluation.matching import PairDocument
from pipeline.evaluation.metric import DocumentScores, PairMetric
from pipeline.evaluation.ngrams import Documents, index_documents
from pipeline.evaluation.ragged import gather_rows
from pipeline.evaluation.tokenized_text import TokenizedText

BETA = 1.2
"""Weight of recall relative to precision."""
WORD_BITS = 64
"""Bits of the integers that hold the rows of many pairs; longer captions are compared one by one."""
MAX_CELLS = 1 << 20
"""Cells of a table of positions of words in captions: 8 MB, which fits in the processor's cache."""


class RougeMetric(PairMetric):
    """ROUGE-L, the mean over the pairs of each document."""

    def score(self, documents: Sequence[PairDocument]) -> DocumentScores:
        """Score documents."""
        return {"ROUGE_L": rouge_l(documents)}


def rouge_l(documents: Documents) -> Float[np.ndarray, " documents"]:
    """Compute the mean ROUGE-L over the captions of each document, in [0, 1]; 0 for an empty one.

    Of several references, the best precision and the best recall count, independently of one another. Words are
    separated by single spaces: an empty sentence is one empty word, so two empty sentences score 1, and one scores 0
    with any other.

    Raises:
        PipelineError: a caption without references.
    """
    indexed = index_documents(documents)
    text = TokenizedText.number_words([sentence.split(" ") for sentence in indexed.sentences])
    lengths = text.lengths
    samples, references = indexed.pairs()
    captions = indexed.captions[samples]
    common = _lcs_lengths(text, captions, references)
    precision, recall = np.zeros((2, len(indexed.captions)))
    np.maximum.at(precision, samples, common / lengths[captions])
    np.maximum.at(recall, samples, common / lengths[references])
    denominator = recall + BETA**2 * precision
    numerator = (1 + BETA**2) * precision * recall
    scores = np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)
    return indexed.mean(scores[indexed.samples])


def _lcs_lengths(
    text: TokenizedText, captions: Int[np.ndarray, " pairs"], references: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " pairs"]:
    """Compute the length of the longest common subsequence of each pair; the captions ascend.

    A row of the usual table grows by 0 or 1 from cell to cell, so it fits in the bits of one integer (0 where it
    grows), and the next row follows by one addition: Hyyro, "Bit-parallel LCS-length computation revisited", 2004.
    """
    common = np.empty(len(captions), np.int64)
    is_long = text.lengths[captions] > WORD_BITS
    for pair in np.flatnonzero(is_long).tolist():
        common[pair] = _lcs_length(text.sentence(int(captions[pair])), text.sentence(int(references[pair])))
    short = np.flatnonzero(~is_long)
    distinct, columns = np.unique(captions[short], return_inverse=True)
    num_words = int(text.words.max(initial=0)) + 1
    width = max(1, MAX_CELLS // num_words)
    masks = np.zeros((num_words, width), np.uint64)
    for first in range(0, len(distinct), width):
        owners, places = gather_rows(text.offsets, distinct[first : first + width])
        positions = places - text.offsets[distinct[first + owners]]
        cells = text.words[places], owners
        np.bitwise_or.at(masks, cells, np.uint64(1) << positions.astype(np.uint64))
        chunk = slice(*np.searchsorted(columns, [first, first + width]))
        pairs = short[chunk]
        common[pairs] = np.bitwise_count(~_last_rows(text, masks, columns[chunk] - first, references[pairs]))
        masks[cells] = 0
    return common


def _last_rows(
    text: TokenizedText,
    masks: UInt64[np.ndarray, "words width"],
    columns: Int[np.ndarray, " pairs"],
    references: Int[np.ndarray, " pairs"],
) -> UInt64[np.ndarray, " pairs"]:
    """Compute the last row of the table of each pair, for captions of at most `WORD_BITS` words.

    Args:
        text: the sentences.
        masks: bit i is set if the word of the row is at position i of the caption of the column.
        columns: column of each pair's caption.
        references: sentence of each pair's reference.
    """
    lengths = text.lengths[references]
    order = np.argsort(-lengths)  # the pairs that have a word at a position are the first ones
    columns, starts = columns[order], text.offsets[references[order]]
    num_longer = len(order) - np.cumsum(np.bincount(lengths))
    rows = np.full(len(order), ~np.uint64(0))
    for position, count in enumerate(num_longer[:-1].tolist()):
        row = rows[:count]
        hits = row & masks[text.words[starts[:count] + position], columns[:count]]
        rows[:count] = (row + hits) | (row - hits)
    in_order = np.empty_like(rows)
    in_order[order] = rows
    return in_order


def _lcs_length(caption: Sequence[int], reference: Sequence[int]) -> int:
    """Compute the length of the longest common subsequence of one pair of any length."""
    positions = dict.fromkeys(caption, 0)
    for position, word in enumerate(caption):
        positions[word] |= 1 << position
    row = full = (1 << len(caption)) - 1
    for mask in filter(None, map(positions.get, reference)):
        hits = row & mask
        row = (row + hits) | (row - hits)
    return len(caption) - (row & full).bit_count()
