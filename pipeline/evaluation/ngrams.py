"""Captions, references and the n-grams of both as numbers: what BLEU, ROUGE-L and CIDEr share.

Every distinct sentence, and every distinct caption with its references, is looked at once, however many
documents repeat it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from pipeline.errors import PipelineError
from pipeline.evaluation.ragged import bounds, ranges

Sample = tuple[str, str | tuple[str, ...]]
"""A caption and its reference, or its several references: tokenized, joined by single spaces, possibly empty."""

HIGHEST = 4
"""BLEU and CIDEr count n-grams of one to four words."""
CELLS = 1 << 22
"""A table that counts n-grams has 16 MB; how many documents, or pairs, it serves at a time follows from that."""


@dataclass(frozen=True)
class Corpora:
    """What documents say, by number.

    Attributes:
        sentences: the distinct ones.
        captions: of each distinct sample, its caption, by its number in `sentences`.
        sets: of each distinct sample, its set of references.
        set_bounds: where each set starts in `members`, and the end of the last.
        members: references of the sets, by their number in `sentences`.
        samples: which of the distinct samples each sample of the documents is, document after document.
        documents: the document of each of these.
        sizes: how many samples each document has.
    """

    sentences: list[str]
    captions: Int[np.ndarray, " distinct"]
    sets: Int[np.ndarray, " distinct"]
    set_bounds: Int[np.ndarray, " bounds"]
    members: Int[np.ndarray, " members"]
    samples: Int[np.ndarray, " samples"]
    documents: Int[np.ndarray, " samples"]
    sizes: Int[np.ndarray, " documents"]

    def pairs(self) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
        """Each distinct sample with each of its references: the sample, and the reference among sentences."""
        samples, places = expand(self.set_bounds, self.sets)
        return samples, self.members[places]

    def occurrences(
        self,
    ) -> tuple[Int[np.ndarray, " occurrences"], Int[np.ndarray, " occurrences"], Int[np.ndarray, " occurrences"]]:
        """The sets of references in each document: document (ascending), set, and of how many samples it is the set."""
        sets = len(self.set_bounds)
        keys, times = np.unique(self.documents * sets + self.sets[self.samples], return_counts=True)
        return keys // sets, keys % sets, times

    def mean(self, values: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " documents"]:
        """Mean over the samples of each document; 0 for a document without any."""
        return np.bincount(self.documents, values, len(self.sizes)) / np.maximum(self.sizes, 1)


@dataclass(frozen=True)
class Grams:
    """The n-grams of one length, by sentence (or by set of sentences).

    N-grams that occur once in all sentences need no telling apart: those of a sentence are one entry.

    Attributes:
        bounds: where each sentence's entries start in the arrays below, and the end of the last.
        ids: which n-gram, 0 <= id < size.
        counts: how often the sentence has it; of a set, how often the one that has it most.
        weights: how many n-grams the entry stands for.
        size: how many ids there are.
    """

    bounds: Int[np.ndarray, " bounds"]
    ids: Int[np.ndarray, " entries"]
    counts: Int[np.ndarray, " entries"]
    weights: Int[np.ndarray, " entries"]
    size: int


def intern(documents: Sequence[Sequence[Sample]]) -> Corpora:
    """Number what documents say.

    Raises:
        PipelineError: a caption without any reference.
    """
    sentence_of, set_of = _numbers(), _numbers()
    captions = np.array([sentence_of[caption] for document in documents for caption, _ in document], np.int64)
    sets = np.array([set_of[references] for document in documents for _, references in document], np.int64)
    several = [(references,) if isinstance(references, str) else references for references in set_of]
    if not all(several):
        raise PipelineError(_without_references(documents))
    members = np.array([sentence_of[sentence] for references in several for sentence in references], np.int64)
    distinct, samples = np.unique(captions * len(several) + sets, return_inverse=True)
    sizes = np.array([len(document) for document in documents], np.int64)
    return Corpora(
        sentences=list(sentence_of),
        captions=distinct // len(several),
        sets=distinct % len(several),
        set_bounds=bounds(np.array([len(references) for references in several], np.int64)),
        members=members,
        samples=samples,
        documents=np.repeat(np.arange(len(sizes)), sizes),
        sizes=sizes,
    )


def _numbers() -> defaultdict[Any, int]:
    """A dictionary that gives each new key the next number."""
    numbers: defaultdict[Any, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    return numbers


def _without_references(documents: Sequence[Sequence[Sample]]) -> str:
    return next(
        f"document {number}, caption {index} ({caption[:200]!r}) has no reference; give it one or leave it out"
        for number, document in enumerate(documents)
        for index, (caption, references) in enumerate(document)
        if references == ()
    )


def expand(
    bounds: Int[np.ndarray, " bounds"], chosen: Int[np.ndarray, " chosen"]
) -> tuple[Int[np.ndarray, " entries"], Int[np.ndarray, " entries"]]:
    """The entries of chosen rows, one after the other: which of the chosen has each, and its place among all."""
    sizes = bounds[chosen + 1] - bounds[chosen]
    return np.repeat(np.arange(len(chosen)), sizes), ranges(bounds[chosen], sizes)


def count_ngrams(sentences: Sequence[str]) -> tuple[Int[np.ndarray, " sentences"], list[Grams]]:
    """Number of words of each sentence, and the n-grams of 1, 2, ..., `HIGHEST` words.

    Words are what any white space parts, the no-break space of `1 1/2` included, as in pycocoevalcap.
    """
    number_of = _numbers()
    words: list[int] = []
    sizes: list[int] = []
    for sentence in sentences:
        split = sentence.split()
        words.extend(map(number_of.__getitem__, split))
        sizes.append(len(split))
    lengths = np.array(sizes, np.int64)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(words))
    first = second = np.array(words, np.int64)
    orders = []
    for order in range(1, HIGHEST + 1):
        grams, ids = _count(first, second, owners[places], np.maximum(lengths - order + 1, 0))
        orders.append(grams)
        at = np.full(len(words), -1)
        at[places] = ids
        # A longer n-gram can occur again only where both the shorter ones in it do.
        places = np.flatnonzero((at[:-1] >= 0) & (at[1:] >= 0) & (owners[:-1] == owners[1:]))
        first, second = at[places], at[places + 1]
    return lengths, orders


def _count(
    first: Int[np.ndarray, " places"],
    second: Int[np.ndarray, " places"],
    owners: Int[np.ndarray, " places"],
    totals: Int[np.ndarray, " sentences"],
) -> tuple[Grams, Int[np.ndarray, " places"]]:
    """Count the n-grams of sentences.

    Args:
        first: at each place where an n-gram starts that may occur again: what tells it from others, together
            with `second`.
        second: see `first`.
        owners: sentence of each place, ascending.
        totals: number of n-grams of each sentence, repetitions and n-grams at other places included.

    Returns:
        The n-grams; the id of each place, -1 if it occurs nowhere else.
    """
    by_gram = np.lexsort((_narrow(second), _narrow(first)))  # a stable order: each n-gram's places ascend
    new = _changes(first[by_gram]) | _changes(second[by_gram])
    kind = new.cumsum() - 1
    again = np.bincount(kind)[kind] > 1
    by_gram, new = by_gram[again], new[again]
    ids, repeats = np.full(len(first), -1), np.zeros(len(first), np.int64)
    ids[by_gram] = new.cumsum() - 1
    heads = np.flatnonzero(new | _changes(owners[by_gram]))
    repeats[by_gram[heads]] = np.diff(heads, append=len(by_gram))

    entries = np.flatnonzero(repeats)
    size, own = int(new.sum()), np.bincount(owners[entries], minlength=len(totals))
    once = totals - np.bincount(owners[by_gram], minlength=len(totals))
    some = np.flatnonzero(once)
    at = bounds(own)[some]
    grams = Grams(
        bounds=bounds(own + (once > 0)),
        ids=np.insert(ids[entries], at, size + np.arange(len(some))),
        counts=np.insert(repeats[entries], at, 1),
        weights=np.insert(np.ones(len(entries), np.int64), at, once[some]),
        size=size + len(some),
    )
    return grams, ids


def _narrow(numbers: Int[np.ndarray, " n"]) -> UInt[np.ndarray, " n"]:
    """The same numbers, not negative, in as few bits as they need: short ones are sorted many times faster."""
    return numbers.astype(np.min_scalar_type(numbers.max(initial=0)))


def _changes(numbers: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Where a number, none of which is negative, differs from the one before; so does the first."""
    return np.diff(numbers, prepend=-1) != 0


