"""Candidates, soft-NMS and windows of G-TAD against the published ones."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.gtad_goldens import read_golden, seeded_scores

from pipeline.localization.class_fusion import fuse_class_scores
from pipeline.localization.gtad.decoding import is_boundary, score_segments, suppress
from pipeline.localization.gtad.windows import contained_shares, cut_window, window_starts
from pipeline.localization.nms import Candidates
from pipeline.localization.rescaling import rescale_features

ANET = "gtad_anet_labels_losses_inference.json"
THUMOS = "gtad_thumos_windows_labels_losses_inference.json"


@pytest.mark.parametrize(("number", "video"), list(enumerate(["v_one", "v_two"])))
def test_detections_of_a_video_are_the_published_ones(shared: Path, number: int, video: str) -> None:
    golden = read_golden(shared, ANET)["inference_T40"]
    expected = golden[video]
    confidence, start, end = (
        seeded_scores(base + number, *shape)[0].double().numpy()
        for base, shape in ((100, (1, 2, 40, 40)), (200, (1, 40)), (300, (1, 40)))
    )
    assert np.flatnonzero(is_boundary(start, 0)).tolist() == expected["start_candidates"]
    assert np.flatnonzero(is_boundary(end, -1)).tolist() == expected["end_candidates"]
    candidates = score_segments(confidence[0], confidence[1], start, end)
    assert len(candidates.scores) == expected["candidates"]
    first = np.array(expected["first5_candidates"])
    np.testing.assert_allclose(candidates.segments[:5] / 40, first[:, :2], rtol=1e-5)
    np.testing.assert_allclose(candidates.scores[:5], first[:, 2] * first[:, 3], rtol=1e-5)
    assert candidates.scores.sum() == pytest.approx(expected["candidate_score_sum"], rel=1e-5)
    selected = suppress(candidates, sigma=0.8, limit=100)
    rows = np.array(expected["soft_nms_score_xmin_xmax"])
    np.testing.assert_allclose(selected.scores, rows[:, 0], rtol=1e-5)
    np.testing.assert_allclose(selected.segments / 40, rows[:, 1:], atol=1e-9)


class GoldenWindows:
    """The golden inference on windows: the soft-NMS rows of each window, and of the union of a video's windows."""

    def __init__(self, golden: Any) -> None:
        self.config, self.videos = golden["config"], golden["windows_video_offset"]

    def candidates(self, index: int) -> Candidates:
        positions, durations = self.config["temporal_scale"], self.config["max_duration"]
        confidence = seeded_scores(400 + index, 1, 2, durations, positions)[0].double().numpy()
        in_window = score_segments(confidence[0], confidence[1])
        return Candidates(
            in_window.segments * self.config["skip_videoframes"] + self.videos[index][1], in_window.scores
        )

    def suppress(self, candidates: Candidates) -> Candidates:
        # The published loop ends while one segment is left.
        limit = min(200, len(candidates.scores) - 1)
        return suppress(candidates, self.config["nms_thr"], limit, max_length=300.0)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_candidates_of_a_window_are_the_published_ones(shared: Path, index: int) -> None:
    golden = read_golden(shared, THUMOS)["inference"]
    expected, windows = golden[f"window{index}"], GoldenWindows(golden)
    candidates = windows.candidates(index)
    assert len(candidates.scores) == expected["candidates"]
    rows = np.array([*expected["first3"], expected["last"]])
    chosen = [0, 1, 2, len(candidates.scores) - 1]
    np.testing.assert_allclose(candidates.segments[chosen], rows[:, :2])
    np.testing.assert_allclose(candidates.scores[chosen], rows[:, 2] * rows[:, 3], rtol=1e-5)
    assert candidates.scores.sum() == pytest.approx(expected["score_sum"], rel=1e-6)
    selected = windows.suppress(candidates)
    assert len(selected.scores) == expected["soft_nms_rows"]
    first = np.array(expected["soft_nms_first12_score_xmin_xmax"])
    np.testing.assert_allclose(selected.scores[:12], first[:, 0], rtol=1e-5)
    np.testing.assert_allclose(selected.segments[:12], first[:, 1:])
    assert selected.scores.sum() == pytest.approx(expected["soft_nms_score_sum"], rel=1e-5)


# The first window of the first video has the file name of the second one, which overwrites it.
@pytest.mark.parametrize(("video", "indices"), [("video_test_0000004", (1, 2)), ("video_test_0000011", (3,))])
def test_detections_of_the_windows_of_a_video_are_the_published_ones(
    shared: Path, video: str, indices: tuple[int, ...]
) -> None:
    golden = read_golden(shared, THUMOS)["inference"]
    expected, windows = golden[video], GoldenWindows(golden)
    of_windows = [windows.suppress(windows.candidates(index)) for index in indices]
    union = Candidates(*(np.concatenate([getattr(of, name) for of in of_windows]) for name in ("segments", "scores")))
    selected = windows.suppress(union)
    fused = fuse_class_scores(selected.segments, selected.scores, np.array(expected["uNet_scores_20"]), top_classes=2)
    assert len(fused.scores) == expected["detections"]
    fps, frames = golden["fps_and_frames"][video]
    # The published order: both classes of the best segment, then of the next.
    order = np.arange(len(fused.scores)).reshape(2, -1).T.ravel()
    scores = fused.scores[order].round(6)
    times = (np.clip(fused.segments[order], 0, frames) / fps).round(1)
    rows = np.array([row[1:] for row in expected["rows_label_score_start_end"]])
    np.testing.assert_allclose(scores[: len(rows)], rows[:, 0], atol=1.5e-6)
    np.testing.assert_allclose(times[: len(rows)], rows[:, 1:], atol=1e-9)
    assert scores.sum() == pytest.approx(expected["score_sum"], abs=1e-3)
    np.testing.assert_allclose([scores[-1], *times[-1]], expected["last"][1:], atol=1.5e-6)


