"""CIDEr as the official evaluator computes it (pycocoevalcap 1.2): clipped, and discounted by length (CIDEr-D).

Vedantam et al., "CIDEr: Consensus-based Image Description Evaluation", CVPR 2015.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluation import ngrams as ngrams_module
from pipeline.evaluation.cider_d import SIGMA
from pipeline.evaluation.matching import PairDocument
from pipeline.evaluation.metric import DocumentScores, PairMetric
from pipeline.evaluation.ngrams import (
    MAX_ORDER,
    Documents,
    IndexedDocuments,
    NgramCounts,
    index_documents,
    shared_ngrams,
)
from pipeline.evaluation.ragged import gather_rows, offsets_of

SINGLE_PAIR = (
    "CIDEr weights an n-gram by how few of the pairs have it; in a single pair every weight is log(1 / 1) = 0, so this "
    "0 says nothing about the caption."
)
"""Why CIDEr of a corpus of one pair is 0."""


class CiderMetric(PairMetric):
    """CIDEr, the mean over the pairs of each document."""

    def score(self, documents: Sequence[PairDocument]) -> DocumentScores:
        """Score documents."""
        return {"CIDEr": cider(documents)}

    def note(self, documents: Sequence[PairDocument]) -> str | None:
        """Say how many documents score 0 because they have one pair."""
        num_single = sum(len(document) == 1 for document in documents)
        if not num_single:
            return None
        return (
            f"CIDEr is 0 in {num_single} of {len(documents)} cases (a video at a tIoU threshold with a matched "
            f"reference), whatever the captions: the video has only one pair of caption and reference. {SINGLE_PAIR}"
        )


def cider(documents: Documents) -> Float[np.ndarray, " documents"]:
    """Compute the mean CIDEr over the captions of each document, in [0, 10]; 0 for an empty one.

    The weight of an n-gram depends on its document only: log(captions / captions with a reference that has it). So a
    document of one caption scores 0.

    Raises:
        PipelineError: a caption without references.
    """
    indexed = index_documents(documents)
    return indexed.mean(_score_samples(indexed))


def cider_per_caption(documents: Documents) -> Float[np.ndarray, " samples"]:
    """Compute the CIDEr of each caption, with the n-gram weights of its document; document after document.

    Raises:
        PipelineError: a caption without references.
    """
    return _score_samples(index_documents(documents))


def _score_samples(indexed: IndexedDocuments) -> Float[np.ndarray, " samples"]:
    lengths = indexed.counts.lengths
    distinct, references = indexed.pairs()
    captions = indexed.captions[distinct]
    pair_offsets = offsets_of(np.bincount(distinct, minlength=len(indexed.captions)))
    samples, pairs = gather_rows(pair_offsets, indexed.samples)
    sides = np.stack([captions, references])
    cosines = _cosines(indexed, sides, indexed.documents[samples], pairs)
    # pycocoevalcap takes the number of bigrams for the length: the same difference, unless one side is empty.
    discounts = np.exp(-((lengths[captions] - lengths[references]) ** 2) / (2 * SIGMA**2))
    sums = np.bincount(samples, cosines * discounts[pairs], len(indexed.samples))
    return 10 * sums / np.diff(pair_offsets)[indexed.samples]


def _cosines(
    indexed: IndexedDocuments,
    sides: Int[np.ndarray, "2 pairs"],
    documents: Int[np.ndarray, " comparisons"],
    pairs: Int[np.ndarray, " comparisons"],
) -> Float[np.ndarray, " comparisons"]:
    """Compute the cosine of the TF-IDF vectors of captions and references, averaged over the orders of n-grams.

    Args:
        indexed: the documents.
        sides: caption and reference of each distinct pair.
        documents: document of each comparison, ascending.
        pairs: distinct pair of each comparison.
    """
    # The norm of a sentence within a document is computed once, whatever the number of its comparisons there.
    count = len(indexed.sentences)
    vectors, ends = np.unique(documents * count + sides[:, pairs], return_inverse=True)
    documents = np.concatenate([vectors // count, documents])
    rows = np.concatenate([vectors % count, count + pairs])
    by_document = np.argsort(documents, kind="stable")
    documents, rows = documents[by_document], rows[by_document]
    total = np.zeros(len(pairs))
    for ngrams, sets in zip(indexed.counts.of_sentences, indexed.counts.of_sets, strict=True):
        sums = np.empty(len(rows))
        sums[by_document] = _sum_terms(indexed, sets, documents, rows, *_index_terms(ngrams, sides))
        products, (norms, other_norms) = sums[len(vectors) :], np.sqrt(sums[ends])
        denominator = norms * other_norms
        total += np.divide(products, denominator, out=np.zeros_like(products), where=denominator > 0)
    return total / MAX_ORDER


def _index_terms(
    ngrams: NgramCounts, sides: Int[np.ndarray, "2 pairs"]
) -> tuple[Int[np.ndarray, " offsets"], Int[np.ndarray, " terms"], Int[np.ndarray, " terms"]]:
    """Index the terms of the TF-IDF norms and dot products: each is a factor times its n-gram's squared weight.

    Returns:
        Offsets of rows of terms: one row for the squared norm of each sentence, then one for the (clipped) dot product
        of each pair. N-gram of each term. Factor of each term.
    """
    pairs, entries, counts = shared_ngrams(ngrams, sides[0], ngrams, sides[1])
    clipped = np.minimum(ngrams.counts[entries], counts) * counts
    sizes = [np.diff(ngrams.offsets), np.bincount(pairs, minlength=sides.shape[1])]
    ids = np.concatenate([ngrams.ids, ngrams.ids[entries]])
    factors = np.concatenate([ngrams.weights * ngrams.counts**2, ngrams.weights[entries] * clipped])
    return offsets_of(np.concatenate(sizes)), ids, factors


def _sum_terms(
    indexed: IndexedDocuments,
    sets: NgramCounts,
    documents: Int[np.ndarray, " sums"],
    rows: Int[np.ndarray, " sums"],
    row_offsets: Int[np.ndarray, " offsets"],
    ids: Int[np.ndarray, " terms"],
    factors: Int[np.ndarray, " terms"],
) -> Float[np.ndarray, " sums"]:
    """Sum up rows of terms: each term is the factor times the squared IDF weight of its n-gram.

    Args:
        indexed: the documents.
        sets: n-grams of their sets of references.
        documents: document whose weights each sum uses, ascending.
        rows: row of terms of each sum.
        row_offsets: see `_index_terms`.
        ids: see `_index_terms`.
        factors: see `_index_terms`.
    """
    # An n-gram that no reference has gets the weight of one that a single reference has.
    logs = np.log(np.maximum(np.arange(indexed.sizes.max(initial=0) + 1), 1))
    log_sizes = logs[indexed.sizes]
    set_documents, set_ids, set_counts = indexed.set_occurrences()
    set_counts = set_counts.astype(np.int32)  # the table's type: adding another one is five times slower
    width = max(1, ngrams_module.MAX_CELLS // max(1, sets.size))
    table = np.zeros(sets.size * width, np.int32)
    sums = np.empty(len(rows))
    for first in range(0, len(indexed.sizes), width):
        chunk = slice(*np.searchsorted(set_documents, [first, first + width]))
        owners, entries = gather_rows(sets.offsets, set_ids[chunk])
        cells = sets.ids[entries] * width + (set_documents[chunk] - first)[owners]
        np.add.at(table, cells, set_counts[chunk][owners])
        chunk = slice(*np.searchsorted(documents, [first, first + width]))
        owners, terms = gather_rows(row_offsets, rows[chunk])
        document = documents[chunk][owners]
        weight = log_sizes[document] - logs[table[ids[terms] * width + document - first]]
        sums[chunk] = np.bincount(owners, factors[terms] * weight**2, chunk.stop - chunk.start)
        table[cells] = 0
    return sums
