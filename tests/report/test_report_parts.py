"""Parts of the report: score table, training curves."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.score_fixtures import example_scores

from pipeline.errors import PipelineError
from pipeline.report.curves import draw_curves, read_metrics
from pipeline.report.tables import score_rows, score_table_markdown
from workflow.scripts import print_scores


def test_score_rows_are_in_points_of_100() -> None:
    gt, learned, control = score_rows(example_scores())
    assert list(gt["values"]) == list(learned["values"]) == list(control["values"])
    assert (gt["values"]["METEOR 0.3"], gt["values"]["METEOR mean"], gt["values"]["CIDEr"]) == (25.0, 20.0, 40.0)
    assert [learned["values"][name] for name in ("SODA_c", "precision", "recall", "F1")] == [10.0, 50.0, 75.0, 60.0]
    assert control["values"]["precision"] is None
    assert (gt["interval"], control["interval"]) == ([15.0, 25.0], [5.0, 15.0])


def test_score_rows_have_columns_for_the_computed_metrics_only() -> None:
    scores = example_scores()
    for metric in ("METEOR", "intervals"):
        del scores[metric], scores["control"][metric]
    gt, _, control = score_rows(scores)
    assert list(gt["values"]) == list(control["values"]) == ["CIDEr", "SODA_c", "precision", "recall", "F1"]
    assert gt["interval"] is None


def test_markdown_table_is_a_rectangle() -> None:
    lines = score_table_markdown(score_rows(example_scores())).splitlines()
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1
    assert "| learned proposals " in lines[3]


def test_draw_curves_draws_finite_numbers_and_equal_epochs_give_equal_bytes(tmp_path: Path) -> None:
    epochs: list[dict[str, Any]] = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "meteor": 0.2}]
    assert draw_curves(epochs, "a captioner", tmp_path / "a.png")
    assert draw_curves(epochs, "a captioner", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert not draw_curves([{"epoch": 1, "note": "x"}], "nothing", tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_read_metrics_names_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"epoch": 1}) + "\n{")
    with pytest.raises(PipelineError, match=r"metrics\.jsonl: "):
        read_metrics(tmp_path / "metrics.jsonl")


def test_the_short_table_has_the_scores_of_each_set_within_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scores.json").write_text(json.dumps(example_scores()))
    assert print_scores.main([str(tmp_path / "scores.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-4:] for line in lines[:3]] == [
        ["METEOR", "CIDEr", "SODA_c", "recall"],
        ["20.00", "40.00", "20.00", "100.00"],
        ["20.00", "30.00", "10.00", "75.00"],
    ]
    assert lines[3].split()[-3:] == ["10.00", "10.00", "5.00"]
    assert max(map(len, lines)) < 80
