"""CIDEr as the official evaluator computes it (pycocoevalcap 1.2): clipped, and discounted by length (CIDEr-D).

Vedantam et al., "CIDEr: Consensus-based Image Description Evaluation", CVPR 2015.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluation import ngrams
from pipeline.evaluation.ngrams import Corpora, Grams, Sample, expand, shared
from pipeline.evaluation.ragged import bounds

SIGMA = 6.0
"""Width of the discount for a difference in length, words."""


def cider(documents: Sequence[Sequence[Sample]]) -> Float[np.ndarray, " documents"]:
    """CIDEr of each document: the mean over its captions, in [0, 10]; 0 for an empty one.

    What an n-gram is worth follows from its document alone: log(captions / captions that have it in a reference).
    So a document of one caption scores 0.

    Raises:
        PipelineError: a caption without any reference.
    """
    corpora = ngrams.intern(documents)
    lengths, orders = ngrams.count_ngrams(corpora.sentences)
    distinct, references = corpora.pairs()
    captions = corpora.captions[distinct]
    pairs_of = bounds(np.bincount(distinct, minlength=len(corpora.captions)))
    samples, pairs = expand(pairs_of, corpora.samples)
    cosines = _cosines(corpora, orders, np.stack([captions, references]), corpora.documents[samples], pairs)
    # pycocoevalcap takes the number of bigrams for the length: the same difference, unless one side is empty.
    discounts = np.exp(-((lengths[captions] - lengths[references]) ** 2) / (2 * SIGMA**2))
    sums = np.bincount(samples, cosines * discounts[pairs], len(corpora.samples))
    return corpora.mean(10 * sums / np.diff(pairs_of)[corpora.samples])


def _cosines(
    corpora: Corpora,
    orders: Sequence[Grams],
    sides: Int[np.ndarray, "2 pairs"],
    homes: Int[np.ndarray, " compared"],
    compared: Int[np.ndarray, " compared"],
) -> Float[np.ndarray, " compared"]:
    """Cosine of captions and references by what their n-grams are worth, the mean over lengths of n-grams.

    Args:
        corpora: what the documents say.
        orders: n-grams of its sentences.
        sides: caption and reference of each distinct pair.
        homes: the documents that compare pairs, ascending.
        compared: the pair that each of these compares.
    """
    # The norm of a sentence within a document is computed once, however many sentences it is compared with there.
    count = len(corpora.sentences)
    vectors, ends = np.unique(homes * count + sides[:, compared], return_inverse=True)
    homes = np.concatenate([vectors // count, homes])
    rows = np.concatenate([vectors % count, count + compared])
    by_home = np.argsort(homes, kind="stable")
    homes, rows = homes[by_home], rows[by_home]
    total = np.zeros(len(compared))
    for grams in orders:
        sums = np.empty(len(rows))
        sums[by_home] = _worth(corpora, grams, homes, rows, *_products(grams, sides))
        products, (one, other) = sums[len(vectors) :], np.sqrt(sums[ends])
        total += np.divide(products, one * other, out=np.zeros_like(products), where=one * other > 0)
    return total / len(orders)


def _products(
    grams: Grams, sides: Int[np.ndarray, "2 pairs"]
) -> tuple[Int[np.ndarray, " bounds"], Int[np.ndarray, " terms"], Int[np.ndarray, " terms"]]:
    """What is summed, each term times its n-gram's squared worth, for norms and for products.

    Returns:
        Bounds of rows of terms, one row for the squared norm of each sentence and then one for the (clipped)
        product of each pair; n-gram and factor of each term.
    """
    pairs, entries, counts = shared(grams, sides[0], grams, sides[1])
    clipped = np.minimum(grams.counts[entries], counts) * counts
    sizes = [np.diff(grams.bounds), np.bincount(pairs, minlength=sides.shape[1])]
    ids = np.concatenate([grams.ids, grams.ids[entries]])
    factors = np.concatenate([grams.weights * grams.counts**2, grams.weights[entries] * clipped])
    return bounds(np.concatenate(sizes)), ids, factors


def _worth(
    corpora: Corpora,
    grams: Grams,
    homes: Int[np.ndarray, " chosen"],
    rows: Int[np.ndarray, " chosen"],
    row_bounds: Int[np.ndarray, " bounds"],
    ids: Int[np.ndarray, " terms"],
    factors: Int[np.ndarray, " terms"],
) -> Float[np.ndarray, " chosen"]:
    """Sums of terms, each the factor times the squared worth of its n-gram.

    Args:
        corpora: what the documents say.
        grams: n-grams of its sentences.
        homes: documents by which n-grams have their worth, ascending.
        rows: the row of terms that is summed, for each of these.
        row_bounds: see `_products`.
        ids: see `_products`.
        factors: see `_products`.
    """
    # An n-gram that no reference has is worth as much as if one had it.
    logs = np.log(np.maximum(np.arange(corpora.sizes.max(initial=0) + 1), 1))
    highest = logs[corpora.sizes]
    sets = ngrams.unite(grams, corpora.set_bounds, corpora.members)
    places, known, times = corpora.occurrences()
    times = times.astype(np.int32)  # as the table: adding another kind of number is five times slower
    width = max(1, ngrams.CELLS // max(1, grams.size))
    table = np.zeros(grams.size * width, np.int32)
    sums = np.empty(len(rows))
    for first in range(0, len(corpora.sizes), width):
        part = slice(*np.searchsorted(places, [first, first + width]))
        owners, entries = expand(sets.bounds, known[part])
        cells = sets.ids[entries] * width + (places[part] - first)[owners]
        np.add.at(table, cells, times[part][owners])
        part = slice(*np.searchsorted(homes, [first, first + width]))
        owners, terms = expand(row_bounds, rows[part])
        home = homes[part][owners]
        worth = highest[home] - logs[table[ids[terms] * width + home - first]]
        sums[part] = np.bincount(owners, factors[terms] * worth**2, part.stop - part.start)
        table[cells] = 0
    return sums
