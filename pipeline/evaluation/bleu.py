"""BLEU of one to four words as the official evaluator computes it (pycocoevalcap 1.2).

Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from pipeline.evaluation.ngrams import HIGHEST, Corpora, Sample, count_ngrams, intern, shared, unite

SMALL, TINY = 1e-9, 1e-15
"""Added to what is divided by, and to what is divided: nothing is ever undefined, nor quite 0."""


def bleu(documents: Sequence[Sequence[Sample]]) -> Float[np.ndarray, "documents 4"]:
    """BLEU-1 to BLEU-4 of each document, taken as one corpus, in [0, 1]; 0 for an empty one.

    N-grams that a caption shares with its references count at most as often as in the reference that has them
    most. The brevity penalty compares the captions with the references closest in length (the shorter of two).

    Raises:
        PipelineError: a caption without any reference.
    """
    corpora = intern(documents)
    lengths, orders = count_ngrams(corpora.sentences)
    said = lengths[corpora.captions]
    matches, guesses = [], []
    for order, grams in enumerate(orders, 1):
        sets = unite(grams, corpora.set_bounds, corpora.members)
        samples, entries, counts = shared(grams, corpora.captions, sets, corpora.sets)
        clipped = grams.weights[entries] * np.minimum(grams.counts[entries], counts)
        matches.append(np.bincount(samples, clipped, len(said)))
        guesses.append(np.maximum(said - order + 1, 0))
    columns = [*matches, *guesses, said, _closest(corpora, lengths)]
    sums = [np.bincount(corpora.documents, column[corpora.samples], len(corpora.sizes)) for column in columns]
    totals = np.stack(sums, axis=1, dtype=np.float64)  # bincount of nothing is int
    return _score(totals[:, :HIGHEST], totals[:, HIGHEST : 2 * HIGHEST], totals[:, -2], totals[:, -1])


def _closest(corpora: Corpora, lengths: Int[np.ndarray, " sentences"]) -> Int[np.ndarray, " distinct"]:
    """Of each distinct sample, the length of the reference that is closest to the caption's."""
    owners, references = corpora.pairs()
    known = lengths[references]
    base = known.max(initial=0) + 1
    ranks = np.abs(known - lengths[corpora.captions[owners]]) * base + known
    closest = np.full(len(corpora.captions), np.iinfo(np.int64).max)
    np.minimum.at(closest, owners, ranks)
    return closest % base


def _score(
    matches: Float[np.ndarray, "documents 4"],
    guesses: Float[np.ndarray, "documents 4"],
    said: Float[np.ndarray, " documents"],
    known: Float[np.ndarray, " documents"],
) -> Float[np.ndarray, "documents 4"]:
    """The formula, from shared and from all n-grams of each length, and from the words of both sides."""
    means = np.cumprod((matches + TINY) / (guesses + SMALL), axis=1) ** (1 / np.arange(1, HIGHEST + 1))
    ratio = (said + TINY) / (known + SMALL)
    return means * np.exp(np.minimum(0, 1 - 1 / ratio))[:, None]
