"""A shard goes on over bad videos, accounts for them, and stops when there are too many."""

import json
from pathlib import Path
from typing import Any

import pytest
from films import film

from pipeline.build_corpus import main as build_corpus
from pipeline.datasets.corpus import REJECTS
from pipeline.reencode import main
from pipeline.store.manifest import read_manifest
from pipeline.store.tables import read_table
from pipeline.video.shard import Videos

NAMES = ["v_good one", "v_-dash", "v_text", "v_unicödé"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of four videos, one of them no video at all."""
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    for name in NAMES:
        film(Path("videos", f"{name}.mkv"), seconds=1, sound=name == "v_-dash")
    Path("videos/v_text.mkv").write_text("hello")
    entry = {"duration": 1, "timestamps": [[0, 1]], "sentences": ["A picture."]}
    save("train.json", dict.fromkeys(NAMES, entry))
    save("val.json", {})
    save("actions.json", {"database": {}})
    config = {
        "actions": ["actions.json"],
        "captions_train": "train.json",
        "captions_val": ["val.json"],
        "videos": "videos",
        "shards": 1,
    }
    assert build_corpus(["--config", json.dumps(config), "--output", "corpus/manifest.json"]) == 0
    return Path("corpus/manifest.json")


def save(name: str, data: Any) -> None:
    Path(name).write_text(json.dumps(data))


def run(corpus: Path, shard: int = 0, **config: Any) -> int:
    settings = json.dumps({"preset": "ultrafast"} | config)
    return main(
        [
            "--config",
            settings,
            "--corpus",
            str(corpus),
            "--shard",
            str(shard),
            "--output",
            "video/0000/manifest.json",
        ]
    )


def test_bad_videos_are_listed_and_the_rest_goes_on(corpus: Path) -> None:
    assert run(corpus, max_rejected=0.5) == 0
    videos = Videos.open(Path("video"), 1)
    assert sorted(videos.rows) == ["v_-dash", "v_good one", "v_unicödé"]
    assert videos.rows["v_-dash"].audio
    assert not videos.rows["v_good one"].audio
    assert videos.rows["v_good one"].frames == 30
    manifest = read_manifest(Path("video/0000/manifest.json"))
    rejects = read_table(manifest.payload("rejects.parquet"), REJECTS)
    assert [(row["video"], row["reason"]) for row in rejects] == [("v_text", "unreadable")]
    assert manifest.facts["rejected"] == 1


def test_one_rejected_video_never_stops_a_small_shard(corpus: Path) -> None:
    assert run(corpus, max_rejected=0.05) == 0


def test_too_many_rejected_videos_stop_the_shard(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("videos/v_-dash.mkv").write_text("hello")
    assert run(corpus, max_rejected=0.2) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "2 of 4 videos of this shard were rejected (v_-dash: unreadable; v_text: unreadable" in error
    assert "reencode.max_rejected" in error
    assert not Path("video/0000/manifest.json").exists()


def test_running_again_gives_equal_bytes_and_clears_leftovers(corpus: Path) -> None:
    run(corpus, max_rejected=0.5)
    before = Path("video/0000/manifest.json").read_bytes()
    Path("video/0000/v_stranger.mp4").write_bytes(b"old")
    run(corpus, max_rejected=0.5)
    assert Path("video/0000/manifest.json").read_bytes() == before
    assert not Path("video/0000/v_stranger.mp4").exists()


def test_raw_videos_are_never_overwritten(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--corpus", str(corpus), "--shard", "0", "--output", "videos/manifest.json"]
    before = {path.name: path.read_bytes() for path in Path("videos").iterdir()}
    assert main(words) == 2
    assert "stands among the raw videos" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("videos").iterdir()} == before


def test_a_shard_that_does_not_exist_is_told(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(corpus, shard=1) == 2
    assert "--shard 1: corpus/manifest.json has shards 0 to 0" in capsys.readouterr().err
