"""Training on proposals instead of annotated times."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.captioning.data import EventSequence
from pipeline.captioning.proposal_sampling import Proposed, matched
from pipeline.localization.proposals import Proposal

SEQUENCE = EventSequence("v_a", ((0.0, 10.0), (20.0, 30.0)), ("one", "two"))


def during(start: int, end: int) -> Proposal:
    return Proposal(float(start), float(end), 1.0)


def segments(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 2)


def test_an_event_has_the_proposals_that_overlap_it_most() -> None:
    first, second = matched(segments((0, 10), (20, 30)), segments((0, 9), (5, 22), (8, 28), (40, 50)))
    assert first.tolist() == [[0, 9], [5, 22]]
    assert second.tolist() == [[8, 28]]


def test_an_events_best_proposal_is_its_own_whatever_it_overlaps_more() -> None:
    first, second = matched(segments((0, 10), (0, 40)), segments((0, 12)))
    assert first.tolist() == second.tolist() == [[0, 12]]


spans = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), max_size=6).map(
    lambda rows: segments(*((start, start + length) for start, length in rows))
)


@given(spans, spans)
def test_the_rule_one_by_one(events: np.ndarray, proposals: np.ndarray) -> None:
    def iou(one: np.ndarray, other: np.ndarray) -> float:
        inside = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
        return inside / (one[1] - one[0] + other[1] - other[0] - inside)

    table = [[iou(event, proposal) for proposal in proposals] for event in events]
    for index, found in enumerate(matched(events, proposals)):
        mine = []
        for place, proposal in enumerate(proposals):
            column = [row[place] for row in table]
            best_event = max(range(len(events)), key=lambda at, column=column: round(column[at], 6))
            best_proposal = max(range(len(proposals)), key=lambda at, row=table[index]: round(row[at], 6))
            if (column[index] > 0 and index == best_event) or (table[index][place] > 0 and place == best_proposal):
                mine.append(proposal.tolist())
        assert found.tolist() == mine


def drawn(times: int = 1, key: int = 0, **proposals: list[Proposal]) -> list[EventSequence]:
    return Proposed([SEQUENCE], proposals).draw(times, np.random.default_rng(key))


def test_draws_are_among_the_events_own_and_keep_the_sentences() -> None:
    found = drawn(50, v_a=[during(0, 9), during(1, 12), during(19, 33)])
    assert {one.times for one in found} == {((0, 9), (19, 33)), ((1, 12), (19, 33))}
    assert {one.sentences for one in found} == {("one", "two")}


def test_draws_depend_on_the_generator_alone() -> None:
    proposals = [during(start, start + 8) for start in range(4)]
    assert drawn(9, 1, v_a=proposals) == drawn(9, 1, v_a=proposals) != drawn(9, 2, v_a=proposals)


def test_events_stay_in_time_order() -> None:
    [found] = Proposed(
        [EventSequence("v_a", ((0.0, 10.0), (1.0, 30.0)), ("one", "two"))],
        {"v_a": [during(2, 9), during(0, 29)]},
    ).draw(1, np.random.default_rng(0))
    assert (found.times, found.sentences) == (((0, 29), (2, 9)), ("two", "one"))


@pytest.mark.parametrize("proposals", [{}, {"v_a": [during(12, 15)]}])
def test_events_without_a_proposal_keep_their_times(
    proposals: dict[str, list[Proposal]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert drawn(2, **proposals) == [SEQUENCE, SEQUENCE]
    assert "2 events that no proposal overlaps" in caplog.text
