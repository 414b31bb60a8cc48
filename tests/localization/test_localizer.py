"""What localizers share: the actions they are trained on, fused scores, and detections with classes."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables

from pipeline.datasets.corpus import ActionSegment, Corpus, CorpusVideo
from pipeline.errors import PipelineError
from pipeline.localization.action_segments import action_segments
from pipeline.localization.detections import write_detections
from pipeline.localization.localizer import Detections, LabelledSegment, fuse_scores

SPLITS = {"a": "train", "b": "train", "c": "train", "d": "val"}
VIDEOS = [CorpusVideo(f"v_{name}", split, 0, f"{name}.mp4", 10.0) for name, split in SPLITS.items()]


def open_corpus(folder: Path, *segments: ActionSegment) -> Corpus:
    return Corpus.open(write_corpus_tables(folder / "manifest.json", VIDEOS, segments, metadata={"shards": 1}))


def test_actions_are_those_of_the_splits_within_the_features(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = open_corpus(
        tmp_path,
        ActionSegment("v_a", 5.0, 9.5, "roll"),
        ActionSegment("v_a", 1.0, 2.0, "jump"),
        ActionSegment("v_a", 2.0, 5.0, None),
        ActionSegment("v_a", 9.0, 9.5, "jump"),
        ActionSegment("v_c", 1.0, 2.0, "jump"),
        ActionSegment("v_d", 1.0, 2.0, "jump"),
    )
    with caplog.at_level(logging.WARNING):
        actions = action_segments(corpus, ["train"], {"v_a": 9.0, "v_b": 8.0, "v_d": 8.0})
    assert actions == {"v_a": [LabelledSegment(1.0, 2.0, 0), LabelledSegment(5.0, 9.0, 1)]}
    messages = [record.getMessage() for record in caplog.records]
    assert [next(name for name in "abcd" if f"v_{name}" in message) for message in messages] == ["c", "a", "b"]


def test_fused_scores_are_the_weighted_mean() -> None:
    fused = fuse_scores([{"map": np.array([1.0, 3.0])}, {"map": np.array([3.0, 5.0])}], [1.0, 3.0], "v_a")
    assert fused["map"].tolist() == [2.5, 4.5]


@pytest.mark.parametrize("other", [{"map": np.zeros(3)}, {"scores": np.zeros(2)}])
def test_scores_of_other_shapes_or_names_cannot_be_fused(other: dict[str, np.ndarray]) -> None:
    with pytest.raises(PipelineError, match="v_a"):
        fuse_scores([{"map": np.zeros(2)}, other], [1.0, 1.0], "v_a")


def test_detections_are_written_best_first_and_equal_scores_keep_their_order(tmp_path: Path) -> None:
    detections = Detections(
        np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), np.array([0.5, 0.9, 0.5]), np.array([1, 0, 0])
    )
    empty = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64))
    write_detections(tmp_path / "d.json", {"v_b": empty, "v_a": detections}, ["jump", "roll"], {"used": False})
    written = json.loads((tmp_path / "d.json").read_text())["results"]
    assert written["v_b"] == []
    assert [(one["score"], one["label"], one["segment"]) for one in written["v_a"]] == [
        (0.9, "jump", [2.0, 3.0]),
        (0.5, "roll", [0.0, 1.0]),
        (0.5, "jump", [4.0, 5.0]),
    ]
