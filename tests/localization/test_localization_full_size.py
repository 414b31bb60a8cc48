"""The real tables of ActivityNet 1.3 and THUMOS14 through labels, windows, inference and evaluation at full size.

The networks are left out: their probabilities are drawn from a seed. Everything else is what the stages do.
"""

import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.corpus_tables import write_corpus_tables
from helpers.measurements import Measurements

from pipeline.config.evaluate_localization import EvaluateLocalization
from pipeline.config.localizers import GtadNetworkSettings, GtadSettings, GtadWindowsSettings
from pipeline.datasets.corpus import ActionSegment, Corpus, CorpusVideo
from pipeline.datasets.tsp_csv import read_tsp
from pipeline.evaluation.localization_result import score_localization
from pipeline.evaluation.segments import read_scored_segments
from pipeline.localization.action_segments import action_segments
from pipeline.localization.class_fusion import ClassScores
from pipeline.localization.detections import classify_detections, write_detections
from pipeline.localization.gtad.localizer import GtadLocalizer
from pipeline.localization.gtad.targets import valid_segments
from pipeline.localization.gtad.window_localizer import GtadWindowLocalizer
from pipeline.localization.localizer import Detections, LocalizerInputs, ScoreArrays

pytestmark = pytest.mark.campaign

TABLES = {
    "activitynet": "activitynet_tsp/activitynet_v1-3_valid_tsp_groundtruth.csv",
    "thumos14": "thumos14/thumos14_test_tsp_groundtruth.csv",
}
WIDTHS = {"hidden_dim_1d": 4, "hidden_dim_2d": 1, "hidden_dim_3d": 1}
"""Of the networks, which are not used."""
LIMIT_S = 120
"""Processor time of both tables."""


class Durations(LocalizerInputs):
    """The durations of videos, without features."""

    def __init__(self, durations: dict[str, float]) -> None:
        self.durations = durations

    def duration(self, video: str) -> float:
        """Return the duration of a video, seconds."""
        return self.durations[video]


def read_corpus(table: Path, folder: Path) -> Corpus:
    """Write the corpus of a table, all videos in the split `val`."""
    videos = read_tsp(table)
    rows = [CorpusVideo(f"v_{video}", "val", 0, f"{video}.mp4", entry.duration) for video, entry in videos.items()]
    segments = [
        ActionSegment(f"v_{video}", one.start, min(one.end, entry.duration), one.text)
        for video, entry in videos.items()
        for one in entry.segments
    ]
    return Corpus.open(write_corpus_tables(folder / "manifest.json", rows, segments, metadata={"shards": 1}))


def draw_scores(generator: np.random.Generator, settings: GtadNetworkSettings, *leading: int) -> ScoreArrays:
    """Draw the probabilities that a network would give."""
    positions, durations = settings.temporal_scale, settings.max_duration
    shapes = {
        "start": (positions,),
        "end": (positions,),
        **dict.fromkeys(("iou_reg", "iou_cls"), (durations, positions)),
    }
    return {name: generator.random((*leading, *shape)) for name, shape in shapes.items()}


def check_windows(
    localizer: GtadWindowLocalizer, inputs: Durations, actions: dict[str, Sequence[object]], counts: dict[str, int]
) -> None:
    """Check the training windows and their targets."""
    windows = localizer.training_items(inputs, actions)  # type: ignore[arg-type]
    counts["windows"] = len(windows)
    for video, start in windows:
        targets = localizer.targets(actions[video], start)  # type: ignore[arg-type]
        assert targets.iou.shape == (64, 256)
        assert 0 <= targets.iou.min() <= targets.iou.max() <= 1
        counts["positives"] += int((targets.iou > 0.5).sum())


@pytest.mark.parametrize("name", TABLES)
def test_real_tables_pass_labels_inference_and_evaluation(
    shared: Path, tmp_path: Path, measurements: Measurements, name: str
) -> None:
    start_s = time.process_time()
    corpus = read_corpus(shared / "data" / TABLES[name], tmp_path)
    durations = {row.video: float(row.duration or 0) for row in corpus.videos}
    actions, inputs = action_segments(corpus, ["val"], durations), Durations(durations)
    generator, counts = np.random.default_rng(0), {"positives": 0}
    detections: dict[str, Detections] = {}
    if name == "activitynet":
        settings = GtadSettings(features=["-"], **WIDTHS)
        localizer = GtadLocalizer(settings, 4, 1)
        # The only action of v_e6J_ygZ779A has no length and is at the end of the video.
        assert (len(actions), len(durations)) == (4925, 4926)
        valid = valid_segments(100, 100)
        for video, of_video in actions.items():
            targets = localizer.targets(of_video, durations[video])
            counts["positives"] += int((targets.iou[valid] > 0.5).sum())
            detections[video] = localizer.detect(inputs, video, draw_scores(generator, settings))
    else:
        windows = GtadWindowsSettings(features=["-"], **WIDTHS)
        of_windows = GtadWindowLocalizer(windows, 4, 1)
        check_windows(of_windows, inputs, actions, counts)  # type: ignore[arg-type]
        for video in actions:
            number = len(of_windows.window_starts(inputs, video))
            detections[video] = of_windows.detect(inputs, video, draw_scores(generator, windows, number))
    assert counts["positives"] > len(actions)
    class_scores = {video: generator.random(len(corpus.labels)) for video in actions}
    fused = classify_detections(detections, ClassScores(tmp_path, tuple(corpus.labels), class_scores), 2)
    write_detections(tmp_path / "detections.json", fused, corpus.labels, {})
    segments = read_scored_segments(tmp_path / "detections.json", labelled=True)
    config = EvaluateLocalization(tious=[0.3, 0.5, 0.7])
    scores = score_localization(config, corpus, ["val"], "detections", segments)
    recall = score_localization(config, corpus, ["val"], "proposals", segments)
    assert scores["n_instances"] == recall["n_instances"] == len(corpus.segments)
    assert 0 < scores["mAP"]["0.7"] < scores["mAP"]["0.3"] < 0.2
    assert 0 < recall["AUC"] < 1
    seconds = time.process_time() - start_s
    measurements.add_row(
        "real tables through labels, inference and evaluation",
        corpus=name,
        videos=len(actions),
        detections=scores["n_detections"],
        cpu_s=seconds,
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    )
    assert seconds < LIMIT_S
