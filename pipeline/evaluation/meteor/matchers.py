"""METEOR's matchers: equal words, stems, synonyms, and paraphrases of up to seven words.

Denkowski and Lavie (2014), section 2.1; for many pairs at once, in arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from pipeline.evaluation.meteor.alignment import Matches
from pipeline.evaluation.meteor.paraphrases import MAX_PHRASE_LENGTH, Hashes, ParaphraseTable, extend_hashes
from pipeline.evaluation.meteor.words import WordKnowledge
from pipeline.evaluation.ragged import Indices, concat_ranges, enumerate_cells, offsets_of


@dataclass(frozen=True)
class TokenizedText:
    """Sentences as word ids, concatenated.

    Attributes:
        words: word ids of all sentences.
        offsets: start of each sentence, and the end of the last one.
    """

    words: Int[np.ndarray, " words"]
    offsets: Int[np.ndarray, " offsets"]

    @classmethod
    def concatenate(cls, sentences: Sequence[Sequence[int]]) -> "TokenizedText":
        """Concatenate sentences, each a list of word ids."""
        lengths = np.array([len(sentence) for sentence in sentences], np.int64)
        words = np.array([word for sentence in sentences for word in sentence], np.int64)
        return cls(words, offsets_of(lengths))

    @property
    def lengths(self) -> Int[np.ndarray, " sentences"]:
        """Number of words of each sentence."""
        return np.diff(self.offsets)


class PairSet:
    """A set of ordered pairs of integers, with fast look-up of millions of pairs of which few are in the set.

    Args:
        left: first number of each pair.
        right: second number of each pair.
        size: upper bound of all numbers.
    """

    def __init__(self, left: Int[np.ndarray, " n"], right: Int[np.ndarray, " n"], size: int) -> None:
        self.size = size
        codes = left * size + right
        self._order = np.argsort(codes, kind="stable")
        self._codes = codes[self._order]
        # A table of this size has few collisions, and still fits in the processor's cache.
        self._bits = min(24, 5 + len(codes).bit_length())
        self._may_contain = np.zeros(1 << self._bits, bool)
        self._may_contain[self._hash(codes)] = True

    def find(
        self, left: Int[np.ndarray, " n"], right: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """Find the pairs that are in the set.

        Returns:
            Their indices, ascending; for each, its index in the lists that the set was built from.
        """
        codes = left * self.size + right
        candidates = np.flatnonzero(self._may_contain[self._hash(codes)])
        position = np.searchsorted(self._codes, codes[candidates])
        position = np.minimum(position, len(self._codes) - 1)
        hit = self._codes[position] == codes[candidates] if len(self._codes) else np.zeros(len(candidates), bool)
        return candidates[hit], self._order[position[hit]]

    def _hash(self, codes: Indices) -> Indices:
        """Hash codes to indices of the table of bits: Fibonacci hashing."""
        mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)


@dataclass(frozen=True)
class PhraseOccurrences:
    """Occurrences of phrases that have a paraphrase in one of the sentences.

    Attributes:
        phrase: id of each occurrence's phrase.
        start: its first word in the sentence.
        length: its number of words.
        offsets: first occurrence of each sentence, and the number of all.
        paraphrase_pairs: (phrase, paraphrase), in the order of METEOR's table.
    """

    phrase: Indices
    start: Indices
    length: Indices
    offsets: Int[np.ndarray, " offsets"]
    paraphrase_pairs: PairSet

    @classmethod
    def find(cls, text: TokenizedText, hashes: Hashes, table: ParaphraseTable) -> "PhraseOccurrences":
        """Find all occurrences.

        Args:
            text: the sentences.
            hashes: hash of each word of the text.
            table: METEOR's table.
        """
        ends = np.repeat(text.offsets[1:], text.lengths)
        phrase = np.zeros(len(hashes), np.uint64)
        begin = np.arange(len(hashes))
        candidates: list[tuple[Hashes, Indices, Indices]] = []
        for length in range(1, MAX_PHRASE_LENGTH + 1):
            inside = begin + length <= ends[begin]
            begin = begin[inside]
            phrase = extend_hashes(phrase[inside], hashes[begin + length - 1])
            # Keep the phrases of the table. Longer ones extend all: a phrase may begin with words that are none.
            in_table = table.may_contain(phrase)
            candidates.append((phrase[in_table], begin[in_table], np.full(int(in_table.sum()), length)))
        phrases, begins, lengths = (np.concatenate(column) for column in zip(*candidates, strict=True))
        distinct = np.unique(phrases)
        left, right = table.find_within(distinct)
        is_related = np.zeros(len(distinct), bool)
        is_related[left] = is_related[right] = True
        ids = np.searchsorted(distinct, phrases)
        related = np.flatnonzero(is_related[ids])
        related = related[np.argsort(begins[related], kind="stable")]
        sentence = np.searchsorted(text.offsets, begins[related], "right") - 1
        return cls(
            ids[related],
            begins[related] - text.offsets[sentence],
            lengths[related],
            np.searchsorted(sentence, np.arange(len(text.offsets))),
            PairSet(left, right, len(distinct)),
        )


def synonym_pairs(knowledge: WordKnowledge, used: Int[np.ndarray, " used"]) -> PairSet:
    """Return the pairs of words that share a synset.

    Args:
        knowledge: the vocabulary.
        used: ids of the words of interest.
    """
    rows = [(synset, word) for word in used.tolist() for synset in knowledge.synsets[word]]
    members = np.array(rows, np.int64).reshape(-1, 2)
    synset, word = members[np.argsort(members[:, 0], kind="stable")].T
    begin, end = np.searchsorted(synset, synset, "left"), np.searchsorted(synset, synset, "right")
    left, right = np.repeat(np.arange(len(word)), end - begin), concat_ranges(begin, end - begin)
    pairs = np.unique(np.stack([word[left], word[right]]), axis=1)
    return PairSet(pairs[0], pairs[1], len(knowledge.keys))


@dataclass(frozen=True)
class Sentences:
    """Sentences, and what METEOR knows of their words.

    Attributes:
        text: the sentences.
        knowledge: the vocabulary.
        synonyms: pairs of words that share a synset.
        phrases: phrases with paraphrases.
    """

    text: TokenizedText
    knowledge: WordKnowledge
    synonyms: PairSet
    phrases: PhraseOccurrences

    @classmethod
    def look_up(cls, sentences: Sequence[str], knowledge: WordKnowledge, table: ParaphraseTable) -> "Sentences":
        """Look up words, synonyms and paraphrases of sentences."""
        text = TokenizedText.concatenate(knowledge.to_ids(sentences))
        synonyms = synonym_pairs(knowledge, np.unique(text.words))
        return cls(text, knowledge, synonyms, PhraseOccurrences.find(text, knowledge.hashes[text.words], table))


def find_matches(
    sentences: Sentences, caption: Int[np.ndarray, " pairs"], reference: Int[np.ndarray, " pairs"]
) -> Matches:
    """Find all matches of a batch of pairs, in METEOR's order.

    Args:
        sentences: the sentences.
        caption: index of each pair's caption.
        reference: index of each pair's reference.
    """
    text, knowledge = sentences.text, sentences.knowledge
    pair, reference_word, caption_word = enumerate_cells(text.lengths[reference], text.lengths[caption])
    i, j = text.offsets[reference][pair] + reference_word, text.offsets[caption][pair] + caption_word
    keys, stems = knowledge.keys[text.words], knowledge.stems[text.words]
    equal = keys[i] == keys[j]
    on_diagonal = pair[equal & (reference_word == caption_word)]
    identical = _find_identical_pairs(text.lengths[caption], text.lengths[reference], on_diagonal)
    allowed = ~equal & ~identical[pair]
    synonymous = sentences.synonyms.find(text.words[i], text.words[j])[0]
    cells_by_module = (
        np.flatnonzero(equal),
        np.flatnonzero((stems[i] == stems[j]) & allowed),
        synonymous[allowed[synonymous]],
    )
    parts = [
        Matches(pair[cells], reference_word[cells], ones, caption_word[cells], ones, np.full(len(cells), module))
        for module, cells in enumerate(cells_by_module)
        for ones in [np.ones(len(cells), np.int64)]
    ]
    parts += _match_paraphrases(sentences.phrases, caption, reference, identical)
    joined = Matches(*(np.concatenate([getattr(part, name) for part in parts]) for name in Matches.__annotations__))
    return joined.take(np.lexsort((joined.reference_start, joined.pair)))


def _find_identical_pairs(
    caption_lengths: Int[np.ndarray, " pairs"], reference_lengths: Int[np.ndarray, " pairs"], on_diagonal: Indices
) -> Bool[np.ndarray, " pairs"]:
    """Mark the pairs of identical sentences: METEOR matches only equal words there.

    Args:
        caption_lengths: number of words of each caption.
        reference_lengths: number of words of each reference.
        on_diagonal: pair of each word that is equal at the same position of both sides.
    """
    num_equal = np.bincount(on_diagonal, minlength=len(caption_lengths))
    return (caption_lengths == reference_lengths) & (num_equal == caption_lengths)


def _match_paraphrases(
    phrases: PhraseOccurrences,
    caption: Int[np.ndarray, " pairs"],
    reference: Int[np.ndarray, " pairs"],
    identical: Bool[np.ndarray, " pairs"],
) -> tuple[Matches, Matches]:
    """Match paraphrases of the references' phrases in the captions, then of the captions' phrases in the references.

    METEOR's order: by first word of a phrase, then by its length, then as in the table, then by the other sentence.
    """
    count = np.diff(phrases.offsets)
    pair, row, column = enumerate_cells(np.where(identical, 0, count[reference]), count[caption])
    i, j = phrases.offsets[reference][pair] + row, phrases.offsets[caption][pair] + column

    def take(cells: Indices) -> Matches:
        in_reference, in_caption = i[cells], j[cells]
        return Matches(
            pair[cells],
            phrases.start[in_reference],
            phrases.length[in_reference],
            phrases.start[in_caption],
            phrases.length[in_caption],
            np.full(len(cells), 3),
        )

    cells, rank = phrases.paraphrase_pairs.find(phrases.phrase[i], phrases.phrase[j])
    forward = take(cells)
    forward = forward.take(
        np.lexsort((forward.caption_start, rank, forward.reference_length, forward.reference_start, forward.pair))
    )
    cells, rank = phrases.paraphrase_pairs.find(phrases.phrase[j], phrases.phrase[i])
    backward = take(cells)
    backward = backward.take(
        np.lexsort((backward.reference_start, rank, backward.caption_length, backward.caption_start, backward.pair))
    )
    return forward, backward
