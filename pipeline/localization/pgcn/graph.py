"""The graph of the proposals of a video (Zeng et al., 2019, section 3.2), and the nodes that are sampled from it.

A proposal has two kinds of neighbours: contextual ones, which overlap it by more than 0.7 (equation 4), and surrounding
ones, which do not overlap it and are near (equation 5). As the authors' code does, and as GraphSAGE (Hamilton et al.,
2017) samples, a centre is classified by a tree of 21 nodes: itself, 4 of its neighbours, and 4 neighbours of each. The
four are drawn from ten candidates: the 8 contextual neighbours of highest overlap and the 2 nearest surrounding ones.
A shorter list is repeated until it is long enough; an empty one consists of the proposal itself.

The authors' code counts the last frame of a segment as part of it: lengths are end - start + 1 frames. Times in seconds
need no such correction. So the functions take the length of a frame, in the unit of the segments, and 0 by default.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int64

NUM_CHILDREN = 4
"""Neighbours of a node in the tree."""
NUM_NODES = 1 + NUM_CHILDREN + NUM_CHILDREN**2
"""Nodes of the tree of a centre: the centre, its children, and the children of each child in this order."""
NUM_CONTEXTUAL = 8
"""Candidates of a node that overlap it."""
NUM_SURROUNDING = 2
"""Candidates of a node that do not overlap it."""
MIN_TIOU = 0.7
"""A contextual neighbour overlaps more than this (theta_ctx)."""

Segments = Float[np.ndarray, "proposals 2"]
Matrix = Float[np.ndarray, "proposals proposals"]
Candidates = Int64[np.ndarray, "proposals candidates"]


@runtime_checkable
class RandomDraws(Protocol):
    """What the sampling needs of a random generator; both interfaces of NumPy have it."""

    def shuffle(self, x: list[int], /) -> None:
        """Shuffle a list in place."""

    def choice(self, a: int, size: int) -> Int64[np.ndarray, " choices"]:
        """Draw `size` numbers below `a`, with replacement."""


def proposal_tious(segments: Segments, frame: float = 0.0) -> Matrix:
    """Compute the tIoU of each proposal with each other.

    Args:
        segments: start and end.
        frame: length of a frame, see the top of this module.
    """
    start, end = segments[:, 0], segments[:, 1]
    overlap = np.minimum(end[:, None], end) - np.maximum(start[:, None], start) + frame
    overlap = np.maximum(overlap, 0.0)
    length = end - start + frame
    union = length[:, None] + length - overlap
    return np.divide(overlap, union, out=np.zeros_like(union), where=union > 0)


def proposal_distances(segments: Segments, frame: float = 0.0) -> Matrix:
    """Compute the distance of each proposal to each other: the distance of the centres by the length of the hull.

    Args:
        segments: start and end.
        frame: length of a frame, see the top of this module.
    """
    centre = segments.mean(1)
    hull = np.maximum(segments[:, None, 1], segments[:, 1]) - np.minimum(segments[:, None, 0], segments[:, 0]) + frame
    distance = np.abs(centre[:, None] - centre)
    return np.divide(distance, hull, out=np.zeros_like(hull), where=hull > 0)


def neighbour_candidates(segments: Segments, frame: float = 0.0) -> Candidates:
    """Return the candidates of each proposal: contextual ones, best first, then surrounding ones, nearest first.

    The authors' code excludes a proposal from its own neighbours as the one that it overlaps most. That removes another
    one if a proposal is listed twice; here a proposal excludes itself.

    Args:
        segments: start and end of the proposals of one video, at least one.
        frame: length of a frame, see the top of this module.
    """
    tious, distances = proposal_tious(segments, frame), proposal_distances(segments, frame)
    is_other = ~np.eye(len(segments), dtype=bool)
    contextual = _repeat_best(-tious, (tious > MIN_TIOU) & is_other, NUM_CONTEXTUAL)
    surrounding = _repeat_best(distances, (tious == 0) & (distances > 0), NUM_SURROUNDING)
    return np.concatenate([contextual, surrounding], 1)


def _repeat_best(costs: Matrix, is_neighbour: Bool[np.ndarray, "proposals proposals"], number: int) -> Candidates:
    """Return the neighbours of lowest cost of each proposal, repeated in turn; itself if it has no neighbour."""
    order = np.argsort(np.where(is_neighbour, costs, np.inf), axis=1, kind="stable")
    counts = is_neighbour.sum(1)
    rank = np.arange(number) % np.maximum(counts, 1)[:, None]
    chosen = np.take_along_axis(order, rank, 1)
    return np.where(counts[:, None] > 0, chosen, np.arange(len(costs))[:, None]).astype(np.int64)


def sample_tree(pools: Sequence[Sequence[int]], centre: int, draws: RandomDraws) -> list[int]:
    """Sample the tree of a centre.

    Args:
        pools: candidates of each proposal, see `neighbour_candidates`.
        centre: index of a proposal.
        draws: draws the neighbours, in the order of the nodes.

    Returns:
        Indices of `NUM_NODES` proposals.
    """
    children = draw_children(pools[centre], draws)
    return [centre, *children, *(node for child in children for node in draw_children(pools[child], draws))]


def draw_children(pool: Sequence[int], draws: RandomDraws) -> list[int]:
    """Draw `NUM_CHILDREN` neighbours from their candidates."""
    shuffled = list(pool)
    draws.shuffle(shuffled)
    return shuffled[:NUM_CHILDREN]


def sample_all_trees(candidates: Candidates, draws: RandomDraws) -> Int64[np.ndarray, "proposals nodes"]:
    """Sample the tree of each proposal in turn.

    Args:
        candidates: see `neighbour_candidates`.
        draws: a generator that is seeded with the video gives a video the same trees each time. The authors' code draws
            anew at each test.
    """
    pools = candidates.tolist()
    return np.array([sample_tree(pools, centre, draws) for centre in range(len(pools))], np.int64)
