"""write_report: the page shows the scores and the videos that exist, and escapes text from data."""

import json
import re
from pathlib import Path
from typing import Any

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
    for name in ("gt", "learned", "control"):
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
        "per_video": {
            name: {"video": ["v_a", "v_lost"], "n_captions": [1, 0], "METEOR": [score, 0.0]}
            for name, score in [("gt", 0.25), ("learned", 0.2), ("control", None)]
        },
    }
    write_json(tmp_path / "scores.json", example_scores() | records)
    return tmp_path


def run() -> int:
    arguments = "--scores scores.json --corpus corpus/manifest.json --videos video --gt gt.json --learned learned.json"
    arguments += " --control control.json"
    trained = ["--trained", "encoders/sa_tsp/manifest.json", "proposers/learned/manifest.json"]
    return main([*arguments.split(), *trained, "--output", "report/index.html"])


def page_data(results: Path) -> dict[str, Any]:
    page = (results / "report" / "index.html").read_text()
    [text] = re.findall(r'id="page-data">(.*?)</script', page, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


def test_write_report_shows_scores_videos_and_curves(results: Path) -> None:
    assert run() == 0
    page = (results / "report" / "index.html").read_text()
    assert 'src="curves/encoders-sa_tsp.png"' in page
    assert 'src="curves/proposers-learned.png"' in page
    for name in ("curves/encoders-sa_tsp.png", "scores.md", "scores.json"):
        assert (results / "report" / name).is_file()
    data = page_data(results)
    sets = data["captionSets"]
    assert [(caption_set["key"], caption_set["kind"], caption_set["visible"]) for caption_set in sets] == [
        ("annotator_1", "reference", True),
        ("gt", "gt", True),
        ("learned", "learned", True),
        ("control", "control", False),
    ]
    [video] = data["videos"]
    assert (video["id"], video["file"], video["duration"]) == ("v_a", "../video/0000/v_a.mp4", 2.0)
    assert video["scores"] == {"gt": 25.0, "learned": 20.0, "control": None}
    assert video["events"] == {
        caption_set["key"]: [[0.0, 1.0, f"A man runs. {SCRIPT}"]] for caption_set in data["captionSets"]
    }


def test_write_report_without_meteor_has_no_scores_of_videos(results: Path) -> None:
    scores = json.loads((results / "scores.json").read_text())
    for table in scores["per_video"].values():
        del table["METEOR"]
    write_json(results / "scores.json", scores)
    assert run() == 0
    assert [video["scores"] for video in page_data(results)["videos"]] == [{}]


def test_write_report_marks_partial_videos(results: Path) -> None:
    shard = results / "video" / "0000"
    partial = ReencodedRow("v_a", 60, 30.0, 96, 64, False, partial=True, source_s=5.0, reason="cut_short")
    write_rows(shard / "videos.parquet", [partial], ReencodedRow)
    write_manifest(shard / "manifest.json", [shard / "videos.parquet", shard / "v_a.mp4"], {})
    assert run() == 0
    [video] = page_data(results)["videos"]
    assert video["note"] == "partial: damaged, cut_short; the whole video has 5.0 s"
    assert "1 of the videos are damaged" in (results / "report" / "index.html").read_text()


def test_write_report_escapes_text_from_data(results: Path) -> None:
    run()
    assert SCRIPT not in (results / "report" / "index.html").read_text()


def test_write_report_names_missing_scores(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "scores.json").unlink()
    assert run() == 2
    assert "scores.json: no such scores" in capsys.readouterr().err


def test_training_name_is_the_folder_below_the_results() -> None:
    assert training_name(Path("results/demo/captioners/sa_tsp/0/xe/manifest.json")) == "captioners sa_tsp 0 xe"
    assert training_name(Path("elsewhere/mine/manifest.json")) == "mine"
