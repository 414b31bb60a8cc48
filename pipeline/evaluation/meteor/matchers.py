"""METEOR's matchers: equal words, stems, synonyms, and paraphrases of up to seven words.

Denkowski and Lavie (2014), section 2.1; for many pairs at once, in arrays. An index of each caption, by the words and
phrases that match its own ones, is made once, and serves all references of the caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from pipeline.evaluation.meteor.alignment import Matches
from pipeline.evaluation.meteor.paraphrases import MAX_PHRASE_LENGTH, Hashes, ParaphraseTable, extend_hashes
from pipeline.evaluation.meteor.words import WordKnowledge
from pipeline.evaluation.ragged import Indices, concat_ranges, gather_rows
from pipeline.evaluation.tokenized_text import TokenizedText

EQUAL, STEM, SYNONYM, PARAPHRASE = range(4)
"""Modules: kinds of matches."""


class PairSet:
    """A set of ordered pairs of integers, with fast look-up of millions of pairs of which few are in the set.

    Args:
        left: first number of each pair.
        right: second number of each pair.
        size: more than each of these numbers.
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
        """Find the pairs that are in the set; their second number may be larger than all of the set.

        Returns:
            Their indices, ascending; for each, its index in the lists that the set was built from.
        """
        codes = left * self.size + right
        candidates = np.flatnonzero(self._may_contain[self._hash(codes)])
        candidates = candidates[right[candidates] < self.size]  # a larger one has the code of another pair
        position = np.searchsorted(self._codes, codes[candidates])
        position = np.minimum(position, len(self._codes) - 1)
        hit = self._codes[position] == codes[candidates] if len(self._codes) else np.zeros(len(candidates), bool)
        return candidates[hit], self._order[position[hit]]

    def _hash(self, codes: Indices) -> Indices:
        """Hash codes to indices of the table of bits: Fibonacci hashing."""
        mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)


@dataclass(frozen=True)
class CaptionIndex:
    """For every caption and every word or phrase: what in the caption matches it.

    Attributes:
        groups: pairs of a caption and the id of a word or phrase that matches something in it.
        offsets: first entry of each group, and the number of all.
        entries: entries of the groups, each an index into the lists that the index was built from.
    """

    groups: PairSet
    offsets: Int[np.ndarray, " offsets"]
    entries: Indices

    @classmethod
    def build(cls, captions: Indices, ids: Indices, size: int, preference: Sequence[Indices]) -> "CaptionIndex":
        """Build the index of matches.

        Args:
            captions: caption of each possible match.
            ids: id of the word or phrase that would match.
            size: upper bound of captions and ids.
            preference: ranks of the matches; those of the same caption and id are ordered by the first, then by the
                next.
        """
        order = np.lexsort((*reversed(preference), ids, captions))
        captions, ids = captions[order], ids[order]
        first = np.flatnonzero((np.diff(captions, prepend=-1) != 0) | (np.diff(ids, prepend=-1) != 0))
        return cls(PairSet(captions[first], ids[first], size), np.append(first, len(order)), order)

    def find(self, captions: Indices, ids: Indices) -> tuple[Indices, Indices]:
        """Find the matches of words or phrases.

        Args:
            captions: the caption to search for each.
            ids: id of each word or phrase.

        Returns:
            For each match: the index of the word or phrase, ascending; the entry.
        """
        items, groups = self.groups.find(captions, ids)
        sizes = self.offsets[groups + 1] - self.offsets[groups]
        return np.repeat(items, sizes), self.entries[concat_ranges(self.offsets[groups], sizes)]


@dataclass(frozen=True)
class PhraseOccurrences:
    """Occurrences of phrases that have a paraphrase in one of the sentences, ordered by sentence, start and length.

    Attributes:
        phrase: id of each occurrence's phrase.
        start: its first word in the sentence.
        length: its number of words.
        offsets: first occurrence of each sentence, and the number of all.
        pairs: phrase and paraphrase, in the order of METEOR's table.
    """

    phrase: Indices
    start: Indices
    length: Indices
    offsets: Int[np.ndarray, " offsets"]
    pairs: Int[np.ndarray, "2 pairs"]

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
            np.stack([left, right]),
        )


