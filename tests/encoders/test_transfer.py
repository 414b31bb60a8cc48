"""Few-shot classification: draws, rows, averages over time, networks, intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.config.transfer_features import (
    LstmSettings,
    PerceptronSettings,
    RegressionSettings,
    TransferClassifierEntry,
    TransferFeatures,
)
from pipeline.encoders.transfer import LabelledFeatures, draw_shots, regression_accuracy, summarize_runs
from pipeline.encoders.transfer_networks import build_classifier, network_accuracy

CLASSES = np.repeat([0, 1, 2], [5, 3, 1])
CPU = torch.device("cpu")
FAST: Mapping[str, Any] = {"steps": 60, "lr": 0.01, "hidden_dim": 8}


def test_shots_are_drawn_of_each_class_without_repetition() -> None:
    drawn = [draw_shots(CLASSES, 2, 0, run) for run in range(20)]
    for clips in drawn:
        assert np.bincount(CLASSES[clips]).tolist() == [2, 2, 1]
        assert len(set(clips.tolist())) == len(clips)
    assert len({tuple(clips) for clips in drawn}) > 5
    assert (drawn[3] == draw_shots(CLASSES, 2, 0, 3)).all()
    assert (draw_shots(CLASSES, None) == np.arange(9)).all()


def labelled(rows: list[np.ndarray], classes: list[int]) -> LabelledFeatures:
    """Return clips with the given rows."""
    tensors = {f"v{number}": torch.from_numpy(of_clip).float() for number, of_clip in enumerate(rows)}
    return LabelledFeatures(list(tensors), np.array(classes), tensors.__getitem__)


def two_means() -> LabelledFeatures:
    """Return clips of two classes that the mean over time separates, and no single row does."""
    rng = np.random.default_rng(0)
    classes = [index % 2 for index in range(40)]
    return labelled([rng.normal((2 * label - 1) * 0.5, 1.0, (rng.integers(20, 40), 3)) for label in classes], classes)


def two_orders(rng: np.random.Generator) -> LabelledFeatures:
    """Return clips of two classes that differ in the order of their rows only."""
    classes = [index % 2 for index in range(60)]
    rows = [np.linspace(-1, 1, rng.integers(6, 12))[:, None] * (2 * label - 1) for label in classes]
    return labelled([np.concatenate([of_clip, rng.normal(size=of_clip.shape)], axis=1) for of_clip in rows], classes)


def halves(clips: LabelledFeatures) -> tuple[LabelledFeatures, LabelledFeatures]:
    """Return the first and the second half of the clips."""
    middle, count = len(clips.videos) // 2, len(clips.videos)
    return clips.select(np.arange(middle)), clips.select(np.arange(middle, count))


@pytest.mark.parametrize("kind", ["each", "mean"])
def test_predictions_are_averaged_over_time(kind: str) -> None:
    train, test = halves(two_means())
    regression = RegressionSettings.parse({"rows": kind}, "")
    assert regression_accuracy(train, test, 2, regression) == 1.0
    perceptron = PerceptronSettings.parse({"rows": kind, **FAST}, "")
    assert network_accuracy(train, test, 2, perceptron, CPU, 0) == 1.0
    assert network_accuracy(train, test, 2, PerceptronSettings.parse({"rows": "middle", **FAST}, ""), CPU, 0) < 1.0


@pytest.mark.parametrize("bidirectional", [True, False])
def test_only_the_lstm_reads_the_order_of_the_rows(bidirectional: bool) -> None:
    train, test = halves(two_orders(np.random.default_rng(1)))
    lstm = LstmSettings.parse({"bidirectional": bidirectional, **FAST}, "")
    assert network_accuracy(train, test, 2, lstm, CPU, 0) == 1.0
    assert network_accuracy(train, test, 2, PerceptronSettings.parse(FAST, ""), CPU, 0) < 0.9


def test_keys_decide_weights_and_batches() -> None:
    train, test = halves(two_orders(np.random.default_rng(2)))
    settings = PerceptronSettings.parse({"steps": 3, "hidden_dim": 4, "rows": "middle"}, "")
    accuracies = [network_accuracy(train, test, 2, settings, CPU, run) for run in range(8)]
    assert len(set(accuracies)) > 1
    assert accuracies[5] == network_accuracy(train, test, 2, settings, CPU, 5)


@pytest.mark.parametrize("settings", [PerceptronSettings(hidden_dim=4), LstmSettings(hidden_dim=4)])
def test_rows_beyond_the_end_of_a_clip_do_not_count(settings: PerceptronSettings | LstmSettings) -> None:
    torch.manual_seed(0)
    network, rows = build_classifier(3, 2, settings), torch.randn(1, 4, 3)
    logits, mask = network(rows, torch.ones(1, 4, dtype=torch.bool))
    padded = torch.cat([rows, torch.full((1, 2, 3), 9.0)], 1)
    padded_logits, padded_mask = network(padded, torch.tensor([[True] * 4 + [False] * 2]))
    torch.testing.assert_close(padded_logits[padded_mask], logits[mask])


def test_a_classifier_may_read_one_row_of_a_clip() -> None:
    clips = labelled([np.arange(10.0)[:, None], np.array([[7.0]])], [0, 1])
    assert clips.rows(0, "mean").tolist() == [[4.5]]
    assert clips.rows(0, "middle").tolist() == [[5.0]]
    assert clips.rows(1, "middle").tolist() == [[7.0]]


def test_selected_clips_keep_their_rows_and_classes() -> None:
    clips = labelled([np.full((2, 1), 0.0), np.full((3, 1), 1.0), np.full((1, 1), 2.0)], [5, 6, 7])
    part = clips.select(np.array([2, 1]))
    assert part.classes.tolist() == [7, 6]
    assert [part.rows(index, "each")[:, 0].tolist() for index in range(2)] == [[2.0], [1.0] * 3]


def test_the_interval_is_students_t() -> None:
    values = [0.5, 0.6, 0.7, 0.4, 0.5, 0.6, 0.7, 0.4, 0.55, 0.55]
    summary = summarize_runs(values)
    margin = 2.2621572 * np.std(values, ddof=1) / np.sqrt(10)
    assert summary["accuracy"] == pytest.approx(0.55)
    assert summary["interval"] == pytest.approx([0.55 - margin, 0.55 + margin])
    assert summarize_runs([0.5]) == {"accuracy": 0.5, "interval": None}


def test_the_default_classifiers_are_those_of_figure_4() -> None:
    of_kind = {entry.root.kind: entry.root for entry in TransferFeatures().classifiers.values()}
    assert of_kind["perceptron"].model_dump()["hidden_dim"] == 512
    assert of_kind["lstm"].model_dump() == {**of_kind["lstm"].model_dump(), "hidden_dim": 128, "bidirectional": True}
    assert isinstance(TransferClassifierEntry.parse({"kind": "regression"}, "").root, RegressionSettings)
