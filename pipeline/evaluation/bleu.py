"""BLEU-1 to BLEU-4 as the official evaluator computes them (pycocoevalcap 1.2).

Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluation.matching import PairDocument
from pipeline.evaluation.metric import DocumentScores, PairMetric
from pipeline.evaluation.ngrams import (
    MAX_ORDER,
    Documents,
    IndexedDocuments,
    index_documents,
    shared_ngrams,
)

SMALL, TINY = 1e-9, 1e-15
"""pycocoevalcap adds SMALL to denominators and TINY to numerators: no ratio is undefined, and none is exactly 0."""


class BleuMetric(PairMetric):
    """BLEU-1 to BLEU-4 of the pairs of each document, taken as one corpus."""

    def score(self, documents: Sequence[PairDocument]) -> DocumentScores:
        """Score documents."""
        return {f"Bleu_{order}": values for order, values in enumerate(bleu(documents).T, 1)}


def bleu(documents: Documents) -> Float[np.ndarray, "documents 4"]:
    """Compute BLEU-1 to BLEU-4 of each document, taken as one corpus, in [0, 1]; 0 for an empty one.

    An n-gram of a caption counts at most as often as in the reference that has it most often. The brevity penalty
    compares each caption with the reference closest in length, the shorter one of two.

    Raises:
        PipelineError: a caption without references.
    """
    indexed = index_documents(documents)
    lengths = indexed.counts.lengths
    caption_lengths = lengths[indexed.captions]
    matches, totals = [], []
    by_order = zip(indexed.counts.of_sentences, indexed.counts.of_sets, strict=True)
    for order, (ngrams, sets) in enumerate(by_order, 1):
        samples, entries, counts = shared_ngrams(ngrams, indexed.captions, sets, indexed.sets)
        clipped = ngrams.weights[entries] * np.minimum(ngrams.counts[entries], counts)
        matches.append(np.bincount(samples, clipped, len(caption_lengths)))
        totals.append(np.maximum(caption_lengths - order + 1, 0))
    columns = [*matches, *totals, caption_lengths, _closest_lengths(indexed, lengths)]
    sums = [np.bincount(indexed.documents, column[indexed.samples], len(indexed.sizes)) for column in columns]
    stacked = np.stack(sums, axis=1, dtype=np.float64)  # bincount of nothing is int
    return _score(stacked[:, :MAX_ORDER], stacked[:, MAX_ORDER : 2 * MAX_ORDER], stacked[:, -2], stacked[:, -1])


def _closest_lengths(indexed: IndexedDocuments, lengths: Int[np.ndarray, " sentences"]) -> Int[np.ndarray, " distinct"]:
    """Find, for each distinct sample, the length of the reference that is closest to the caption's."""
    samples, references = indexed.pairs()
    reference_lengths = lengths[references]
    base = reference_lengths.max(initial=0) + 1
    ranks = np.abs(reference_lengths - lengths[indexed.captions[samples]]) * base + reference_lengths
    closest = np.full(len(indexed.captions), np.iinfo(np.int64).max)
    np.minimum.at(closest, samples, ranks)
    return closest % base


def _score(
    matches: Float[np.ndarray, "documents 4"],
    totals: Float[np.ndarray, "documents 4"],
    caption_words: Float[np.ndarray, " documents"],
    reference_words: Float[np.ndarray, " documents"],
) -> Float[np.ndarray, "documents 4"]:
    """Apply BLEU's formula to matched and all n-grams of each order, and to the words of both sides."""
    means = np.cumprod((matches + TINY) / (totals + SMALL), axis=1) ** (1 / np.arange(1, MAX_ORDER + 1))
    ratio = (caption_words + TINY) / (reference_words + SMALL)
    return means * np.exp(np.minimum(0, 1 - 1 / ratio))[:, None]
