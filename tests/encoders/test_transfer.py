"""Few-shot classification: draws, averages over time, intervals."""

import numpy as np
import pytest

from pipeline.encoders.transfer import ClipRows, draw_shots, summarize_runs, transfer_accuracy

CLASSES = np.repeat([0, 1, 2], [5, 3, 1])


def test_shots_are_drawn_of_each_class_without_repetition() -> None:
    drawn = [draw_shots(CLASSES, 2, 0, run) for run in range(20)]
    for clips in drawn:
        assert np.bincount(CLASSES[clips]).tolist() == [2, 2, 1]
        assert len(set(clips.tolist())) == len(clips)
    assert len({tuple(clips) for clips in drawn}) > 5
    assert (drawn[3] == draw_shots(CLASSES, 2, 0, 3)).all()
    assert (draw_shots(CLASSES, None) == np.arange(9)).all()


def make_rows(kind: str) -> ClipRows:
    """Return clips of two classes that the mean over time separates, and no single row does."""
    rng = np.random.default_rng(0)
    classes = [index % 2 for index in range(40)]
    features = [rng.normal((2 * label - 1) * 0.5, 1.0, (rng.integers(20, 60), 3)) for label in classes]
    return ClipRows.collect(features, classes, "mean" if kind == "mean" else "each")


@pytest.mark.parametrize("kind", ["each", "mean"])
def test_predictions_are_averaged_over_time(kind: str) -> None:
    rows = make_rows(kind)
    train, test = rows.select(np.arange(20)), rows.select(np.arange(20, 40))
    assert transfer_accuracy(train, test, 2, 0.01) == 1.0
    assert len(rows.rows) == (40 if kind == "mean" else len(rows.clip)) >= 40


def test_selected_clips_keep_their_rows_and_classes() -> None:
    rows = ClipRows.collect([np.full((2, 1), 0.0), np.full((3, 1), 1.0), np.full((1, 1), 2.0)], [5, 6, 7], "each")
    part = rows.select(np.array([2, 1]))
    assert part.classes.tolist() == [7, 6]
    assert part.rows[part.clip == 0].tolist() == [[2.0]]
    assert part.rows[part.clip == 1].tolist() == [[1.0]] * 3


def test_the_interval_is_students_t() -> None:
    values = [0.5, 0.6, 0.7, 0.4, 0.5, 0.6, 0.7, 0.4, 0.55, 0.55]
    summary = summarize_runs(values)
    margin = 2.262 * np.std(values, ddof=1) / np.sqrt(10)
    assert summary["accuracy"] == pytest.approx(0.55)
    assert summary["interval"] == pytest.approx([0.55 - margin, 0.55 + margin])
    assert summarize_runs([0.5]) == {"accuracy": 0.5, "interval": None}