def unite(grams: Grams, set_bounds: Int[np.ndarray, " bounds"], members: Int[np.ndarray, " members"]) -> Grams:
    """The n-grams of sets of sentences; each counts as often as in the sentence that has it most."""
    owners, places = expand(grams.bounds, members)
    ids, counts, weights = grams.ids[places], grams.counts[places], grams.weights[places]
    if len(members) >= len(set_bounds):  # else no set has two
        sets = np.repeat(np.arange(len(set_bounds) - 1), np.diff(set_bounds))[owners]
        keys = sets * grams.size + ids
        order = np.lexsort((-counts, keys))
        order = order[_changes(keys[order])]
        owners, ids, counts, weights = sets[order], ids[order], counts[order], weights[order]
    sizes = np.bincount(owners, minlength=len(set_bounds) - 1)
    return Grams(bounds(sizes), ids, counts, weights, grams.size)


def shared(
    one: Grams, chosen: Int[np.ndarray, " pairs"], other: Grams, others: Int[np.ndarray, " pairs"]
) -> tuple[Int[np.ndarray, " hits"], Int[np.ndarray, " hits"], Int[np.ndarray, " hits"]]:
    """N-grams that both sides of pairs have.

    Args:
        one: n-grams of the first sides.
        chosen: the first side of each pair, a row of `one`.
        other: n-grams of the second sides, with the same ids.
        others: the second side of each pair, a row of `other`.

    Returns:
        For each n-gram that a pair shares: the pair (ascending), the entry of `one`, and the count in `other`.
    """
    width = max(1, CELLS // max(one.size, 1))
    table = np.zeros(one.size * width, np.int32)
    hits = [np.empty((3, 0), np.int64)]
    for start in range(0, len(chosen), width):
        owners, places = expand(other.bounds, others[start : start + width])
        cells = other.ids[places] * width + owners
        table[cells] = other.counts[places]
        owners, places = expand(one.bounds, chosen[start : start + width])
        found = table[one.ids[places] * width + owners]
        hit = np.flatnonzero(found)
        hits.append(np.array([owners[hit] + start, places[hit], found[hit]]))
        table[cells] = 0
    pairs, entries, counts = np.concatenate(hits, axis=1)
    return pairs, entries, counts
