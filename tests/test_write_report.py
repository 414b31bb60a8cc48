"""write_report: the page shows the scores and the videos that exist, and escapes text from data."""

import json
from pathlib import Path

import pytest
from helpers.evaluation_files import write_captions, write_corpus
from helpers.score_fixtures import example_scores
from helpers.video_files import write_video

from pipeline.io.atomic import write_json
from pipeline.io.tables import write_rows
from pipeline.provenance.manifest import write_manifest
from pipeline.video.shard import ReencodedRow
from pipeline.write_report import main, training_name

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the inputs of the report for one test video, and change into their folder."""
    monkeypatch.chdir(tmp_path)
    captions = {"v_a": [(0.0, 1.0, f"A man runs. {SCRIPT}")]}
    write_corpus(tmp_path / "corpus", [("v_a", "test", True), ("v_lost", "test", True)], {"test_1": captions})
    shard = tmp_path / "video" / "0000"
    shard.mkdir(parents=True)
    write_video(shard / "v_a.mp4", fps="30")
    write_rows(shard / "videos.parquet", [ReencodedRow("v_a", 60, 30.0, 96, 64, False)], ReencodedRow)
    write_manifest(shard / "manifest.json", [shard / "videos.parquet", shard / "v_a.mp4"], {})
    for name in ("gt", "learned"):
        write_captions(tmp_path / f"{name}.json", captions)
    for training in ("encoders/sa_tsp", "proposers/learned"):
        folder = tmp_path / training
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "loss": 1.0}) + "\n")
        write_manifest(folder / "manifest.json", [folder / "metrics.jsonl"], {})
    records = {
        "evaluator": {"variant": "2021", "tious": [0.3, 0.5]},
        "counts": {"videos": {"scored": 2}, "events": 1},
        "provenance": {"code": {"evaluate": "abc"}},
    }
    write_json(tmp_path / "scores.json", example_scores() | records)
    return tmp_path


def run() -> int:
    arguments = "--scores scores.json --corpus corpus/manifest.json --videos video --gt gt.json --learned learned.json"
    trained = ["--trained", "encoders/sa_tsp/manifest.json", "proposers/learned/manifest.json"]
    return main([*arguments.split(), *trained, "--output", "report/index.html"])


def test_write_report_shows_scores_videos_and_curves(results: Path) -> None:
    assert run() == 0
    page = (results / "report" / "index.html").read_text()
    assert "v_a, 2.0 s" in page
    assert "v_lost" not in page
    assert 'src="../video/0000/v_a.mp4"' in page
    assert 'src="curves/encoders-sa_tsp.png"' in page
    assert 'src="curves/proposers-learned.png"' in page
    for name in ("videos/v_a.png", "videos/v_a.vtt", "curves/encoders-sa_tsp.png", "scores.md", "scores.json"):
        assert (results / "report" / name).is_file()


def test_write_report_marks_partial_videos(results: Path) -> None:
    shard = results / "video" / "0000"
    partial = ReencodedRow("v_a", 60, 30.0, 96, 64, False, partial=True, source_s=5.0, reason="cut_short")
    write_rows(shard / "videos.parquet", [partial], ReencodedRow)
    write_manifest(shard / "manifest.json", [shard / "videos.parquet", shard / "v_a.mp4"], {})
    assert run() == 0
    page = " ".join((results / "report" / "index.html").read_text().split())
    assert "v_a, 2.0 s (partial: damaged, cut_short; the whole video has 5.0 s)" in page
    assert "1 of the videos are damaged" in page


def test_write_report_escapes_text_from_data(results: Path) -> None:
    run()
    assert SCRIPT not in (results / "report" / "index.html").read_text()
    assert SCRIPT not in (results / "report" / "videos" / "v_a.vtt").read_text()


def test_write_report_names_missing_scores(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "scores.json").unlink()
    assert run() == 2
    assert "scores.json: no such scores" in capsys.readouterr().err


def test_training_name_is_the_folder_below_the_results() -> None:
    assert training_name(Path("results/demo/captioners/sa_tsp/0/xe/manifest.json")) == "captioners sa_tsp 0 xe"
    assert training_name(Path("elsewhere/mine/manifest.json")) == "mine"
