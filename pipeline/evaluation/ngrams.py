"""Documents and their n-grams as integer arrays: what BLEU, ROUGE-L and CIDEr share.

Every distinct sentence, and every distinct caption with its references, is processed once, whatever the number of
documents that repeat it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from pipeline.errors import PipelineError
from pipeline.evaluation.ragged import gather_rows, offsets_of
from pipeline.evaluation.tokenized_text import TokenizedText, id_dictionary

Sample = tuple[str, str | tuple[str, ...]]
"""A caption and its reference, or its several references: tokenized, joined by single spaces, possibly empty."""

MAX_ORDER = 4
"""BLEU and CIDEr count n-grams of one to four words."""
MAX_CELLS = 1 << 22
"""Cells of a table of n-gram counts: 16 MB. The number of documents, or pairs, per table follows from it."""


@dataclass(frozen=True)
class IndexedDocuments:
    """Documents in which sentences, samples and sets of references are indices.

    Attributes:
        sentences: distinct sentences.
        captions: caption of each distinct sample, index into `sentences`.
        sets: set of references of each distinct sample.
        set_offsets: start of each set in `set_members`, and the end of the last.
        set_members: references of the sets, index into `sentences`.
        samples: each sample of the documents, index into the distinct samples; document after document.
        documents: document of each of these samples.
        sizes: number of samples of each document.
        counts: n-grams of the sentences and of the sets, counted when first asked for.
    """

    sentences: list[str]
    captions: Int[np.ndarray, " distinct"]
    sets: Int[np.ndarray, " distinct"]
    set_offsets: Int[np.ndarray, " offsets"]
    set_members: Int[np.ndarray, " members"]
    samples: Int[np.ndarray, " samples"]
    documents: Int[np.ndarray, " samples"]
    sizes: Int[np.ndarray, " documents"]
    counts: "SharedCounts"

    def split(self) -> "IndexedDocuments":
        """Make a document of each sample; n-grams are not counted again."""
        num_samples = len(self.samples)
        return replace(self, documents=np.arange(num_samples), sizes=np.ones(num_samples, np.int64))

    def pairs(self) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
        """Return each distinct sample with each of its references: sample, and index of the reference's sentence."""
        samples, positions = gather_rows(self.set_offsets, self.sets)
        return samples, self.set_members[positions]

    def set_occurrences(
        self,
    ) -> tuple[Int[np.ndarray, " occurrences"], Int[np.ndarray, " occurrences"], Int[np.ndarray, " occurrences"]]:
        """Return the sets of references of each document: document (ascending), set, number of samples with the set."""
        num_sets = len(self.set_offsets)
        keys, counts = np.unique(self.documents * num_sets + self.sets[self.samples], return_counts=True)
        return keys // num_sets, keys % num_sets, counts

    def mean(self, values: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " documents"]:
        """Compute the mean over the samples of each document; 0 for a document without samples."""
        return np.bincount(self.documents, values, len(self.sizes)) / np.maximum(self.sizes, 1)


@dataclass(frozen=True)
class NgramCounts:
    """Counts of the n-grams of one order, by sentence or by set of sentences.

    N-grams that occur once in all sentences cannot match anything: those of a sentence share one entry.

    Attributes:
        offsets: start of each sentence's entries in the arrays below, and the end of the last.
        ids: n-gram of each entry, 0 <= id < size.
        counts: how often the sentence has the n-gram; of a set, the maximum over its sentences.
        weights: number of n-grams that the entry stands for.
        size: number of ids.
    """

    offsets: Int[np.ndarray, " offsets"]
    ids: Int[np.ndarray, " entries"]
    counts: Int[np.ndarray, " entries"]
    weights: Int[np.ndarray, " entries"]
    size: int


class SharedCounts:
    """N-grams of sentences and of sets of sentences, counted once for all metrics.

    Args:
        sentences: the sentences.
        set_offsets: start of each set in `set_members`, and the end of the last.
        set_members: sentences of the sets, indices.
    """

    def __init__(
        self,
        sentences: Sequence[str],
        set_offsets: Int[np.ndarray, " offsets"],
        set_members: Int[np.ndarray, " members"],
    ) -> None:
        self._sentences, self._set_offsets, self._set_members = sentences, set_offsets, set_members

    @cached_property
    def _counts(self) -> tuple[Int[np.ndarray, " sentences"], list[NgramCounts]]:
        return count_ngrams(self._sentences)

    @property
    def lengths(self) -> Int[np.ndarray, " sentences"]:
        """Number of words of each sentence."""
        return self._counts[0]

    @property
    def of_sentences(self) -> list[NgramCounts]:
        """N-grams of the sentences, by order."""
        return self._counts[1]

    @cached_property
    def of_sets(self) -> list[NgramCounts]:
        """N-grams of the sets, by order."""
        return [merge_reference_sets(ngrams, self._set_offsets, self._set_members) for ngrams in self.of_sentences]


