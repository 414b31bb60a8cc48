"""All that METEOR may match in a pair: equal words, stems, synonyms, and paraphrases of up to seven words.

Denkowski and Lavie 2014, section 2.1. Done for many pairs at once, in arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from pipeline.evaluation.meteor.paraphrases import LONGEST, Hashes, Paraphrases, longer
from pipeline.evaluation.meteor.search import Matches
from pipeline.evaluation.meteor.words import Words
from pipeline.evaluation.ragged import Indices, bounds, grid, ranges


@dataclass(frozen=True)
class Text:
    """Sentences as numbers of words, one behind the other.

    Attributes:
        words: all words of all sentences.
        offsets: where each sentence begins, and where the last one ends.
    """

    words: Int[np.ndarray, " words"]
    offsets: Int[np.ndarray, " bounds"]

    @classmethod
    def of(cls, sentences: Sequence[Sequence[int]]) -> "Text":
        """From one list of numbers a sentence."""
        lengths = np.array([len(sentence) for sentence in sentences], np.int64)
        words = np.array([word for sentence in sentences for word in sentence], np.int64)
        return cls(words, bounds(lengths))

    @property
    def lengths(self) -> Int[np.ndarray, " sentences"]:
        """Words of each sentence."""
        return np.diff(self.offsets)


class Relation:
    """A set of ordered pairs of numbers below `size`, quick to ask for millions of pairs of which few are in it.

    Args:
        left: one side of each pair.
        right: the other side.
        size: all numbers are below it.
    """

    def __init__(self, left: Int[np.ndarray, " n"], right: Int[np.ndarray, " n"], size: int) -> None:
        self.size = size
        codes = left * size + right
        self._order = np.argsort(codes, kind="stable")
        self._codes = codes[self._order]
        # So many places that few of them are taken by chance, so few that they stay in the processor's cache.
        self._bits = min(24, 5 + len(codes).bit_length())
        self._seen = np.zeros(1 << self._bits, bool)
        self._seen[self._slot(codes)] = True

    def find(
        self, left: Int[np.ndarray, " n"], right: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """Which of the pairs are in the set.

        Returns:
            Their indices, ascending; for each, its place in the lists that the set was made from.
        """
        codes = left * self.size + right
        maybe = np.flatnonzero(self._seen[self._slot(codes)])
        where = np.searchsorted(self._codes, codes[maybe])
        where = np.minimum(where, len(self._codes) - 1)
        hit = self._codes[where] == codes[maybe] if len(self._codes) else np.zeros(len(maybe), bool)
        return maybe[hit], self._order[where[hit]]

    def _slot(self, codes: Indices) -> Indices:
        """A place for each code in a table of single bits, by Fibonacci hashing."""
        mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)


@dataclass(frozen=True)
class Phrases:
    """Where sentences hold phrases that have a paraphrase in one of the sentences.

    Attributes:
        number: of each phrase found.
        start: its first word in the sentence.
        length: words.
        offsets: of the sentences.
        relation: (phrase, paraphrase), in the order of METEOR's table.
    """

    number: Indices
    start: Indices
    length: Indices
    offsets: Int[np.ndarray, " bounds"]
    relation: Relation

    @classmethod
    def of(cls, text: Text, hashes: Hashes, table: Paraphrases) -> "Phrases":
        """Find them all.

        Args:
            text: the sentences.
            hashes: of each word of the text.
            table: METEOR's.
        """
        ends = np.repeat(text.offsets[1:], text.lengths)
        phrase = np.zeros(len(hashes), np.uint64)
        begin = np.arange(len(hashes))
        found: list[tuple[Hashes, Indices, Indices]] = []
        for length in range(1, LONGEST + 1):
            inside = begin + length <= ends[begin]
            begin = begin[inside]
            phrase = longer(phrase[inside], hashes[begin + length - 1])
            # Only what METEOR knows; longer ones go on from all, for a phrase may begin like no other.
            known = table.knows(phrase)
            found.append((phrase[known], begin[known], np.full(int(known.sum()), length)))
        phrases, begins, lengths = (np.concatenate(column) for column in zip(*found, strict=True))
        distinct = np.unique(phrases)
        left, right = table.among(distinct)
        used = np.zeros(len(distinct), bool)
        used[left] = used[right] = True
        number = np.searchsorted(distinct, phrases)
        keep = np.flatnonzero(used[number])
        keep = keep[np.argsort(begins[keep], kind="stable")]
        sentence = np.searchsorted(text.offsets, begins[keep], "right") - 1
        return cls(
            number[keep],
            begins[keep] - text.offsets[sentence],
            lengths[keep],
            np.searchsorted(sentence, np.arange(len(text.offsets))),
            Relation(left, right, len(distinct)),
        )


def synonyms(words: Words, used: Int[np.ndarray, " used"]) -> Relation:
    """Which words share a synset.

    Args:
        words: the vocabulary.
        used: the words of interest.
    """
    members = np.array([(one, word) for word in used.tolist() for one in words.synonyms[word]], np.int64).reshape(-1, 2)
    synset, word = members[np.argsort(members[:, 0], kind="stable")].T
    begin, end = np.searchsorted(synset, synset, "left"), np.searchsorted(synset, synset, "right")
    left, right = np.repeat(np.arange(len(word)), end - begin), ranges(begin, end - begin)
    both = np.unique(np.stack([word[left], word[right]]), axis=1)
    return Relation(both[0], both[1], len(words.keys))


@dataclass(frozen=True)
class Material:
    """Sentences, and what is known of their words.

    Attributes:
        text: the sentences.
        words: the vocabulary.
        synonyms: words that share a synset.
        phrases: paraphrases.
    """

    text: Text
    words: Words
    synonyms: Relation
    phrases: Phrases

    @classmethod
    def of(cls, sentences: Sequence[str], words: Words, table: Paraphrases) -> "Material":
        """Look everything up."""
        text = Text.of(words.numbers(sentences))
        related = synonyms(words, np.unique(text.words))
        return cls(text, words, related, Phrases.of(text, words.hashes[text.words], table))


def matches(material: Material, caption: Int[np.ndarray, " pairs"], reference: Int[np.ndarray, " pairs"]) -> Matches:
    """All matches of a batch of pairs, in METEOR's order.

    Args:
        material: sentences.
        caption: of each pair, its index in the text.
        reference: likewise.
    """
    text, words = material.text, material.words
    pair, start, other = grid(text.lengths[reference], text.lengths[caption])
    one, two = text.offsets[reference][pair] + start, text.offsets[caption][pair] + other
    keys, stems = words.keys[text.words], words.stems[text.words]
    equal = keys[one] == keys[two]
    identical = _identical(text.lengths[caption], text.lengths[reference], pair[equal & (start == other)])
    allowed = ~equal & ~identical[pair]
    akin = material.synonyms.find(text.words[one], text.words[two])[0]
    found = (
        np.flatnonzero(equal),
        np.flatnonzero((stems[one] == stems[two]) & allowed),
        akin[allowed[akin]],
    )
    single = [
        Matches(pair[index], start[index], ones, other[index], ones, np.full(len(index), module))
        for module, index in enumerate(found)
        for ones in [np.ones(len(index), np.int64)]
    ]
    every = [*single, *_paraphrases(material.phrases, caption, reference, identical)]
    joined = Matches(*(np.concatenate([getattr(part, name) for part in every]) for name in Matches.__annotations__))
    return joined.take(np.lexsort((joined.start, joined.pair)))


def _identical(
    one: Int[np.ndarray, " pairs"], other: Int[np.ndarray, " pairs"], equal: Indices
) -> Bool[np.ndarray, " pairs"]:
    """Pairs whose sentences are word for word the same: METEOR matches equal words there, and nothing else."""
    return (one == other) & (np.bincount(equal, minlength=len(one)) == one)


def _paraphrases(
    phrases: Phrases,
    caption: Int[np.ndarray, " pairs"],
    reference: Int[np.ndarray, " pairs"],
    identical: Bool[np.ndarray, " pairs"],
) -> tuple[Matches, Matches]:
    """Paraphrases of the references' phrases in the captions, then of the captions' phrases in the references.

    METEOR goes from the first word of a phrase on, from short to long, through the table, through the other sentence.
    """
    count = np.diff(phrases.offsets)
    pair, row, column = grid(np.where(identical, 0, count[reference]), count[caption])
    one, two = phrases.offsets[reference][pair] + row, phrases.offsets[caption][pair] + column

    def take(index: Indices) -> Matches:
        here, there = one[index], two[index]
        module = np.full(len(index), 3)
        sides = phrases.start[here], phrases.length[here], phrases.start[there], phrases.length[there]
        return Matches(pair[index], *sides, module)

    index, rank = phrases.relation.find(phrases.number[one], phrases.number[two])
    forward = take(index)
    forward = forward.take(np.lexsort((forward.other, rank, forward.length, forward.start, forward.pair)))
    index, rank = phrases.relation.find(phrases.number[two], phrases.number[one])
    backward = take(index)
    backward = backward.take(np.lexsort((backward.start, rank, backward.width, backward.other, backward.pair)))
    return forward, backward
