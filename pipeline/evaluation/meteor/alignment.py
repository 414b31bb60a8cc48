"""METEOR's choice among all possible matches of a pair: a beam search, here over many pairs at once.

Denkowski and Lavie (2014), section 2.1: most matches, then fewest chunks, then shortest distance. The search is that of
METEOR 1.5, to the last tie: the beam holds 40 paths; the reference is walked from left to right; a match that is not
exact weighs half its words, rounded down; and the distance that the skipped alternatives would have added remains with
the path that continues without them.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt64

from pipeline.evaluation.ragged import Indices, concat_ranges, offsets_of

BEAM_SIZE = 40

Masks = tuple[UInt64[np.ndarray, "_"], ...]
"""Bit masks of the matched words of pairs, in blocks of 64 words: those of the reference, then those of the caption."""


@dataclass(frozen=True)
class Matches:
    """Possible matches in a batch of pairs, in the order in which METEOR finds them.

    Attributes:
        pair: index of the pair in the batch, ascending.
        reference_start: first matched word of the reference, ascending within a pair.
        reference_length: number of matched words of the reference.
        caption_start: first matched word of the caption.
        caption_length: number of matched words of the caption.
        module: 0 exact, 1 stem, 2 synonym, 3 paraphrase.
    """

    pair: Int[np.ndarray, " n"]
    reference_start: Int[np.ndarray, " n"]
    reference_length: Int[np.ndarray, " n"]
    caption_start: Int[np.ndarray, " n"]
    caption_length: Int[np.ndarray, " n"]
    module: Int[np.ndarray, " n"]

    def take(self, index: Int[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> "Matches":
        """Return the matches at the given indices."""
        return Matches(*(getattr(self, field.name)[index] for field in fields(self)))


class _Paths(NamedTuple):
    """Partial alignments.

    Attributes:
        pair: pair of the path.
        position: word of the reference at which the next match may start.
        last: word of the caption after the last match; -1 if the previous word is not matched.
        merit: the number of complete chunks, minus the total weight of the matches times `_SearchSpace.chunk_base`;
            smaller is better.
        distance: total distance between the positions of matched words.
        masks: matched words.
    """

    pair: Int[np.ndarray, " n"]
    position: Int[np.ndarray, " n"]
    last: Int[np.ndarray, " n"]
    merit: Int[np.ndarray, " n"]
    distance: Int[np.ndarray, " n"]
    masks: Masks

    def take(self, index: Indices) -> "_Paths":
        return _Paths(
            self.pair[index],
            self.position[index],
            self.last[index],
            self.merit[index],
            self.distance[index],
            tuple(mask[index] for mask in self.masks),
        )


@dataclass(frozen=True)
class _SearchSpace:
    """The matches of a batch, indexed by the place where they start: a word of a reference, or its end.

    Attributes:
        caption_start: first word of the caption that each match covers.
        caption_end: word of the caption after each match.
        reference_end: word of the reference after each match.
        distance: distance between the two positions of each match, words.
        merit: what each match adds to the merit of a path.
        masks: words that each match covers.
        offsets: first place of each reference; it has one place more than words.
        first: index of the first match of each place.
        definite: the match that is certain to be chosen at each place, or -1.
        initial_masks: words of each pair that its definite matches cover.
        chunk_base: more than the chunks of any path.
    """

    caption_start: Indices
    caption_end: Indices
    reference_end: Indices
    distance: Indices
    merit: Indices
    masks: Masks
    offsets: Int[np.ndarray, " offsets"]
    first: Indices
    definite: Indices
    initial_masks: Masks
    chunk_base: int

    @classmethod
    def build(
        cls,
        matches: Matches,
        reference_lengths: Int[np.ndarray, " pairs"],
        caption_lengths: Int[np.ndarray, " pairs"],
    ) -> "_SearchSpace":
        offsets = offsets_of(reference_lengths + 1)
        place = offsets[matches.pair] + matches.reference_start
        first = offsets_of(np.bincount(place, minlength=offsets[-1]))
        is_definite = _find_definite(matches, first, place, reference_lengths, caption_lengths)
        definite = np.full(offsets[-1], -1)
        definite[place[is_definite]] = np.flatnonzero(is_definite)
        num_words, width = int((reference_lengths + caption_lengths).max(initial=1)), reference_lengths[matches.pair]
        masks = tuple(
            _word_masks(matches.reference_start - 64 * block, matches.reference_length)
            | _word_masks(width + matches.caption_start - 64 * block, matches.caption_length)
            for block in range((num_words + 63) // 64)
        )
        initial_masks = tuple(np.zeros(len(reference_lengths), np.uint64) for _ in masks)
        for mask, of_matches in zip(initial_masks, masks, strict=True):
            np.bitwise_or.at(mask, matches.pair[is_definite], of_matches[is_definite])
        length, other_length = matches.reference_length, matches.caption_length
        is_exact = matches.module == 0
        weight = np.where(is_exact, length + other_length, length // 2 + other_length // 2)
        chunk_base = num_words + 1
        return cls(
            caption_start=matches.caption_start,
            caption_end=matches.caption_start + other_length,
            reference_end=matches.reference_start + length,
            distance=np.abs(matches.reference_start - matches.caption_start),
            merit=-weight * chunk_base,
            masks=masks,
            offsets=offsets,
            first=first,
            definite=definite,
            initial_masks=initial_masks,
            chunk_base=chunk_base,
        )


def select_matches(
    matches: Matches, reference_lengths: Int[np.ndarray, " pairs"], caption_lengths: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " selected"]:
    """Select the matches of every pair.

    Args:
        matches: all possible matches.
        reference_lengths: number of words of each reference.
        caption_lengths: number of words of each caption.

    Returns:
        Indices into `matches`, ascending.
    """
    space = _SearchSpace.build(matches, reference_lengths, caption_lengths)
    # Where every match is definite, all are selected. Only the other pairs need a search.
    is_definite = np.zeros(len(matches.pair), bool)
    is_definite[space.definite[space.definite >= 0]] = True
    needs_search = np.bincount(matches.pair[~is_definite], minlength=len(reference_lengths)) > 0
    pairs = np.flatnonzero(needs_search)
    zero = np.zeros(len(pairs), np.int64)
    paths = _Paths(pairs, zero, zero - 1, zero, zero, tuple(mask[pairs] for mask in space.initial_masks))
    history: list[tuple[Indices, Indices]] = []
    best: list[Indices] = []
    # A path is complete after the last match of its reference: only its last chunk ends later.
    ends = np.zeros(len(reference_lengths), np.int64)
    np.maximum.at(ends, matches.pair, space.reference_end)
    for word in range(int(ends[pairs].max(initial=0)) + 1):
        beam = _prune_beam(paths)
        is_complete = ends[paths.pair[beam]] == word
        best.append(_best_complete(paths, beam[is_complete]))
        beam = beam[~is_complete]
        if len(beam) == 0:
            break
        paths, parent, match = _step(paths.take(beam), word, space)
        history.append((beam[parent], match))
    certain = np.flatnonzero(~needs_search[matches.pair])
    return np.sort(np.concatenate([certain, _backtrack(history, best)]))


def _find_definite(
    matches: Matches,
    first: Indices,
    place: Indices,
    reference_lengths: Int[np.ndarray, " pairs"],
    caption_lengths: Int[np.ndarray, " pairs"],
) -> Bool[np.ndarray, " n"]:
    """Mark the matches without a rival: no other one starts at the same word or covers any of their words."""
    definite = first[place + 1] - first[place] == 1
    for start, length, totals in (
        (matches.reference_start, matches.reference_length, reference_lengths),
        (matches.caption_start, matches.caption_length, caption_lengths),
    ):
        begin = offsets_of(totals)[matches.pair] + start
        steps = np.bincount(begin, minlength=totals.sum() + 1) - np.bincount(begin + length, minlength=totals.sum() + 1)
        num_shared = offsets_of((np.cumsum(steps) != 1).astype(np.int64))
        definite &= num_shared[begin + length] == num_shared[begin]
    return definite


def _word_masks(start: Indices, length: Indices) -> UInt64[np.ndarray, "_"]:
    """Return the bit masks of `length` words from `start` on; words outside of 0 to 63 do not count."""
    low_bits = np.array([(1 << count) - 1 for count in range(65)], np.uint64)
    return low_bits[np.clip(start + length, 0, 64)] & ~low_bits[np.clip(start, 0, 64)]


def _rank_paths(pair: Indices, merit: Indices, distance: Indices) -> Indices:
    """Order the paths of each pair from the best to the worst; equal paths keep their order."""
    lowest = int(merit.min(initial=0))
    sizes = [int(column.max(initial=0)) + 1 for column in (pair, merit - lowest, distance)]
    if math.prod(sizes) >= 1 << 63:
        return np.lexsort((distance, merit, pair))
    return np.argsort((pair * sizes[1] + (merit - lowest)) * sizes[2] + distance, kind="stable")


def _prune_beam(paths: _Paths) -> Indices:
    """Return the best paths of each pair, as many as the beam holds."""
    if (np.diff(paths.pair) > 0).all():
        return np.arange(len(paths.pair))
    order = _rank_paths(paths.pair, paths.merit, paths.distance)
    pair = paths.pair[order]
    # A path is too many if the one that is `BEAM_SIZE` places before it is of the same pair.
    is_kept = np.ones(len(pair), bool)
    is_kept[BEAM_SIZE:] = pair[BEAM_SIZE:] != pair[:-BEAM_SIZE]
    return order[is_kept]


def _best_complete(paths: _Paths, complete: Indices) -> Indices:
    """Return the best path of each pair among complete paths, with their last chunk counted."""
    ended = paths.take(complete)
    order = _rank_paths(ended.pair, ended.merit + (ended.last != -1), ended.distance)
    return complete[order[np.flatnonzero(np.diff(ended.pair[order], prepend=-1))]]


def _step(paths: _Paths, word: int, space: _SearchSpace) -> tuple[_Paths, Indices, Indices]:
    """Extend every path by every match that may start at a word of its reference, and by none of them.

    Returns:
        The new paths; the index of each one's parent; its match, or -1.
    """
    block, bit = divmod(word, 64)
    place = space.offsets[paths.pair] + word
    is_covered = (paths.masks[block] >> np.uint64(bit)) & np.uint64(1) != 0
    first = space.first[place]
    num_options = np.where(is_covered, 0, space.first[place + 1] - first)
    row = np.repeat(np.arange(len(place)), num_options)
    match = concat_ranges(first, num_options)
    is_free = np.ones(len(row), bool)
    for mask, of_matches in zip(paths.masks, space.masks, strict=True):
        is_free &= mask[row] & of_matches[match] == 0
    row, match = row[is_free], match[is_free]

    num_options = np.bincount(row, minlength=len(place))
    last_child = np.cumsum(num_options + 1) - 1
    parent = np.repeat(np.arange(len(place)), num_options + 1)
    children = paths.take(parent)
    is_option = np.ones(len(parent), bool)
    is_option[last_child] = False
    option = np.flatnonzero(is_option)
    # The distances of the options before it remain with a path.
    total = offsets_of(space.distance[match])
    begin = total[offsets_of(num_options)]
    children.distance[option] += total[:-1] - begin[row]
    children.distance[last_child] += np.diff(begin)
    for mask, of_matches in zip(children.masks, space.masks, strict=True):
        mask[option] |= of_matches[match]
    _take_matches(children, option, match, space)

    is_inside = is_covered & (paths.position > word)
    definite = np.where(is_covered & ~is_inside, space.definite[place], -1)
    with_definite = np.flatnonzero(definite >= 0)
    chosen = definite[with_definite]
    children.distance[last_child[with_definite]] += space.distance[chosen]
    _take_matches(children, last_child[with_definite], chosen, space)
    unmatched = last_child[(definite < 0) & ~is_inside]
    children.merit[unmatched] += children.last[unmatched] != -1
    children.last[unmatched] = -1
    children.position[unmatched] = word + 1

    matches = np.full(len(parent), -1)
    matches[option], matches[last_child] = match, definite
    return children, parent, matches


def _take_matches(paths: _Paths, index: Indices, match: Indices, space: _SearchSpace) -> None:
    """Add a match to each of some paths: a chunk ends, unless the match continues it."""
    last = paths.last[index]
    paths.merit[index] += space.merit[match] + ((last != -1) & (space.caption_start[match] != last))
    paths.last[index] = space.caption_end[match]
    paths.position[index] = space.reference_end[match]


def _backtrack(history: list[tuple[Indices, Indices]], best: list[Indices]) -> Indices:
    """Collect the matches along the best paths, from their end to their start."""
    collected: list[Indices] = [np.empty(0, np.int64)]
    path = np.empty(0, np.int64)
    for word in range(len(history), 0, -1):
        path = np.concatenate([path, best[word]])
        parent, match = history[word - 1]
        collected.append(match[path])
        path = parent[path]
    matches = np.concatenate(collected)
    return matches[matches >= 0]