def test_windows_of_the_published_length_start_where_published(shared: Path) -> None:
    golden = read_golden(shared, THUMOS)["default_windows_start_frames_by_number_of_frame_features"]
    for frames, expected in golden.items():
        snippets = len(range(0, int(frames), 5))
        assert [5 * start for start in window_starts(snippets, 256, 128)] == expected, frames


def golden_windows(golden: Any, prefix: str) -> list[tuple[str, int, int]]:
    """Return the windows of the three videos: video, first snippet, and number of snippets of the video in it."""
    data, windows = golden["data"], []
    for name, frames in data["feature_frames_per_video"].items():
        snippets = len(range(0, frames, 5))
        video = name.replace("validation", prefix)
        windows += [(video, start, min(32, snippets - start)) for start in window_starts(snippets, 32, 16)]
    return windows


def test_windows_of_a_short_and_of_long_videos_are_the_published_ones(shared: Path) -> None:
    golden = read_golden(shared, THUMOS)
    expected = [(video, frame // 5, real) for video, frame, _, _, real in golden["windows_inference"]]
    assert golden_windows(golden, "test") == expected


def test_training_windows_with_enough_of_an_action_are_the_published_ones(shared: Path) -> None:
    golden = read_golden(shared, THUMOS)
    annotations = golden["data"]["annotations_class_startframe_endframe"]
    windows = []
    for video, start, real in golden_windows(golden, "validation"):
        actions = np.array([row[1:] for row in annotations[video]], np.float64)
        # The published window ends with the first frame of its last snippet.
        if contained_shares(actions, 5.0 * start, 5.0 * (start + 31)).max() > 0.9:
            windows.append((video, start, real))
    assert windows == [(video, frame // 5, real) for video, frame, _, _, real in golden["windows_train"]]


def test_windows_leave_out_at_most_the_fifth_part_of_a_window() -> None:
    for length, stride in itertools.product((5, 16, 17), (1, 8, 16)):
        for snippets in range(1, 80):
            starts = window_starts(snippets, length, stride)
            assert starts[0] == 0
            assert snippets - (starts[-1] + length) <= length // 5
            assert snippets < length or starts[-1] + length <= snippets


def test_a_window_beyond_the_end_is_filled_with_zeros() -> None:
    window = cut_window(torch.arange(1.0, 4.0)[:, None], 1, 4)
    assert window[:, 0].tolist() == [2, 3, 0, 0]


def test_an_action_of_zero_length_lies_in_a_window_wholly_or_not_at_all() -> None:
    actions = np.array([[3.0, 3.0], [11.0, 11.0], [0.0, 20.0], [12.0, 14.0]])
    assert contained_shares(actions, 0.0, 10.0).tolist() == [1.0, 0.0, 0.5, 0.0]


def test_long_segments_get_the_score_zero() -> None:
    candidates = Candidates(np.array([[0.0, 300.0], [400.0, 699.0]]), np.array([0.9, 0.5]))
    selected = suppress(candidates, sigma=0.46, limit=2, max_length=300.0)
    assert selected.segments.tolist() == [[400.0, 699.0], [0.0, 300.0]]
    assert selected.scores.tolist() == [0.5, 0.0]


def test_no_segment_reaches_the_last_position_and_there_may_be_none() -> None:
    candidates = score_segments(np.ones((3, 3)), np.ones((3, 3)))
    assert candidates.segments.tolist() == [[0, 1], [1, 2], [0, 2]]
    assert len(suppress(score_segments(np.ones((2, 1)), np.ones((2, 1))), 0.8, 5).scores) == 0


@pytest.mark.parametrize(("video", "rows"), [("v_short", slice(0, 7)), ("v_edge", slice(7, 40))])
def test_features_are_rescaled_as_published(shared: Path, video: str, rows: slice) -> None:
    golden = read_golden(shared, ANET)["feature_rescaling_T20"]
    generator = np.random.RandomState(5)
    of_both = np.concatenate([generator.standard_normal((number, 4)) for number in (7, 33)]).astype(np.float32)
    features = torch.from_numpy(of_both[rows])
    centres = np.arange(len(features)) + 0.5
    rescaled = rescale_features(features, centres, float(len(features)), 20)
    np.testing.assert_allclose(rescaled.T, golden[video], atol=1e-5)
