"""Scores of detections against the actions of a corpus."""

from pathlib import Path

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables

from pipeline.config.evaluate_localization import EvaluateLocalization
from pipeline.datasets.corpus import ActionSegment, Corpus, CorpusVideo
from pipeline.errors import PipelineError
from pipeline.evaluation.localization_result import (
    corpus_ground_truth,
    restrict_to_splits,
    score_localization,
    unite_classes,
)
from pipeline.evaluation.segments import TIOUS, ScoredSegments, as_thresholds

VIDEOS = [
    CorpusVideo("v_a", "test", 0, "a.mp4", 10.0),
    CorpusVideo("v_b", "val", 0, "b.mp4", 10.0),
    CorpusVideo("v_c", "test", 0, None, 10.0),
    CorpusVideo("v_d", "train", 0, "d.mp4", 10.0),
]
SEGMENTS = [
    ActionSegment("v_a", 1.0, 2.0, "jump"),
    ActionSegment("v_a", 4.0, 8.0, "roll"),
    ActionSegment("v_a", 2.0, 4.0, None),
    ActionSegment("v_b", 1.0, 2.0, "jump"),
    ActionSegment("v_c", 1.0, 2.0, "jump"),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus.open(write_corpus_tables(tmp_path / "manifest.json", VIDEOS, SEGMENTS, metadata={"shards": 1}))


def segments(*rows: tuple[str, float, float, float, str]) -> ScoredSegments:
    """Return scored segments: video, start, end, score, label; sorted by video."""
    videos, labels = sorted({row[0] for row in rows}), sorted({row[4] for row in rows})
    return ScoredSegments(
        tuple(videos),
        tuple(labels),
        np.array([videos.index(row[0]) for row in rows], np.int64),
        np.array([row[1:3] for row in rows], np.float64).reshape(-1, 2),
        np.array([row[3] for row in rows], np.float64),
        np.array([labels.index(row[4]) for row in rows], np.int64),
    )


def test_ground_truth_has_the_actions_of_the_videos_with_a_file_or_detections(corpus: Corpus) -> None:
    truth = corpus_ground_truth(corpus, ["test"], [])
    assert (truth.videos, truth.labels) == (("a",), ("jump", "roll"))
    assert truth.times.tolist() == [[1, 2], [4, 8]]
    assert corpus_ground_truth(corpus, ["test", "val"], ["c"]).videos == ("a", "b", "c")


def test_ground_truth_without_actions_is_an_error(corpus: Corpus) -> None:
    with pytest.raises(PipelineError, match="train"):
        corpus_ground_truth(corpus, ["train"], [])


def test_segments_of_other_splits_do_not_count_and_those_of_unknown_videos_stay(corpus: Corpus) -> None:
    scored = segments(("a", 1, 2, 0.5, "jump"), ("b", 1, 2, 0.9, "jump"), ("x", 0, 1, 0.1, "roll"))
    restricted = restrict_to_splits(scored, corpus, ["test"])
    assert restricted.videos == ("a", "x")
    assert restricted.video.tolist() == [0, 1]
    assert restricted.scores.tolist() == [0.5, 0.1]


def test_proposals_are_the_segments_without_their_classes() -> None:
    scored = segments(
        ("a", 1, 2, 0.2, "roll"), ("a", 1, 2, 0.9, "jump"), ("a", 3, 4, 0.5, "jump"), ("b", 1, 2, 0.1, "jump")
    )
    united = unite_classes(scored)
    assert united.video.tolist() == [0, 0, 1]
    assert united.times.tolist() == [[1, 2], [3, 4], [1, 2]]
    assert united.scores.tolist() == [0.9, 0.5, 0.1]


def test_perfect_detections_score_one_and_missing_files_are_counted(corpus: Corpus) -> None:
    perfect = segments(("a", 1, 2, 0.9, "jump"), ("a", 4, 8, 0.8, "roll"), ("b", 5, 6, 1.0, "jump"))
    config = EvaluateLocalization(tious=[0.3, 0.5])
    scores = score_localization(config, corpus, ["test"], "detections", perfect)
    assert scores["mAP"] == {"0.3": 1.0, "0.5": 1.0, "mean": 1.0}
    assert (scores["n_missing_files"], scores["n_instances"]) == (1, 2)
    recall = score_localization(config, corpus, ["test"], "proposals", perfect)
    assert recall["AR"]["100"] == 1.0
    both = score_localization(config, corpus, ["test", "val"], "detections", perfect)
    assert both["mAP"]["0.5"] == pytest.approx((0.5 * 0.5 + 1) / 2)  # of two jumps one, after a false positive


def test_thresholds_near_those_of_activitynet_are_those_of_activitynet() -> None:
    assert as_thresholds([round(float(value), 2) for value in TIOUS]).tolist() == TIOUS.tolist()
    assert as_thresholds([0.3, 0.4, 0.7]).tolist() == [0.3, 0.4, TIOUS[4]]
