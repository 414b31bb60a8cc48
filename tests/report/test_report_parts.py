"""Parts of the report: score table, training curves, frame strips, subtitle tracks."""

import json
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from helpers.score_fixtures import example_scores
from helpers.video_files import write_video
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.report.curves import draw_curves, read_metrics
from pipeline.report.page import evenly_spaced
from pipeline.report.tables import score_rows, score_table_markdown
from pipeline.report.video_files import draw_frame_strip, write_webvtt
from pipeline.video.shard import ReencodedVideo
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


@given(st.integers(0, 40), st.integers(0, 20))
def test_evenly_spaced_returns_as_many_names_as_there_are_in_order(total: int, count: int) -> None:
    names = [f"{number:03d}" for number in range(total)]
    spaced = evenly_spaced(names, count)
    assert len(spaced) == min(total, count)
    assert sorted(set(spaced)) == spaced


def test_write_webvtt_sorts_cues_and_escapes_text(tmp_path: Path) -> None:
    captions = [
        {"timestamp": [3661.5, 3662.25], "sentence": "later --> <b>\nline"},
        {"timestamp": [0, 1.0004], "sentence": "first & second"},
    ]
    write_webvtt(captions, tmp_path / "a.vtt")
    assert (tmp_path / "a.vtt").read_text() == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.000\nfirst &amp; second\n\n"
        "01:01:01.500 --> 01:01:02.250\nlater &lt;b> line\n"
    )


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


@pytest.mark.parametrize("seconds", [0.1, 3.0])
def test_draw_frame_strip_covers_the_whole_video(tmp_path: Path, seconds: float) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=seconds, fps="30")
    num_frames = round(seconds * 30)
    draw_frame_strip(ReencodedVideo("v", num_frames, 30.0, 96, 64, False, path=path), tmp_path / "s.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "s.png").shape
    assert (height, width) == (64, 96 * min(8, num_frames))


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
