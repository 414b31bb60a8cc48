"""From boundary scores to proposals: pairing, soft-NMS, selection."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.config.localization import ProposalSelection
from pipeline.datasets.tiou import tiou_matrix
from pipeline.io.atomic import read_json
from pipeline.localization.nms import (
    MAX_BOUNDARIES,
    BoundaryScores,
    Candidates,
    pair_boundaries,
    select_proposals,
    soft_nms,
)

boundary_scores = st.integers(1, 40).flatmap(
    lambda rows: st.tuples(*[arrays(np.float32, rows, elements=st.floats(0, 1, width=32)) for _ in range(3)])
)


def array(*segments: tuple[float, float]) -> np.ndarray:
    return np.array(segments, np.float64)


def test_tiou_matrix_of_segments() -> None:
    tiou = tiou_matrix(array((0, 4), (5, 5)), array((0, 4), (2, 6), (4, 8), (1, 2), (5, 5)))
    np.testing.assert_allclose(tiou[0], [1, 1 / 3, 0, 1 / 4, 0])
    np.testing.assert_allclose(tiou[1], 0, err_msg="an empty segment overlaps nothing, not even itself")


def test_soft_nms_of_known_values() -> None:
    segments = array((0, 10), (0, 5), (20, 30), (0, 10))
    selected, scores = soft_nms(segments, np.array([0.9, 0.8, 0.6, 0.7]), sigma=0.5, max_selected=4)
    # The tIoU with the first segment is 0.5 for the second and 1 for the last; between those two it is 0.5.
    decay = math.exp(-(0.5**2) / 0.5)
    assert selected.tolist() == [0, 2, 1, 3]
    np.testing.assert_allclose(scores, [0.9, 0.6, 0.8 * decay, 0.7 * math.exp(-1 / 0.5) * decay])


def test_soft_nms_selects_at_most_max_selected() -> None:
    selected, _ = soft_nms(array((0, 1), (2, 3), (4, 5)), np.array([0.1, 0.3, 0.2]), sigma=0.5, max_selected=2)
    assert selected.tolist() == [1, 2]


def test_pair_boundaries_pairs_a_likely_start_with_a_likely_end() -> None:
    boundaries = BoundaryScores(
        start=np.array([0.1, 0.9, 0.1, 0.1, 0.1], np.float32),
        end=np.array([0.1, 0.1, 0.1, 0.8, 0.1], np.float32),
        actionness=np.array([0.0, 0.9, 0.6, 0.9, 0.0], np.float32),
    )
    candidates = pair_boundaries(boundaries, np.arange(6.0))
    best = candidates.scores.argmax()
    assert candidates.segments[best].tolist() == [1.0, 4.0]
    assert candidates.scores[best] == pytest.approx(0.9 * 0.8 * 0.8)


def test_select_proposals_of_two_events_gives_two_proposals() -> None:
    start, end, actionness = (np.full(12, 0.01, np.float32) for _ in range(3))
    start[[1, 7]], end[[4, 10]] = 0.9, 0.9
    actionness[1:5], actionness[7:11] = 0.95, 0.95
    candidates = pair_boundaries(BoundaryScores(start, end, actionness), np.arange(13.0))
    proposals = select_proposals(candidates, ProposalSelection(min_score=0.7))
    assert [(proposal.start, proposal.end) for proposal in proposals] == [(1.0, 5.0), (7.0, 11.0)]


def test_select_proposals_can_return_the_best_candidates_in_time_order() -> None:
    candidates = Candidates(array((4, 5), (0, 9), (0, 1)), np.array([0.2, 0.9, 0.8]))
    proposals = select_proposals(candidates, ProposalSelection(candidates=2, all_candidates=True))
    assert [(proposal.start, proposal.end, proposal.score) for proposal in proposals] == [(0, 1, 0.8), (0, 9, 0.9)]


def test_pair_boundaries_uses_the_best_boundaries_if_there_are_many() -> None:
    rows = 3 * MAX_BOUNDARIES
    flat = np.full(rows, 0.5, np.float32)
    start = flat.copy()
    start[17] = 0.9
    candidates = pair_boundaries(BoundaryScores(start, flat, flat), np.arange(rows + 1.0))
    assert len(candidates.segments) <= MAX_BOUNDARIES**2
    assert candidates.segments[candidates.scores.argmax(), 0] == 17.0


@given(boundary_scores, st.floats(0.05, 2), st.integers(1, 6), st.floats(0, 1), st.floats(0.5, 100))
def test_select_proposals_gives_ordered_proposals_inside_the_video(
    values: tuple[np.ndarray, np.ndarray, np.ndarray],
    sigma: float,
    max_proposals: int,
    min_score: float,
    duration: float,
) -> None:
    edges = np.linspace(0, duration, len(values[0]) + 1)
    selection = ProposalSelection(soft_nms_sigma=sigma, max_proposals=max_proposals, min_score=min_score)
    proposals = select_proposals(pair_boundaries(BoundaryScores(*values), edges), selection)
    assert 1 <= len(proposals) <= max_proposals
    assert proposals == sorted(proposals)
    for proposal in proposals:
        assert 0 <= proposal.start < proposal.end <= duration
        assert 0 <= proposal.score <= 1


@given(boundary_scores)
def test_soft_nms_never_raises_a_score(values: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    candidates = pair_boundaries(BoundaryScores(*values), np.arange(len(values[0]) + 1.0))
    selected, scores = soft_nms(candidates.segments, candidates.scores, sigma=0.4, max_selected=5)
    assert (scores <= candidates.scores[selected]).all()
    assert len(set(selected.tolist())) == len(selected)
    assert (np.diff(scores) <= 0).all()


def test_soft_nms_with_an_iou_threshold_range_is_the_published_one(shared: Path) -> None:
    expected = read_json(shared / "golden" / "bmn.json")["softnms"]
    draw = np.random.RandomState(9)
    segments, scores = np.sort(draw.rand(300, 2), 1), draw.rand(300)
    selected, selected_scores = soft_nms(segments, scores, sigma=0.4, max_selected=101, iou_threshold_range=(0.5, 0.9))
    result = np.column_stack([selected_scores, segments[selected]])
    assert len(result) == expected["n_out"]
    np.testing.assert_allclose(result[:5], expected["first5"], atol=1e-12)
    np.testing.assert_allclose(result[-1], expected["last"], atol=1e-12)
