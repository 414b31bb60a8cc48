"""Training at the times of proposals."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.captioning.scst import ProposalSampler, assign_proposals
from pipeline.captioning.streams import EventSequence
from pipeline.localization.proposals import Proposal

SEQUENCE = EventSequence("v_a", ((0.0, 10.0), (20.0, 30.0)), ("one", "two"))


def proposal(start: int, end: int) -> Proposal:
    return Proposal(float(start), float(end), 1.0)


def segments(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 2)


def test_assign_proposals_gives_an_event_the_proposals_that_overlap_it_most() -> None:
    first, second = assign_proposals(segments((0, 10), (20, 30)), segments((0, 9), (5, 22), (8, 28), (40, 50)))
    assert first.tolist() == [[0, 9], [5, 22]]
    assert second.tolist() == [[8, 28]]


def test_assign_proposals_gives_an_event_its_best_proposal_in_any_case() -> None:
    first, second = assign_proposals(segments((0, 10), (0, 40)), segments((0, 12)))
    assert first.tolist() == second.tolist() == [[0, 12]]


intervals = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), max_size=6).map(
    lambda rows: segments(*((start, start + length) for start, length in rows))
)


@given(intervals, intervals)
def test_assign_proposals_equals_the_rule_applied_one_by_one(events: np.ndarray, proposals: np.ndarray) -> None:
    def tiou(one: np.ndarray, other: np.ndarray) -> float:
        intersection = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
        return intersection / (one[1] - one[0] + other[1] - other[0] - intersection)

    table = [[tiou(event, proposal) for proposal in proposals] for event in events]
    for index, assigned in enumerate(assign_proposals(events, proposals)):
        expected = []
        for place, of_event in enumerate(proposals):
            column = [row[place] for row in table]
            best_event = max(range(len(events)), key=lambda at, column=column: round(column[at], 6))
            best_proposal = max(range(len(proposals)), key=lambda at, row=table[index]: round(row[at], 6))
            if (column[index] > 0 and index == best_event) or (table[index][place] > 0 and place == best_proposal):
                expected.append(of_event.tolist())
        assert assigned.tolist() == expected


def draw(copies: int = 1, seed: int = 0, **proposals: list[Proposal]) -> list[EventSequence]:
    return ProposalSampler([SEQUENCE], proposals).draw(copies, np.random.default_rng(seed))


def test_draw_uses_the_proposals_of_each_event_and_keeps_the_sentences() -> None:
    sequences = draw(50, v_a=[proposal(0, 9), proposal(1, 12), proposal(19, 33)])
    assert {sequence.times for sequence in sequences} == {((0, 9), (19, 33)), ((1, 12), (19, 33))}
    assert {sequence.sentences for sequence in sequences} == {("one", "two")}


def test_draw_depends_on_the_generator_alone() -> None:
    proposals = [proposal(start, start + 8) for start in range(4)]
    assert draw(9, 1, v_a=proposals) == draw(9, 1, v_a=proposals) != draw(9, 2, v_a=proposals)


def test_draw_sorts_the_events_by_time() -> None:
    [sequence] = ProposalSampler(
        [EventSequence("v_a", ((0.0, 10.0), (1.0, 30.0)), ("one", "two"))],
        {"v_a": [proposal(2, 9), proposal(0, 29)]},
    ).draw(1, np.random.default_rng(0))
    assert (sequence.times, sequence.sentences) == (((0, 29), (2, 9)), ("two", "one"))


@pytest.mark.parametrize("proposals", [{}, {"v_a": [proposal(12, 15)]}])
def test_draw_keeps_the_times_of_events_that_no_proposal_overlaps(
    proposals: dict[str, list[Proposal]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert draw(2, **proposals) == [SEQUENCE, SEQUENCE]
    assert "2 events overlap no proposal" in caplog.text
