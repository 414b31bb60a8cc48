"""The proposals of a training video, sorted into pools, and the centres that are drawn from them.

As in SSN (Zhao et al., 2017, section 4.2), whose sampling P-GCN took over: a proposal is foreground, incomplete or
background, after the annotated action that it overlaps most. The annotated actions themselves join the foreground. A
training item of a video has eight centres: one of the foreground, six incomplete ones, one of the background.

A foreground proposal has regression targets: how far the centre of its action is from its own, by its length, and the
logarithm of the ratio of the lengths (Zeng et al., 2019, equation 9). They are standardised by mean and standard
deviation over the foreground of all training videos without the annotated actions, whose targets are 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from pipeline.config.localizers import PgcnPools
from pipeline.localization.localizer import LabelledSegment
from pipeline.localization.pgcn.graph import Candidates, RandomDraws, sample_tree

FOREGROUND, INCOMPLETE, BACKGROUND = 0, 1, 2
"""Kinds of centres."""

CENTRES_PER_VIDEO: Mapping[int, int] = {FOREGROUND: 1, INCOMPLETE: 6, BACKGROUND: 1}
"""Centres of a training item by kind, in this order."""

Segments = Float[np.ndarray, "proposals 2"]


@dataclass(frozen=True)
class LabelledProposals:
    """Proposals of a video and how they match its annotated actions.

    Attributes:
        segments: start and end.
        labels: index of the class of the action that the proposal overlaps most.
        tious: tIoU with that action.
        overlaps: share of its own length in that action.
        targets: regression targets (shift of the centre, logarithm of the ratio of lengths), not standardised.
    """

    segments: Segments
    labels: Int64[np.ndarray, " proposals"]
    tious: Float[np.ndarray, " proposals"]
    overlaps: Float[np.ndarray, " proposals"]
    targets: Float[np.ndarray, "proposals 2"]


@dataclass(frozen=True)
class VideoPools:
    """The pools of a training video; their proposals, in the order of the pools, are the nodes of its graph.

    Attributes:
        segments: start and end of each proposal; the annotated actions are the last ones of the foreground.
        kinds: pool of each proposal: FOREGROUND, INCOMPLETE or BACKGROUND.
        labels: index of the class; -1 in the background.
        targets: regression targets, not standardised; 0 outside the foreground.
        is_annotated: whether a proposal is an annotated action.
    """

    segments: Segments
    kinds: Int64[np.ndarray, " proposals"]
    labels: Int64[np.ndarray, " proposals"]
    targets: Float[np.ndarray, "proposals 2"]
    is_annotated: Bool[np.ndarray, " proposals"]


def label_proposals(segments: Segments, actions: Sequence[LabelledSegment], frame: float = 0.0) -> LabelledProposals:
    """Match each proposal with the annotated action that it overlaps most; of equal ones, the first.

    Args:
        segments: start and end of proposals, each longer than 0.
        actions: annotated actions of the video, at least one, in the unit of the segments.
        frame: length of a frame; the targets of the authors' code are for lengths of end - start + 1 frames.
    """
    times = np.array([[action.start, action.end] for action in actions])
    overlap = np.minimum(segments[:, None, 1], times[:, 1]) - np.maximum(segments[:, None, 0], times[:, 0])
    overlap = np.maximum(overlap, 0.0)
    length, action_length = segments[:, 1] - segments[:, 0], times[:, 1] - times[:, 0]
    tiou = overlap / (length[:, None] + action_length - overlap)
    best = tiou.argmax(1)
    rows = np.arange(len(segments))
    return LabelledProposals(
        segments=segments,
        labels=np.array([action.label for action in actions], np.int64)[best],
        tious=tiou[rows, best],
        overlaps=overlap[rows, best] / length,
        targets=regression_targets(segments, times[best], frame),
    )


def regression_targets(segments: Segments, actions: Segments, frame: float = 0.0) -> Float[np.ndarray, "proposals 2"]:
    """Compute the regression targets of proposals, not standardised.

    Args:
        segments: start and end of proposals.
        actions: start and end of the action of each proposal.
        frame: see `label_proposals`.
    """
    length = segments[:, 1] - segments[:, 0] + frame
    action_length = actions[:, 1] - actions[:, 0] + frame
    shift = (actions.mean(1) - segments.mean(1)) / length
    return np.stack([shift, np.log(action_length / length)], 1)


def build_pools(
    proposals: LabelledProposals, actions: Sequence[LabelledSegment], duration: float, thresholds: PgcnPools
) -> VideoPools:
    """Sort the proposals of a training video into pools; those between the thresholds join none.

    Args:
        proposals: of the video, in any number.
        actions: annotated actions, at least one.
        duration: of the video, in the unit of the segments.
        thresholds: borders of the pools.
    """
    coverage = (proposals.segments[:, 1] - proposals.segments[:, 0]) / duration
    foreground = proposals.tious > thresholds.foreground
    incomplete = ~foreground & (proposals.tious < thresholds.incomplete)
    incomplete &= proposals.overlaps > thresholds.incomplete_overlap
    background = ~foreground & ~incomplete & (proposals.tious < thresholds.background)
    background &= coverage > thresholds.background_coverage
    pools = [np.flatnonzero(pool) for pool in (foreground, incomplete, background)]
    num_actions, num_foreground, num_others = len(actions), len(pools[0]), len(pools[1]) + len(pools[2])
    rows = np.concatenate(pools[1:])
    return VideoPools(
        segments=np.concatenate(
            [
                proposals.segments[pools[0]],
                np.array([[action.start, action.end] for action in actions]),
                proposals.segments[rows],
            ]
        ),
        kinds=np.repeat(
            np.array([FOREGROUND, INCOMPLETE, BACKGROUND]), [num_foreground + num_actions, *map(len, pools[1:])]
        ),
        labels=np.concatenate(
            [
                proposals.labels[pools[0]],
                np.array([action.label for action in actions], np.int64),
                proposals.labels[pools[1]],
                np.full(len(pools[2]), -1, np.int64),
            ]
        ),
        targets=np.concatenate([proposals.targets[pools[0]], np.zeros((num_actions + num_others, 2))]),
        is_annotated=np.repeat(np.array([False, True, False]), [num_foreground, num_actions, num_others]),
    )


def target_statistics(
    pools: Iterable[VideoPools],
) -> tuple[Float[np.ndarray, " targets"], Float[np.ndarray, " targets"]]:
    """Return mean and standard deviation of the regression targets over the foreground without annotated actions.

    Where there is no such proposal, or no deviation, the mean is 0 and the deviation 1.
    """
    targets = np.concatenate([video.targets[(video.kinds == FOREGROUND) & ~video.is_annotated] for video in pools])
    if not len(targets) or not targets.std(0).all():
        return np.zeros(2), np.ones(2)
    return targets.mean(0), targets.std(0)


def draw_trees(pools: VideoPools, candidates: Candidates, draws: RandomDraws) -> Int64[np.ndarray, "centres nodes"]:
    """Draw the eight centres of a training item, with replacement, and the tree of each.

    Where a video has no incomplete or no background proposal, the authors' code draws a foreground one. It then counts
    as foreground for the activity and the regression loss, and as incomplete for the completeness loss if it has the
    place of an incomplete one.

    Args:
        pools: of the video.
        candidates: neighbours of the proposals, see `pipeline.localization.pgcn.graph`.
        draws: draws a centre, then its tree, then the next centre.

    Returns:
        Indices of proposals; the first of each tree is the centre. The centres have the order of `CENTRES_PER_VIDEO`.
    """
    neighbours = candidates.tolist()
    trees = []
    for kind, number in CENTRES_PER_VIDEO.items():
        rows = np.flatnonzero(pools.kinds == kind)
        if not len(rows):
            rows = np.flatnonzero(pools.kinds == FOREGROUND)
        for _ in range(number):
            centre = int(rows[draws.choice(len(rows), 1)[0]])
            trees.append(sample_tree(neighbours, centre, draws))
    return np.array(trees, np.int64)
