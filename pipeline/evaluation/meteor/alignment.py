"""METEOR's choice among all possible matches of a pair: a beam search, here over many pairs at once.

Denkowski and Lavie (2014), section 2.1: most matches, then fewest chunks, then shortest distance. The search is that of
METEOR 1.5, to the last tie: the beam holds 40 paths; the reference is walked from left to right; a match that is not
exact weighs half its words, rounded down; and the distance that the skipped alternatives would have added remains with
the path that continues without them.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt64

from pipeline.evaluation.ragged import Indices, concat_ranges, offsets_of

BEAM_SIZE = 40

Masks = UInt64[np.ndarray, "_ _"]
"""Bit masks of the matched words of sentences, in blocks of 64 words."""


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
        reference_mask: matched words of the reference.
        caption_mask: matched words of the caption.
        position: word of the reference at which the next match may start.
        last: word of the caption after the last match; -1 if the previous word is not matched.
        weight: total weight of the matches.
        chunks: number of complete chunks.
        distance: total distance between the positions of matched words.
    """

    pair: Int[np.ndarray, " n"]
    reference_mask: Masks
    caption_mask: Masks
    position: Int[np.ndarray, " n"]
    last: Int[np.ndarray, " n"]
    weight: Int[np.ndarray, " n"]
    chunks: Int[np.ndarray, " n"]
    distance: Int[np.ndarray, " n"]

    def take(self, index: Indices) -> "_Paths":
        return _Paths(*(column[index] for column in self))


