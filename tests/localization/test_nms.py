"""From boundary probabilities to proposals."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.io.atomic import read_json
from pipeline.localization.nms import BOUNDARIES, Boundaries, likely_events, pair, soft_nms, tiou

probabilities = st.integers(1, 40).flatmap(
    lambda clips: st.tuples(*[arrays(np.float32, clips, elements=st.floats(0, 1, width=32)) for _ in range(3)])
)


def array(*segments: tuple[float, float]) -> np.ndarray:
    return np.array(segments, np.float64)


def test_tiou_of_segments() -> None:
    found = tiou(array((0, 4), (5, 5)), array((0, 4), (2, 6), (4, 8), (1, 2), (5, 5)))
    np.testing.assert_allclose(found[0], [1, 1 / 3, 0, 1 / 4, 0])
    np.testing.assert_allclose(found[1], 0, err_msg="an empty segment overlaps nothing, itself neither")


def test_soft_nms_of_known_values() -> None:
    segments = array((0, 10), (0, 5), (20, 30), (0, 10))
    chosen, scores = soft_nms(segments, np.array([0.9, 0.8, 0.6, 0.7]), sigma=0.5, keep=4)
    # tIoU with the first is 0.5 for the second, 1 for the last; that of those two is 0.5.
    once = math.exp(-(0.5**2) / 0.5)
    assert chosen.tolist() == [0, 2, 1, 3]
    np.testing.assert_allclose(scores, [0.9, 0.6, 0.8 * once, 0.7 * math.exp(-1 / 0.5) * once])


def test_soft_nms_stops_after_enough() -> None:
    chosen, _ = soft_nms(array((0, 1), (2, 3), (4, 5)), np.array([0.1, 0.3, 0.2]), sigma=0.5, keep=2)
    assert chosen.tolist() == [1, 2]


def test_likely_starts_meet_likely_ends() -> None:
    found = Boundaries(
        start=np.array([0.1, 0.9, 0.1, 0.1, 0.1], np.float32),
        end=np.array([0.1, 0.1, 0.1, 0.8, 0.1], np.float32),
        inside=np.array([0.0, 0.9, 0.6, 0.9, 0.0], np.float32),
    )
    segments, scores = pair(found, np.arange(6.0))
    best = scores.argmax()
    assert segments[best].tolist() == [1.0, 4.0]
    assert scores[best] == pytest.approx(0.9 * 0.8 * 0.8)


def test_two_events_give_two_proposals_and_no_third() -> None:
    start, end, inside = (np.full(12, 0.01, np.float32) for _ in range(3))
    start[[1, 7]], end[[4, 10]] = 0.9, 0.9
    inside[1:5], inside[7:11] = 0.95, 0.95
    found = likely_events(*pair(Boundaries(start, end, inside), np.arange(13.0)), sigma=0.4, keep=10, min_score=0.7)
    assert [(one.start, one.end) for one in found] == [(1.0, 5.0), (7.0, 11.0)]


def test_many_boundaries_are_cut_to_the_likeliest() -> None:
    clips = 3 * BOUNDARIES
    flat = np.full(clips, 0.5, np.float32)
    start = flat.copy()
    start[17] = 0.9
    segments, scores = pair(Boundaries(start, flat, flat), np.arange(clips + 1.0))
    assert len(segments) <= BOUNDARIES**2
    assert segments[scores.argmax(), 0] == 17.0


@given(probabilities, st.floats(0.05, 2), st.integers(1, 6), st.floats(0, 1), st.floats(0.5, 100))
def test_proposals_lie_inside_the_video_in_order(
    values: tuple[np.ndarray, np.ndarray, np.ndarray],
    sigma: float,
    keep: int,
    min_score: float,
    duration: float,
) -> None:
    edges = np.linspace(0, duration, len(values[0]) + 1)
    found = likely_events(*pair(Boundaries(*values), edges), sigma=sigma, keep=keep, min_score=min_score)
    assert 1 <= len(found) <= keep
    assert found == sorted(found)
    for one in found:
        assert 0 <= one.start < one.end <= duration
        assert 0 <= one.score <= 1


@given(probabilities)
def test_soft_nms_never_raises_a_score(values: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    segments, scores = pair(Boundaries(*values), np.arange(len(values[0]) + 1.0))
    chosen, kept = soft_nms(segments, scores, sigma=0.4, keep=5)
    assert (kept <= scores[chosen]).all()
    assert len(set(chosen.tolist())) == len(chosen)
    assert (np.diff(kept) <= 0).all()


def test_soft_nms_with_a_limit_is_the_published_one(shared: Path) -> None:
    known = read_json(shared / "golden" / "bmn.json")["softnms"]
    draw = np.random.RandomState(9)
    segments, scores = np.sort(draw.rand(300, 2), 1), draw.rand(300)
    chosen, kept = soft_nms(segments, scores, sigma=0.4, keep=101, above=(0.5, 0.9))
    found = np.column_stack([kept, segments[chosen]])
    assert len(found) == known["n_out"]
    np.testing.assert_allclose(found[:5], known["first5"], atol=1e-12)
    np.testing.assert_allclose(found[-1], known["last"], atol=1e-12)
    assert kept.sum() == pytest.approx(known["score_sum"], abs=1e-10)