@dataclass(frozen=True)
class WordMatcher:
    """Matches of words: equal ones, those with the same stem, synonyms.

    Attributes:
        text: the sentences.
        index: the words that match a word of a caption.
        position: position of the caption's word, of each match in the index.
        module: 0 equal, 1 stem, 2 synonym.
    """

    text: TokenizedText
    index: CaptionIndex
    position: Indices
    module: Indices

    @classmethod
    def build(cls, text: TokenizedText, knowledge: WordKnowledge, captions: Indices) -> "WordMatcher":
        """Build the matcher of captions, given as indices of sentences."""
        words, others, modules = relate_words(knowledge, np.unique(text.words))
        relations = np.searchsorted(words, np.arange(len(knowledge.keys) + 1))
        caption, place = gather_rows(text.offsets, captions)
        occurrence, relation = gather_rows(relations, text.words[place])
        position = (place - text.offsets[captions][caption])[occurrence]
        index = CaptionIndex.build(
            captions[caption][occurrence],
            others[relation],
            max(len(text.offsets), len(knowledge.keys)),
            (modules[relation], position),
        )
        return cls(text, index, position, modules[relation])

    def match(self, caption: Int[np.ndarray, " pairs"], reference: Int[np.ndarray, " pairs"]) -> Matches:
        """Match the words of pairs, ordered by pair, word of the reference, module and word of the caption."""
        pair, place = gather_rows(self.text.offsets, reference)
        items, entries = self.index.find(caption[pair], self.text.words[place])
        pair = pair[items]
        start, ones = place[items] - self.text.offsets[reference][pair], np.ones(len(items), np.int64)
        return Matches(pair, start, ones, self.position[entries], ones, self.module[entries])


def relate_words(knowledge: WordKnowledge, used: Int[np.ndarray, " used"]) -> tuple[Indices, Indices, Indices]:
    """Relate the words that match one another.

    Args:
        knowledge: the vocabulary.
        used: ids of the words of interest.

    Returns:
        Word, other word and module of each match, ordered by word.
    """
    members = [(word, synset) for word in used.tolist() for synset in knowledge.synsets[word]]
    in_synset, synset = np.array(members, np.int64).reshape(-1, 2).T
    equal = _pairs_within_groups(used, knowledge.keys[used])
    related = [_pairs_within_groups(used, knowledge.stems[used]), _pairs_within_groups(in_synset, synset)]
    parts = [equal, *(pairs[:, knowledge.keys[pairs[0]] != knowledge.keys[pairs[1]]] for pairs in related)]
    modules = np.repeat([EQUAL, STEM, SYNONYM], [pairs.shape[1] for pairs in parts])
    words, others = np.concatenate(parts, axis=1)
    order = np.argsort(words, kind="stable")
    return words[order], others[order], modules[order]


def _pairs_within_groups(members: Indices, groups: Indices) -> Int[np.ndarray, "2 pairs"]:
    """Return all ordered pairs of members of the same group, each with itself too."""
    order = np.argsort(groups, kind="stable")
    members, groups = members[order], groups[order]
    begin, end = np.searchsorted(groups, groups, "left"), np.searchsorted(groups, groups, "right")
    pairs = np.stack([np.repeat(members, end - begin), members[concat_ranges(begin, end - begin)]])
    return np.unique(pairs, axis=1)


@dataclass(frozen=True)
class ParaphraseMatcher:
    """Matches of paraphrases.

    Attributes:
        phrases: occurrences of phrases in the sentences.
        directions: of captions that have a paraphrase of a phrase, then of captions that have a phrase that it is a
            paraphrase of.
    """

    phrases: PhraseOccurrences
    directions: tuple["_Direction", "_Direction"]

    @classmethod
    def build(cls, phrases: PhraseOccurrences, captions: Indices) -> "ParaphraseMatcher":
        """Build the matcher of captions, given as indices of sentences."""
        left, right = phrases.pairs
        return cls(
            phrases,
            (_Direction.build(phrases, captions, right, left), _Direction.build(phrases, captions, left, right)),
        )

    def match(
        self, caption: Int[np.ndarray, " pairs"], reference: Int[np.ndarray, " pairs"]
    ) -> tuple[Matches, Matches]:
        """Match phrases of references to captions, then the other way.

        METEOR's order: by first word of a phrase, then by its length, then as in the table, then by the other sentence;
        the second ones are ordered by the first word of the reference before all.
        """
        phrases = self.phrases
        pair, occurrence = gather_rows(phrases.offsets, reference)

        def match_direction(direction: "_Direction") -> tuple[Matches, Indices, Indices]:
            items, entries = direction.index.find(caption[pair], phrases.phrase[occurrence])
            in_reference, in_caption = occurrence[items], direction.occurrence[entries]
            matches = Matches(
                pair[items],
                phrases.start[in_reference],
                phrases.length[in_reference],
                phrases.start[in_caption],
                phrases.length[in_caption],
                np.full(len(items), PARAPHRASE),
            )
            return matches, in_caption, direction.rank[entries]

        forward, _, _ = match_direction(self.directions[0])
        backward, in_caption, rank = match_direction(self.directions[1])
        order = np.lexsort((rank, in_caption, backward.reference_start, backward.pair))
        return forward, backward.take(order)