@dataclass(frozen=True)
class _SearchSpace:
    """The matches of a batch, indexed by the place where they start: a word of a reference, or its end.

    Attributes:
        matches: all possible matches.
        reference_masks: words of the reference that each match covers.
        caption_masks: words of the caption that each match covers.
        offsets: first place of each reference; it has one place more than words.
        first: index of the first match of each place.
        definite: the match that is certain to be chosen at each place, or -1.
    """

    matches: Matches
    reference_masks: Masks
    caption_masks: Masks
    offsets: Int[np.ndarray, " offsets"]
    first: Indices
    definite: Indices

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
        reference_masks = _word_masks(
            matches.reference_start, matches.reference_length, int(reference_lengths.max(initial=1))
        )
        caption_masks = _word_masks(matches.caption_start, matches.caption_length, int(caption_lengths.max(initial=1)))
        return cls(matches, reference_masks, caption_masks, offsets, first, definite)

    def distances(self, match: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Return the distance between the two positions of each match, words."""
        return np.abs(self.matches.reference_start[match] - self.matches.caption_start[match])


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
    paths = _initial_paths(space, len(reference_lengths))
    history: list[tuple[Indices, Indices]] = []
    best: list[Indices] = []
    for word in range(int(reference_lengths.max(initial=0)) + 1):
        beam = _prune_beam(paths)
        is_complete = reference_lengths[paths.pair[beam]] == word
        best.append(_best_complete(paths, beam[is_complete]))
        beam = beam[~is_complete]
        if len(beam) == 0:
            break
        paths, parent, match = _step(paths, beam, word, space)
        history.append((parent, match))
    return _backtrack(history, best)


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


def _word_masks(start: Indices, length: Indices, num_words: int) -> Masks:
    """Return the bit masks of `length` words from `start` on."""
    low_bits = np.array([(1 << count) - 1 for count in range(65)], np.uint64)
    blocks = 64 * np.arange((num_words + 63) // 64)
    end = np.clip(start[:, None] + length[:, None] - blocks, 0, 64)
    return low_bits[end] & ~low_bits[np.clip(start[:, None] - blocks, 0, 64)]


def _initial_paths(space: _SearchSpace, num_pairs: int) -> _Paths:
    """Return one path per pair, on which the words of the definite matches are covered from the start."""
    definite = space.definite[space.definite >= 0]
    word_masks = (space.reference_masks, space.caption_masks)
    covered = [np.zeros((num_pairs, masks.shape[1]), np.uint64) for masks in word_masks]
    for mask, masks in zip(covered, word_masks, strict=True):
        np.bitwise_or.at(mask, space.matches.pair[definite], masks[definite])
    zero = np.zeros(num_pairs, np.int64)
    return _Paths(np.arange(num_pairs), covered[0], covered[1], zero, zero - 1, zero, zero, zero)


def _rank_paths(pair: Indices, weight: Indices, chunks: Indices, distance: Indices) -> Indices:
    """Order the paths of each pair from the best to the worst; equal paths keep their order."""
    max_weight, max_chunks, max_distance = (int(column.max(initial=0)) + 1 for column in (weight, chunks, distance))
    rank = (pair * max_weight + (max_weight - 1 - weight)) * max_chunks + chunks
    if (int(pair.max(initial=0)) + 1) * max_weight * max_chunks * max_distance < 1 << 62:
        return np.argsort(rank * max_distance + distance, kind="stable")
    return np.lexsort((distance, rank))


def _prune_beam(paths: _Paths) -> Indices:
    """Return the best paths of each pair, as many as the beam holds."""
    if len(paths.pair) == 0 or (np.diff(paths.pair) > 0).all():
        return np.arange(len(paths.pair))
    order = _rank_paths(paths.pair, paths.weight, paths.chunks, paths.distance)
    pair = paths.pair[order]
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    rank = np.arange(len(pair)) - np.repeat(first, np.diff(first, append=len(pair)))
    return order[rank < BEAM_SIZE]


def _best_complete(paths: _Paths, complete: Indices) -> Indices:
    """Return the best path of each pair among complete paths, with their last chunk counted."""
    ended = paths.take(complete)
    order = _rank_paths(ended.pair, ended.weight, ended.chunks + (ended.last != -1), ended.distance)
    return complete[order[np.flatnonzero(np.diff(ended.pair[order], prepend=-1))]]


def _step(paths: _Paths, beam: Indices, word: int, space: _SearchSpace) -> tuple[_Paths, Indices, Indices]:
    """Extend every path of the beam by every match that may start at a word of its reference, and by none.

    Returns:
        The new paths; the index of each one's parent; its match, or -1.
    """
    block, bit = divmod(word, 64)
    pair = paths.pair[beam]
    place = space.offsets[pair] + word
    is_covered = (paths.reference_mask[beam, block] >> np.uint64(bit)) & np.uint64(1) != 0
    is_inside = is_covered & (paths.position[beam] > word)
    num_options = np.where(is_covered, 0, space.first[place + 1] - space.first[place])

    count = num_options + 1
    origin = np.repeat(np.arange(len(beam)), count)
    begin = np.cumsum(count) - count
    option = concat_ranges(0, count)
    is_option = option < num_options[origin]  # else the last one: a definite match, or none
    match = np.where(
        is_option,
        space.first[place[origin]] + option,
        np.where(is_covered & ~is_inside, space.definite[place], -1)[origin],
    )
    parent = beam[origin]

    is_valid = np.ones(len(origin), bool)
    options = np.flatnonzero(is_option)
    clash = (paths.reference_mask[parent[options]] & space.reference_masks[match[options]]).any(axis=1)
    clash |= (paths.caption_mask[parent[options]] & space.caption_masks[match[options]]).any(axis=1)
    is_valid[options[clash]] = False
    valid_options = options[~clash]
    length = np.zeros(len(origin), np.int64)
    length[valid_options] = space.distances(match[valid_options])
    total = np.cumsum(length) - length
    distance = paths.distance[parent] + total - total[begin[origin]]

    valid = np.flatnonzero(is_valid)
    new = paths.take(parent[valid])._replace(distance=distance[valid])
    match, is_option, is_inside = match[valid], is_option[valid], is_inside[origin[valid]]
    return _extend(new, word, match, is_option, is_inside, space), parent[valid], match


def _extend(
    paths: _Paths,
    word: int,
    match: Indices,
    is_option: Bool[np.ndarray, " n"],
    is_inside: Bool[np.ndarray, " n"],
    space: _SearchSpace,
) -> _Paths:
    """Update the state of paths: each takes its match, leaves the word unmatched, or is inside an earlier match."""
    with_match = np.flatnonzero(match >= 0)
    chosen = space.matches.take(match[with_match])
    last, chunks, position = paths.last.copy(), paths.chunks.copy(), paths.position.copy()
    weight, distance = paths.weight.copy(), paths.distance.copy()

    chunks[with_match] += (last[with_match] != -1) & (chosen.caption_start != last[with_match])
    last[with_match] = chosen.caption_start + chosen.caption_length
    position[with_match] = chosen.reference_start + chosen.reference_length
    is_exact = chosen.module == 0
    weight[with_match] += np.where(
        is_exact,
        chosen.caption_length + chosen.reference_length,
        chosen.caption_length // 2 + chosen.reference_length // 2,
    )
    definite = np.flatnonzero((match >= 0) & ~is_option)
    distance[definite] += space.distances(match[definite])

    unmatched = (match < 0) & ~is_inside
    chunks[unmatched] += last[unmatched] != -1
    last[unmatched] = -1
    position[unmatched] = word + 1

    options = np.flatnonzero(is_option)
    paths.reference_mask[options] |= space.reference_masks[match[options]]
    paths.caption_mask[options] |= space.caption_masks[match[options]]
    return paths._replace(position=position, last=last, weight=weight, chunks=chunks, distance=distance)


def _backtrack(history: list[tuple[Indices, Indices]], best: list[Indices]) -> Int[np.ndarray, " selected"]:
    """Collect the matches along the best paths, from their end to their start."""
    collected: list[Indices] = [np.empty(0, np.int64)]
    path = np.empty(0, np.int64)
    for word in range(len(history), 0, -1):
        path = np.concatenate([path, best[word]])
        parent, match = history[word - 1]
        collected.append(match[path])
        path = parent[path]
    matches = np.concatenate(collected)
    return np.sort(matches[matches >= 0])
