"""The page tells what was scored, shows videos that exist, and trusts no text."""

import json
from pathlib import Path

import pytest
from helpers.evaluation_files import write_captions, write_corpus
from helpers.score_fixtures import some_scores
from helpers.video_files import film

from pipeline.io.atomic import write_json
from pipeline.io.tables import write_table
from pipeline.provenance.manifest import write_manifest
from pipeline.video.shard import REENCODED
from pipeline.write_report import main

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stages before the report leave of one test video."""
    monkeypatch.chdir(tmp_path)
    said = {"v_a": [(0.0, 1.0, f"A man runs. {EVIL}")]}
    write_corpus(tmp_path / "corpus", [("v_a", "test", True), ("v_lost", "test", True)], {"test_1": said})
    shard = tmp_path / "video" / "0000"
    shard.mkdir(parents=True)
    film(shard / "v_a.mp4", fps="30")
    row = {"video": "v_a", "frames": 60, "fps": 30.0, "width": 96, "height": 64, "audio": False}
    whole = {"partial": False, "source_s": None, "reason": None}
    write_table(shard / "videos.parquet", [row | whole], REENCODED)
    write_manifest(shard / "manifest.json", [shard / "videos.parquet", shard / "v_a.mp4"], {})
    for name in ("gt", "learned"):
        write_captions(tmp_path / f"{name}.json", said)
    encoder = tmp_path / "encoders" / "sa_tsp"
    encoder.mkdir(parents=True)
    (encoder / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "loss": 1.0}) + "\n")
    write_manifest(encoder / "manifest.json", [encoder / "metrics.jsonl"], {})
    more = {
        "evaluator": {"variant": "2021", "tious": [0.3, 0.5]},
        "counts": {"videos": {"scored": 2}, "events": 1},
        "provenance": {"code": {"evaluate": "abc"}},
    }
    write_json(tmp_path / "scores.json", some_scores() | more)
    return tmp_path


def run() -> int:
    words = "--scores scores.json --corpus corpus/manifest.json --videos video --gt gt.json --learned learned.json"
    return main([*words.split(), "--trained", "encoders/sa_tsp/manifest.json", "--output", "report/index.html"])


def test_the_page_shows_what_there_is(road: Path) -> None:
    assert run() == 0
    page = (road / "report" / "index.html").read_text()
    assert "v_a, 2.0 s" in page
    assert "v_lost" not in page
    assert 'src="../video/0000/v_a.mp4"' in page
    assert 'src="curves/encoders-sa_tsp.png"' in page
    for name in ("films/v_a.png", "films/v_a.vtt", "curves/encoders-sa_tsp.png", "scores.md", "scores.json"):
        assert (road / "report" / name).is_file()


def test_partial_videos_are_told(road: Path) -> None:
    shard = road / "video" / "0000"
    row = {"video": "v_a", "frames": 60, "fps": 30.0, "width": 96, "height": 64, "audio": False}
    write_table(shard / "videos.parquet", [row | {"partial": True, "source_s": 5.0, "reason": "cut_short"}], REENCODED)
    write_manifest(shard / "manifest.json", [shard / "videos.parquet", shard / "v_a.mp4"], {})
    assert run() == 0
    page = " ".join((road / "report" / "index.html").read_text().split())
    assert "v_a, 2.0 s (partial: damaged, cut_short; 5.0 s should be there)" in page
    assert "1 of the videos are damaged and only partly there." in page


def test_text_from_data_is_only_text(road: Path) -> None:
    run()
    assert EVIL not in (road / "report" / "index.html").read_text()
    assert EVIL not in (road / "report" / "films" / "v_a.vtt").read_text()


def test_absent_scores_are_told(road: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (road / "scores.json").unlink()
    assert run() == 2
    assert "scores.json: no such scores" in capsys.readouterr().err
