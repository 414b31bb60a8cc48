"""Class scores of whole videos, and their fusion with segments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json
from pipeline.localization.class_fusion import fuse_class_scores, read_class_scores


def golden(shared: Path, name: str) -> Any:
    return read_json(shared / "golden" / "localization_networks" / name)


@pytest.mark.parametrize(("number", "video"), [(0, "v_one"), (1, "v_two")])
def test_fusion_of_activitynet_is_the_published_one(shared: Path, number: int, video: str) -> None:
    inference = golden(shared, "gtad_anet_labels_losses_inference.json")["inference_T40"]
    expected, duration = inference[video], inference["videos"][video]["duration_second"]
    rows = np.array(expected["soft_nms_score_xmin_xmax"])
    class_scores = np.random.RandomState(9).random_sample((2, 200))[number]
    fused = fuse_class_scores(rows[:, 1:] * duration, rows[:, 0], class_scores, top_classes=2)
    labels = [f"class{index:03d}" for index in fused.classes]
    assert len(labels) == expected["detections"]
    assert sorted(set(labels)) == expected["detection_labels"]
    result = np.column_stack([fused.scores, fused.segments])
    detections = [*expected["first40_detections"], expected["last_detection"]]
    chosen = [*range(40), len(labels) - 1]
    assert [labels[index] for index in chosen] == [row[0] for row in detections]
    np.testing.assert_allclose(result[chosen], np.array([row[1:] for row in detections]), rtol=1e-12)


def test_fusion_of_thumos14_is_the_published_one(shared: Path) -> None:
    inference = golden(shared, "gtad_thumos_windows_labels_losses_inference.json")["inference"]
    expected = inference["video_test_0000004"]
    rows = expected["rows_label_score_start_end"]
    class_scores = np.array(expected["uNet_scores_20"])
    best = np.sort(class_scores)[::-1]
    # The golden gives both rows of each segment, the better class first, with 6 digits.
    pairs = np.array([row[1] for row in rows]).reshape(-1, 2)
    times = np.array([row[2:] for row in rows[::2]])
    fused = fuse_class_scores(times, pairs[:, 0] / best[0], class_scores, top_classes=2)
    assert fused.classes.tolist() == [5] * len(pairs) + [6] * len(pairs)
    np.testing.assert_allclose(fused.scores.reshape(2, -1).T, pairs, atol=1.5e-6)
    np.testing.assert_array_equal(fused.segments, np.tile(times, (2, 1)))


def test_every_class_gets_the_segments_if_there_are_fewer_than_asked_for() -> None:
    fused = fuse_class_scores(np.array([[0.0, 1.0]]), np.array([0.5]), np.array([0.25, 0.25]), top_classes=3)
    assert fused.classes.tolist() == [0, 1]
    assert fused.scores.tolist() == [0.125, 0.125]


def test_no_segments_stay_no_segments() -> None:
    fused = fuse_class_scores(np.zeros((0, 2)), np.zeros(0), np.array([0.2, 0.8]), top_classes=2)
    assert fused.segments.shape == (0, 2)
    assert fused.scores.shape == fused.classes.shape == (0,)


def test_class_scores_are_read_by_video(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"classes": ["jump", "run"], "scores": {"v_a": [0.25, 0.75]}}))
    scores = read_class_scores(path)
    assert scores.classes == ("jump", "run")
    assert scores.of_video("v_a").tolist() == [0.25, 0.75]
    with pytest.raises(PipelineError, match=r"classes\.json.*v_b"):
        scores.of_video("v_b")


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.25, 0.25], [0.5, None], [0.5, float("nan")], ["much", 0.5], 3])
def test_damaged_class_scores_name_file_and_video(tmp_path: Path, values: Any) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"classes": ["jump", "run"], "scores": {"v_a": values}}))
    with pytest.raises(PipelineError, match=r"classes\.json: video v_a"):
        read_class_scores(path)


@pytest.mark.parametrize("content", [[], {"classes": ["jump"]}, {"scores": {}}, {"classes": "jump", "scores": {}}])
def test_another_file_is_no_file_of_class_scores(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(PipelineError, match=r"classes\.json.*classes"):
        read_class_scores(path)