Documents = Sequence[Sequence[Sample]] | IndexedDocuments
"""Documents, each a list of samples; indexed or not."""


def index_documents(documents: Documents) -> IndexedDocuments:
    """Replace the sentences, samples and reference sets of documents by indices, unless that is done already.

    Raises:
        PipelineError: a caption without references; names the document and the caption.
    """
    if isinstance(documents, IndexedDocuments):
        return documents
    sentence_ids, set_ids = id_dictionary(), id_dictionary()
    captions = np.array([sentence_ids[caption] for document in documents for caption, _ in document], np.int64)
    sets = np.array([set_ids[references] for document in documents for _, references in document], np.int64)
    reference_sets = [(references,) if isinstance(references, str) else references for references in set_ids]
    if not all(reference_sets):
        raise PipelineError(_describe_empty_set(documents))
    members = np.array([sentence_ids[sentence] for references in reference_sets for sentence in references], np.int64)
    distinct, samples = np.unique(captions * len(reference_sets) + sets, return_inverse=True)
    sizes = np.array([len(document) for document in documents], np.int64)
    sentences = list(sentence_ids)
    set_offsets = offsets_of(np.array([len(references) for references in reference_sets], np.int64))
    return IndexedDocuments(
        sentences=sentences,
        captions=distinct // len(reference_sets),
        sets=distinct % len(reference_sets),
        set_offsets=set_offsets,
        set_members=members,
        samples=samples,
        documents=np.repeat(np.arange(len(sizes)), sizes),
        sizes=sizes,
        counts=SharedCounts(sentences, set_offsets, members),
    )


def _describe_empty_set(documents: Sequence[Sequence[Sample]]) -> str:
    return next(
        f"document {number}, caption {index} ({caption[:200]!r}) has no reference; add one or remove the caption"
        for number, document in enumerate(documents)
        for index, (caption, references) in enumerate(document)
        if references == ()
    )


def count_ngrams(sentences: Sequence[str]) -> tuple[Int[np.ndarray, " sentences"], list[NgramCounts]]:
    """Return the number of words of each sentence, and the n-grams of 1, 2, ..., `MAX_ORDER` words.

    Words are separated by any white space, including the no-break space of `1 1/2`, as in pycocoevalcap.
    """
    text = TokenizedText.number_words([sentence.split() for sentence in sentences])
    lengths = text.lengths
    owners = np.repeat(np.arange(len(lengths)), lengths)
    positions = np.arange(len(text.words))
    first = second = text.words
    orders = []
    for order in range(1, MAX_ORDER + 1):
        ngrams, ids = _count(first, second, owners[positions], np.maximum(lengths - order + 1, 0))
        orders.append(ngrams)
        id_at = np.full(len(text.words), -1)
        id_at[positions] = ids
        # A longer n-gram can occur again only where both of its shorter n-grams do.
        positions = np.flatnonzero((id_at[:-1] >= 0) & (id_at[1:] >= 0) & (owners[:-1] == owners[1:]))
        first, second = id_at[positions], id_at[positions + 1]
    return lengths, orders


def _count(
    first: Int[np.ndarray, " positions"],
    second: Int[np.ndarray, " positions"],
    owners: Int[np.ndarray, " positions"],
    totals: Int[np.ndarray, " sentences"],
) -> tuple[NgramCounts, Int[np.ndarray, " positions"]]:
    """Count the n-grams of sentences.

    Args:
        first: id of the first shorter n-gram, at each position of an n-gram that may occur again.
        second: id of the second shorter n-gram; both together identify the n-gram.
        owners: sentence of each position, ascending.
        totals: number of n-grams of each sentence, with repetitions and n-grams at other positions.

    Returns:
        The n-grams; the id at each position, -1 if the n-gram occurs nowhere else.
    """
    by_ngram = np.lexsort((_narrow(second), _narrow(first)))  # stable: the positions of each n-gram ascend
    is_new = _changes(first[by_ngram]) | _changes(second[by_ngram])
    kind = is_new.cumsum() - 1
    repeated = np.bincount(kind)[kind] > 1
    by_ngram, is_new = by_ngram[repeated], is_new[repeated]
    ids, counts = np.full(len(first), -1), np.zeros(len(first), np.int64)
    ids[by_ngram] = is_new.cumsum() - 1
    heads = np.flatnonzero(is_new | _changes(owners[by_ngram]))
    counts[by_ngram[heads]] = np.diff(heads, append=len(by_ngram))

    entries = np.flatnonzero(counts)
    size, num_entries = int(is_new.sum()), np.bincount(owners[entries], minlength=len(totals))
    num_unique = totals - np.bincount(owners[by_ngram], minlength=len(totals))
    with_unique = np.flatnonzero(num_unique)
    insert_at = offsets_of(num_entries)[with_unique]
    ngrams = NgramCounts(
        offsets=offsets_of(num_entries + (num_unique > 0)),
        ids=np.insert(ids[entries], insert_at, size + np.arange(len(with_unique))),
        counts=np.insert(counts[entries], insert_at, 1),
        weights=np.insert(np.ones(len(entries), np.int64), insert_at, num_unique[with_unique]),
        size=size + len(with_unique),
    )
    return ngrams, ids


