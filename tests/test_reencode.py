"""A shard goes on over bad videos, accounts for them, and stops when there are too many."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.video_files import cut, film

from pipeline.build_corpus import main as build_corpus
from pipeline.datasets.corpus import REJECTS
from pipeline.io.tables import read_table
from pipeline.provenance.manifest import read_manifest
from pipeline.reencode import main
from pipeline.video.shard import Videos
from pipeline.video.tools import ffmpeg, ffmpeg_version

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


def files() -> dict[str, tuple[int, bytes]]:
    """Videos of the shard: when they were written, and their bytes."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path("video/0000").glob("*.mp4")}


def redone(before: dict[str, tuple[int, bytes]]) -> set[str]:
    """Videos that were written since."""
    return {name.removesuffix(".mp4") for name, found in files().items() if before.get(name) != found}


def test_what_is_finished_is_not_done_again(corpus: Path) -> None:
    assert run(corpus) == 0
    manifest = Path("video/0000/manifest.json")
    before, said = files(), manifest.read_bytes()
    manifest.unlink()  # as snakemake does
    Path("video/0000/.v_text.77.tmp.mp4").write_bytes(b"half")
    assert run(corpus, timeout_s=500.0, max_rejected=0.5) == 0
    assert redone(before) == set()
    assert manifest.read_bytes() == said
    assert not Path("video/0000/.v_text.77.tmp.mp4").exists()


def test_too_many_rejects_cost_nothing_once_they_are_mended(corpus: Path) -> None:
    Path("videos/v_-dash.mkv").write_text("hello")
    assert run(corpus, max_rejected=0.2) == 2
    before = files()
    film(Path("videos/v_-dash.mkv"), seconds=1)
    assert run(corpus, max_rejected=0.2) == 0
    assert redone(before) == {"v_-dash"}


def test_other_settings_sources_and_damaged_files_are_done_again(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(corpus) == 0
    before = files()
    film(Path("videos/v_-dash.mkv"), seconds=1.2)
    Path("video/0000/v_unicödé.mp4").write_bytes(before["v_unicödé.mp4"][1][:-1])
    Path("video/0000/v_good one.mp4").unlink()
    assert run(corpus) == 0
    assert redone(before) == {"v_-dash", "v_unicödé", "v_good one"}
    assert files()["v_good one.mp4"][1] == before["v_good one.mp4"][1]
    before = files()
    assert run(corpus, crf=30) == 0
    assert redone(before) == {"v_-dash", "v_unicödé", "v_good one"}
    before = files()
    monkeypatch.setattr("pipeline.reencode.ffmpeg_version", lambda: "other")
    assert run(corpus, crf=30) == 0
    assert redone(before) == {"v_-dash", "v_unicödé", "v_good one"}


def test_a_video_that_took_too_long_is_tried_again(corpus: Path) -> None:
    assert run(corpus, timeout_s=0.001, max_rejected=1.0) == 0
    assert not Videos.open(Path("video"), 1).rows
    reasons = [row["reason"] for row in read_table(Path("video/0000/rejects.parquet"), REJECTS)]
    assert sorted(reasons) == ["timeout", "timeout", "timeout", "unreadable"]
    assert run(corpus) == 0
    assert len(Videos.open(Path("video"), 1).rows) == 3


def test_partial_videos_are_marked_told_and_counted(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = film(Path("whole.mkv"), seconds=4, sound=True)
    cut(whole, Path("videos/v_-dash.mkv"), 0.7)
    for _ in range(2):  # the second time, from the journal
        assert run(corpus) == 0
        row = Videos.open(Path("video"), 1).rows["v_-dash"]
        assert (row.partial, row.reason, row.source_s) == (True, "cut_short", pytest.approx(4, abs=0.1))
        assert 2 < row.duration < 3
        facts = read_manifest(Path("video/0000/manifest.json")).facts
        assert (facts["videos"], facts["partial"], facts["rejected"]) == (3, 1, 1)
        assert "partial v_-dash: cut_short, 2." in capsys.readouterr().err
    assert run(corpus, partial="reject", max_rejected=0.5) == 0
    assert "v_-dash" not in Videos.open(Path("video"), 1).rows
    assert not Path("video/0000/v_-dash.mp4").exists()


def test_the_record_tells_which_ffmpeg_it_was(corpus: Path) -> None:
    assert run(corpus) == 0
    made = json.loads(Path("video/0000/manifest.provenance.json").read_text())
    assert made["tools"] == {"ffmpeg": ffmpeg_version()}


def test_an_ffmpeg_that_is_killed_stops_the_run_and_what_is_finished_stays(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second video's encoding is killed, as by a machine without memory."""
    Path("bin").mkdir()
    script = f'#!/bin/sh\ncase "$*" in *"v_good one"*) kill -9 $$;; esac\nexec "{ffmpeg()}" "$@"\n'
    Path("bin/ffmpeg").write_text(script)
    Path("bin/ffmpeg").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(Path("bin").absolute()), prepend=":")
        assert run(corpus) == 2
    assert "v_good one.mkv: ffmpeg was stopped (status -9" in capsys.readouterr().err
    assert not Path("video/0000/manifest.json").exists()
    before = files()
    assert set(before) == {"v_-dash.mp4"}
    assert run(corpus) == 0
    assert redone(before) == {"v_good one", "v_unicödé"}