@dataclass(frozen=True)
class _Direction:
    """One direction of paraphrases.

    Attributes:
        index: the phrases that match one of a caption.
        occurrence: of each match in the index, the occurrence in the caption.
        rank: of each match in the index, its place in METEOR's table.
    """

    index: CaptionIndex
    occurrence: Indices
    rank: Indices

    @classmethod
    def build(
        cls, phrases: PhraseOccurrences, captions: Indices, in_captions: Indices, in_references: Indices
    ) -> "_Direction":
        """Build the index of the captions that have a phrase of `in_captions`; that of `in_references` matches it."""
        by_phrase = np.argsort(in_captions, kind="stable")
        num_phrases = 1 + max(in_captions.max(initial=0), phrases.phrase.max(initial=0))
        relations = np.searchsorted(in_captions[by_phrase], np.arange(num_phrases + 1))
        caption, place = gather_rows(phrases.offsets, captions)
        owner, relation = gather_rows(relations, phrases.phrase[place])
        rank, occurrence = by_phrase[relation], place[owner]
        size = max(len(phrases.offsets), int(in_references.max(initial=0)) + 1)
        index = CaptionIndex.build(captions[caption][owner], in_references[rank], size, (rank, occurrence))
        return cls(index, occurrence, rank)


@dataclass(frozen=True)
class Sentences:
    """Captions and references, and what METEOR knows of their words.

    Attributes:
        text: the sentences.
        is_function_word: whether each word of the text is a function word.
        words: finds equal words, stems and synonyms.
        paraphrases: finds paraphrases.
    """

    text: TokenizedText
    is_function_word: Bool[np.ndarray, " words"]
    words: WordMatcher
    paraphrases: ParaphraseMatcher

    @classmethod
    def look_up(
        cls,
        sentences: Sequence[str],
        captions: Int[np.ndarray, " captions"],
        knowledge: WordKnowledge,
        table: ParaphraseTable,
    ) -> "Sentences":
        """Look up words, synonyms and paraphrases of sentences.

        Args:
            sentences: captions and references.
            captions: indices of the captions.
            knowledge: the vocabulary.
            table: METEOR's paraphrases.
        """
        text = knowledge.to_ids(sentences)
        phrases = PhraseOccurrences.find(text, knowledge.hashes[text.words], table)
        return cls(
            text,
            knowledge.is_function_word[text.words],
            WordMatcher.build(text, knowledge, captions),
            ParaphraseMatcher.build(phrases, captions),
        )


def find_matches(
    sentences: Sentences, caption: Int[np.ndarray, " pairs"], reference: Int[np.ndarray, " pairs"]
) -> Matches:
    """Find all matches of a batch of pairs, in METEOR's order.

    Args:
        sentences: the sentences.
        caption: index of each pair's caption.
        reference: index of each pair's reference.
    """
    lengths = sentences.text.lengths
    words = sentences.words.match(caption, reference)
    on_diagonal = words.pair[(words.module == EQUAL) & (words.reference_start == words.caption_start)]
    identical = _find_identical_pairs(lengths[caption], lengths[reference], on_diagonal)
    parts = [words, *sentences.paraphrases.match(caption, reference)]
    joined = Matches(*(np.concatenate([getattr(part, name) for part in parts]) for name in Matches.__annotations__))
    joined = joined.take((joined.module == EQUAL) | ~identical[joined.pair])
    place = joined.pair * (int(lengths[reference].max(initial=0)) + 1) + joined.reference_start
    return joined.take(np.argsort(place, kind="stable"))


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
