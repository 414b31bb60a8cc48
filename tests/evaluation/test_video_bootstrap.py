"""Scores on resampled videos: a weight of 2 is the same as a copy of the video."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.detection_analysis import match_to_truth
from pipeline.evaluation.detections import score_detections
from pipeline.evaluation.proposals import compute_recall_curve, rank_proposals, score_proposals
from pipeline.evaluation.segments import GroundTruth, ScoredSegments
from pipeline.evaluation.video_bootstrap import (
    bootstrap_detections,
    bootstrap_proposals,
    bootstrap_videos,
    draw_weights,
)

VIDEOS = ("a", "b", "c")


def example(seed: int) -> tuple[GroundTruth, ScoredSegments]:
    """Return instances of two classes and distinct scores of detections in three videos."""
    draw = np.random.default_rng(seed)
    starts = draw.uniform(0, 20, 7)
    truth = GroundTruth(
        VIDEOS,
        ("jump", "run"),
        np.array([0, 0, 1, 1, 1, 2, 2]),
        np.stack([starts, starts + draw.uniform(2, 9, 7)], 1),
        np.array([0, 1, 0, 1, 1, 0, 1]),
    )
    chosen = np.repeat(np.arange(7), 4)
    times = truth.times[chosen] + draw.normal(0, 1, (28, 2))
    times.sort(axis=1)
    return truth, ScoredSegments(
        VIDEOS, truth.labels, truth.video[chosen], times, draw.permutation(28) / 28, truth.label[chosen]
    )


def copy_video(truth: GroundTruth, segments: ScoredSegments) -> tuple[GroundTruth, ScoredSegments]:
    """Add a second copy of video `c`; its scores are a little lower, so that no two are equal."""
    is_last, of_last = truth.video == 2, segments.video == 2
    copied = GroundTruth(
        (*VIDEOS, "d"),
        truth.labels,
        np.append(truth.video, truth.video[is_last] + 1),
        np.concatenate([truth.times, truth.times[is_last]]),
        np.append(truth.label, truth.label[is_last]),
    )
    return copied, ScoredSegments(
        copied.videos,
        segments.labels,
        np.append(segments.video, segments.video[of_last] + 1),
        np.concatenate([segments.times, segments.times[of_last]]),
        np.append(segments.scores, segments.scores[of_last] - 1e-9),
        np.append(segments.label, segments.label[of_last]),
    )


WEIGHTS = np.array([[1.0, 1, 1], [1, 1, 2], [0, 1, 1]])


@given(st.integers(0, 300))
def test_map_of_weighted_videos_is_that_of_copies(seed: int) -> None:
    truth, segments = example(seed)
    values = bootstrap_detections(match_to_truth(truth, segments), WEIGHTS)
    scores = score_detections(truth, segments)["mAP"]
    assert abs(values["mAP"][0] - scores["mean"]) < 1e-12
    assert abs(values["mAP@0.7"][0] - scores["0.7"]) < 1e-12
    copied = score_detections(*copy_video(truth, segments))["mAP"]
    assert abs(values["mAP"][1] - copied["mean"]) < 1e-12
    is_other, of_other = truth.video > 0, segments.video > 0
    fewer = replace(truth, video=truth.video[is_other], times=truth.times[is_other], label=truth.label[is_other])
    others = replace(
        segments,
        video=segments.video[of_other],
        times=segments.times[of_other],
        scores=segments.scores[of_other],
        label=segments.label[of_other],
    )
    assert abs(values["mAP"][2] - score_detections(fewer, others)["mAP"]["mean"]) < 1e-12


@given(st.integers(0, 300))
def test_recall_of_weighted_videos_is_that_of_copies(seed: int) -> None:
    truth, segments = example(seed)
    ranked = rank_proposals(truth, segments, 5)
    curve = compute_recall_curve(truth, ranked.video, ranked.times, ranked.average)
    values = bootstrap_proposals(truth, curve, WEIGHTS)
    scores = score_proposals(truth, segments, 5)
    assert abs(values["AUC"][0] - scores["AUC"]) < 1e-12
    assert abs(values["AR@5"][0] - scores["AR"]["5"]) < 1e-12
    instances = WEIGHTS[1] * truth.counts
    expected = instances @ curve.video_recall[:, -1] / instances.sum()
    assert abs(values["AR@5"][1] - expected) < 1e-12


def test_values_of_videos_are_averaged_with_their_weights() -> None:
    values = bootstrap_videos({"a": 1.0, "c": 4.0}, VIDEOS, np.array([[1.0, 1, 1], [1, 1, 2], [0, 3, 0]]))
    np.testing.assert_allclose(values, [2.5, 3.0, np.nan])


def test_draws_have_as_many_videos_as_there_are_and_depend_on_the_dataset_alone() -> None:
    weights = draw_weights(5, 20, 0)
    assert weights.shape == (21, 5)
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 5).all()
    assert (draw_weights(5, 20, 0) == weights).all()
    assert (draw_weights(5, 20, 1) != weights).any()