def _narrow(values: Int[np.ndarray, " n"]) -> UInt[np.ndarray, " n"]:
    """Cast non-negative integers to the smallest type that holds them: short ones sort many times faster."""
    return values.astype(np.min_scalar_type(values.max(initial=0)))


def _changes(values: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Mark the non-negative integers that differ from the one before; the first one does."""
    return np.diff(values, prepend=-1) != 0


def merge_reference_sets(
    ngrams: NgramCounts, set_offsets: Int[np.ndarray, " offsets"], members: Int[np.ndarray, " members"]
) -> NgramCounts:
    """Merge the n-grams of the sentences of each set; the count of an n-gram is its maximum over the sentences."""
    owners, positions = gather_rows(ngrams.offsets, members)
    sets = np.repeat(np.arange(len(set_offsets) - 1), np.diff(set_offsets))[owners]
    ids, counts = ngrams.ids[positions], ngrams.counts[positions]
    if len(members) >= len(set_offsets):  # else no set has two members
        # One number for set, n-gram and count, the highest count first: numbers sort many times faster than rows.
        num_bits = int(counts.max(initial=0)).bit_length()
        highest = (1 << num_bits) - 1
        codes = np.sort(((sets * ngrams.size + ids) << num_bits) | (highest - counts))
        codes = codes[_changes(codes >> num_bits)]
        counts = highest - (codes & highest)
        sets, ids = np.divmod(codes >> num_bits, max(ngrams.size, 1))
    weights = np.zeros(ngrams.size, np.int64)
    weights[ngrams.ids] = ngrams.weights  # entries of the same n-gram have the same weight
    sizes = np.bincount(sets, minlength=len(set_offsets) - 1)
    return NgramCounts(offsets_of(sizes), ids, counts, weights[ids], ngrams.size)


def shared_ngrams(
    first: NgramCounts,
    first_rows: Int[np.ndarray, " pairs"],
    second: NgramCounts,
    second_rows: Int[np.ndarray, " pairs"],
) -> tuple[Int[np.ndarray, " hits"], Int[np.ndarray, " hits"], Int[np.ndarray, " hits"]]:
    """Find the n-grams that both sides of pairs have.

    Args:
        first: n-grams of the first sides.
        first_rows: first side of each pair, a row of `first`.
        second: n-grams of the second sides, with the same ids.
        second_rows: second side of each pair, a row of `second`.

    Returns:
        For each n-gram that a pair shares: the pair (ascending), the entry of `first` (ascending within a pair), and
        the count in `second`.
    """
    # A row of the first side is written to the table once, for all its pairs.
    rows, row = np.unique(first_rows, return_inverse=True)
    by_row = np.argsort(row, kind="stable")
    bounds = offsets_of(np.bincount(row, minlength=len(rows)))
    width = max(1, MAX_CELLS // max(first.size, 1))
    table = np.zeros(first.size * width, np.int32)
    hits = [np.empty((3, 0), np.int64)]
    for start in range(0, len(rows), width):
        owners, entries = gather_rows(first.offsets, rows[start : start + width])
        cells = first.ids[entries] * width + owners
        table[cells] = entries + 1
        pairs = by_row[bounds[start] : bounds[min(start + width, len(rows))]]
        owners, others = gather_rows(second.offsets, second_rows[pairs])
        entries = table[second.ids[others] * width + (row[pairs] - start)[owners]]
        hit = np.flatnonzero(entries)
        hits.append(np.array([pairs[owners[hit]], entries[hit] - 1, second.counts[others[hit]]]))
        table[cells] = 0
    pairs, entries, counts = np.concatenate(hits, axis=1)
    order = np.argsort(pairs * len(first.ids) + entries, kind="stable")
    return pairs[order], entries[order], counts[order]
