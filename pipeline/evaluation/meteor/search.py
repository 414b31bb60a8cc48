"""METEOR's choice among all possible matches of a pair: a beam search, here over many pairs at once.

Denkowski and Lavie 2014, section 2.1: most matches, then fewest chunks, then shortest distance. The numbers are those
of METEOR 1.5 to the last tie: the beam holds 40 paths; the reference is walked from left to right; a match that is no
exact one weighs half its words, rounded down; and what an alternative would have added to the distance stays with the
path that goes on without it.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt64

from pipeline.evaluation.ragged import Indices, bounds, ranges

BEAM = 40

Masks = UInt64[np.ndarray, "_ _"]
"""Which words of a sentence are taken: one bit each, in blocks of 64."""


@dataclass(frozen=True)
class Matches:
    """What may be matched in a batch of pairs, in the order in which METEOR finds it.

    Attributes:
        pair: index of the pair in the batch, ascending.
        start: first word in the reference, ascending within a pair.
        length: words of the reference.
        other: first word in the caption.
        width: words of the caption.
        module: 0 exact, 1 stem, 2 synonym, 3 paraphrase.
    """

    pair: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    length: Int[np.ndarray, " n"]
    other: Int[np.ndarray, " n"]
    width: Int[np.ndarray, " n"]
    module: Int[np.ndarray, " n"]

    def take(self, index: Int[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> "Matches":
        """Those at the given places."""
        return Matches(*(getattr(self, field.name)[index] for field in fields(self)))


class _Paths(NamedTuple):
    """Partial alignments.

    Attributes:
        pair: whose.
        taken: words of the reference that are matched.
        other_taken: words of the caption that are matched.
        position: word of the reference at which the next match may start.
        last: word of the caption after the last match; -1 if the word before is not matched.
        weight: of the matches.
        chunks: those that are complete.
        distance: between the places of what is matched.
    """

    pair: Int[np.ndarray, " n"]
    taken: Masks
    other_taken: Masks
    position: Int[np.ndarray, " n"]
    last: Int[np.ndarray, " n"]
    weight: Int[np.ndarray, " n"]
    chunks: Int[np.ndarray, " n"]
    distance: Int[np.ndarray, " n"]

    def take(self, index: Indices) -> "_Paths":
        return _Paths(*(column[index] for column in self))


@dataclass(frozen=True)
class _Field:
    """What the paths of a batch walk through.

    Attributes:
        matches: all that are possible.
        taken: the words of the reference that each of them takes.
        other_taken: the words of the caption.
        offsets: of the words of each reference, one place more than it has words.
        first: of the matches at each of these places.
        definite: the one match that is certain to be taken there, or -1.
    """

    matches: Matches
    taken: Masks
    other_taken: Masks
    offsets: Int[np.ndarray, " bounds"]
    first: Indices
    definite: Indices

    @classmethod
    def of(cls, matches: Matches, lengths: Int[np.ndarray, " pairs"], others: Int[np.ndarray, " pairs"]) -> "_Field":
        offsets = bounds(lengths + 1)
        place = offsets[matches.pair] + matches.start
        first = bounds(np.bincount(place, minlength=offsets[-1]))
        certain = _definite(matches, first, place, lengths, others)
        definite = np.full(offsets[-1], -1)
        definite[place[certain]] = np.flatnonzero(certain)
        taken = _bits(matches.start, matches.length, int(lengths.max(initial=1)))
        other_taken = _bits(matches.other, matches.width, int(others.max(initial=1)))
        return cls(matches, taken, other_taken, offsets, first, definite)

    def away(self, match: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """How far the two sides of matches are apart, words."""
        return np.abs(self.matches.start[match] - self.matches.other[match])


def search(
    matches: Matches, lengths: Int[np.ndarray, " pairs"], others: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " chosen"]:
    """Choose the matches of every pair.

    Args:
        matches: all that are possible.
        lengths: words of each reference.
        others: words of each caption.

    Returns:
        Indices into `matches`, ascending.
    """
    field = _Field.of(matches, lengths, others)
    paths = _begin(field, len(lengths))
    history: list[tuple[Indices, Indices]] = []
    best: list[Indices] = []
    for word in range(int(lengths.max(initial=0)) + 1):
        order = _ranked(paths)
        ends = lengths[paths.pair[order]] == word
        best.append(_best(paths, order[ends]))
        order = order[~ends]
        if len(order) == 0:
            break
        paths, parent, match = _advance(paths, order, word, field)
        history.append((parent, match))
    return _chosen(history, best)


def _definite(
    matches: Matches,
    first: Indices,
    place: Indices,
    lengths: Int[np.ndarray, " pairs"],
    others: Int[np.ndarray, " pairs"],
) -> Bool[np.ndarray, " n"]:
    """Matches that stand alone: no other one starts at the same word or touches any of their words."""
    alone = first[place + 1] - first[place] == 1
    for start, length, totals in (
        (matches.start, matches.length, lengths),
        (matches.other, matches.width, others),
    ):
        begin = bounds(totals)[matches.pair] + start
        steps = np.bincount(begin, minlength=totals.sum() + 1) - np.bincount(begin + length, minlength=totals.sum() + 1)
        shared = bounds((np.cumsum(steps) != 1).astype(np.int64))
        alone &= shared[begin + length] == shared[begin]
    return alone


def _bits(start: Indices, length: Indices, words: int) -> Masks:
    """The bits of the words from `start` on."""
    low = np.array([(1 << count) - 1 for count in range(65)], np.uint64)
    blocks = 64 * np.arange((words + 63) // 64)
    end = np.clip(start[:, None] + length[:, None] - blocks, 0, 64)
    return low[end] & ~low[np.clip(start[:, None] - blocks, 0, 64)]


def _begin(field: _Field, pairs: int) -> _Paths:
    """One path per pair, on which the words of the definite matches are taken from the start."""
    definite = field.definite[field.definite >= 0]
    masks = [np.zeros((pairs, bits.shape[1]), np.uint64) for bits in (field.taken, field.other_taken)]
    for mask, bits in zip(masks, (field.taken, field.other_taken), strict=True):
        np.bitwise_or.at(mask, field.matches.pair[definite], bits[definite])
    zero = np.zeros(pairs, np.int64)
    return _Paths(np.arange(pairs), masks[0], masks[1], zero, zero - 1, zero, zero, zero)


def _order(pair: Indices, weight: Indices, chunks: Indices, distance: Indices) -> Indices:
    """Paths of each pair from the best to the worst; among equal ones the first found is first."""
    heaviest, most, farthest = (int(column.max(initial=0)) + 1 for column in (weight, chunks, distance))
    rank = (pair * heaviest + (heaviest - 1 - weight)) * most + chunks
    if (int(pair.max(initial=0)) + 1) * heaviest * most * farthest < 1 << 62:
        return np.argsort(rank * farthest + distance, kind="stable")
    return np.lexsort((distance, rank))


def _ranked(paths: _Paths) -> Indices:
    """The paths that go on: the best of each pair, as many as the beam holds."""
    if len(paths.pair) == 0 or (np.diff(paths.pair) > 0).all():
        return np.arange(len(paths.pair))
    order = _order(paths.pair, paths.weight, paths.chunks, paths.distance)
    pair = paths.pair[order]
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    rank = np.arange(len(pair)) - np.repeat(first, np.diff(first, append=len(pair)))
    return order[rank < BEAM]


def _best(paths: _Paths, ended: Indices) -> Indices:
    """Of the paths that have reached the end, the best of each pair, their last chunk closed."""
    done = paths.take(ended)
    order = _order(done.pair, done.weight, done.chunks + (done.last != -1), done.distance)
    return ended[order[np.flatnonzero(np.diff(done.pair[order], prepend=-1))]]


def _advance(paths: _Paths, order: Indices, word: int, field: _Field) -> tuple[_Paths, Indices, Indices]:
    """Every path, at one word of its reference, with every match that may start there, and without any.

    Returns:
        The new paths; which of the old ones each goes on from; the match it takes, or -1.
    """
    block, bit = divmod(word, 64)
    pair = paths.pair[order]
    here = field.offsets[pair] + word
    busy = (paths.taken[order, block] >> np.uint64(bit)) & np.uint64(1) != 0
    inside = busy & (paths.position[order] > word)
    options = np.where(busy, 0, field.first[here + 1] - field.first[here])

    count = options + 1
    origin = np.repeat(np.arange(len(order)), count)
    begin = np.cumsum(count) - count
    option = ranges(0, count)
    choice = option < options[origin]  # else the last one: a definite match, or none
    match = np.where(
        choice, field.first[here[origin]] + option, np.where(busy & ~inside, field.definite[here], -1)[origin]
    )
    parent = order[origin]

    free = np.ones(len(origin), bool)
    chosen = np.flatnonzero(choice)
    clash = (paths.taken[parent[chosen]] & field.taken[match[chosen]]).any(axis=1)
    clash |= (paths.other_taken[parent[chosen]] & field.other_taken[match[chosen]]).any(axis=1)
    free[chosen[clash]] = False
    offered = chosen[~clash]
    length = np.zeros(len(origin), np.int64)
    length[offered] = field.away(match[offered])
    total = np.cumsum(length) - length
    distance = paths.distance[parent] + total - total[begin[origin]]

    keep = np.flatnonzero(free)
    new = paths.take(parent[keep])._replace(distance=distance[keep])
    match, choice, inside = match[keep], choice[keep], inside[origin[keep]]
    return _taking(new, word, match, choice, inside, field), parent[keep], match


def _taking(
    paths: _Paths,
    word: int,
    match: Indices,
    choice: Bool[np.ndarray, " n"],
    inside: Bool[np.ndarray, " n"],
    field: _Field,
) -> _Paths:
    """The paths after they have taken their match, or have left the word out, or are still inside a match."""
    some = np.flatnonzero(match >= 0)
    taking = field.matches.take(match[some])
    last, chunks, position = paths.last.copy(), paths.chunks.copy(), paths.position.copy()
    weight, distance = paths.weight.copy(), paths.distance.copy()

    chunks[some] += (last[some] != -1) & (taking.other != last[some])
    last[some] = taking.other + taking.width
    position[some] = taking.start + taking.length
    exact = taking.module == 0
    weight[some] += np.where(exact, taking.width + taking.length, taking.width // 2 + taking.length // 2)
    definite = np.flatnonzero((match >= 0) & ~choice)
    distance[definite] += field.away(match[definite])

    left = (match < 0) & ~inside
    chunks[left] += last[left] != -1
    last[left] = -1
    position[left] = word + 1

    free = np.flatnonzero(choice)
    paths.taken[free] |= field.taken[match[free]]
    paths.other_taken[free] |= field.other_taken[match[free]]
    return paths._replace(position=position, last=last, weight=weight, chunks=chunks, distance=distance)


def _chosen(history: list[tuple[Indices, Indices]], best: list[Indices]) -> Int[np.ndarray, " chosen"]:
    """Walk back along the best paths and collect their matches."""
    found: list[Indices] = [np.empty(0, np.int64)]
    path = np.empty(0, np.int64)
    for word in range(len(history), 0, -1):
        path = np.concatenate([path, best[word]])
        parent, match = history[word - 1]
        found.append(match[path])
        path = parent[path]
    taken = np.concatenate(found)
    return np.sort(taken[taken >= 0])
