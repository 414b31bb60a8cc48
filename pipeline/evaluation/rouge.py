"""ROUGE-L as the official evaluator computes it (pycocoevalcap 1.2).

Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", ACL workshop 2004.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluation.matching import PairDocument
from pipeline.evaluation.metric import DocumentScores, PairMetric
from pipeline.evaluation.ngrams import Documents, index_documents

BETA = 1.2
"""Weight of recall relative to precision."""


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
    words = [sentence.split(" ") for sentence in indexed.sentences]
    lengths = np.array([len(sentence) for sentence in words], np.int64)
    samples, references = indexed.pairs()
    captions = indexed.captions[samples]
    common = _lcs_lengths(words, captions, references)
    precision, recall = np.zeros((2, len(indexed.captions)))
    np.maximum.at(precision, samples, common / lengths[captions])
    np.maximum.at(recall, samples, common / lengths[references])
    denominator = recall + BETA**2 * precision
    numerator = (1 + BETA**2) * precision * recall
    scores = np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)
    return indexed.mean(scores[indexed.samples])


def _lcs_lengths(
    words: Sequence[Sequence[str]], captions: Int[np.ndarray, " pairs"], references: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " pairs"]:
    """Compute the length of the longest common subsequence of each pair; equal captions are adjacent.

    A row of the usual table grows by 0 or 1 from cell to cell, so it fits in the bits of one integer (0 where it
    grows), and the next row follows by one addition: Hyyro, "Bit-parallel LCS-length computation revisited", 2004.
    """
    lengths, current, positions = [], -1, dict[str, int]()
    for caption, reference in zip(captions.tolist(), references.tolist(), strict=True):
        if caption != current:
            current, positions = caption, dict.fromkeys(words[caption], 0)
            for position, word in enumerate(words[caption]):
                positions[word] |= 1 << position  # bit i is set if the word is at position i
        row = full = (1 << len(words[caption])) - 1
        for mask in filter(None, map(positions.get, words[reference])):
            hits = row & mask
            row = (row + hits) | (row - hits)
        lengths.append(len(words[caption]) - (row & full).bit_count())
    return np.array(lengths, np.int64)
