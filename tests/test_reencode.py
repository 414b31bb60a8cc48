"""Re-encoding of a shard continues after bad videos, lists them, and fails if there are too many."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.video_files import truncate, write_video

from pipeline.build_corpus import main as build_corpus
from pipeline.datasets.corpus import RejectedVideo
from pipeline.io.tables import read_rows
from pipeline.provenance.manifest import read_manifest
from pipeline.reencode import main
from pipeline.video.ffmpeg import ffmpeg_version, find_ffmpeg
from pipeline.video.shard import ReencodedVideos

NAMES = ["v_good one", "v_-dash", "v_text", "v_unicödé"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a corpus of four videos, one of which is a text file."""
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    for name in NAMES:
        write_video(Path("videos", f"{name}.mkv"), seconds=1, sound=name == "v_-dash")
    Path("videos/v_text.mkv").write_text("hello")
    entry = {"duration": 1, "timestamps": [[0, 1]], "sentences": ["A picture."]}
    write_json("train.json", dict.fromkeys(NAMES, entry))
    write_json("val.json", {})
    write_json("actions.json", {"database": {}})
    config = {
        "actions": ["actions.json"],
        "captions_train": "train.json",
        "captions_val": ["val.json"],
        "videos": "videos",
        "shards": 1,
    }
    assert build_corpus(["--config", json.dumps(config), "--output", "corpus/manifest.json"]) == 0
    return Path("corpus/manifest.json")


def write_json(name: str, data: Any) -> None:
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


def test_reencode_lists_bad_videos_and_encodes_the_others(corpus: Path) -> None:
    assert run(corpus, max_rejected=0.5) == 0
    videos = ReencodedVideos.open(Path("video"), 1)
    assert sorted(videos.by_id) == ["v_-dash", "v_good one", "v_unicödé"]
    assert videos.by_id["v_-dash"].audio
    assert not videos.by_id["v_good one"].audio
    assert videos.by_id["v_good one"].frames == 30
    manifest = read_manifest(Path("video/0000/manifest.json"))
    rejects = read_rows(manifest.file("rejects.parquet"), RejectedVideo)
    assert [(row.video, row.reason) for row in rejects] == [("v_text", "unreadable")]
    assert manifest.metadata["rejected"] == 1


def test_reencode_always_allows_one_rejected_video(corpus: Path) -> None:
    assert run(corpus, max_rejected=0.05) == 0


def test_reencode_fails_if_too_many_videos_are_rejected(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("videos/v_-dash.mkv").write_text("hello")
    assert run(corpus, max_rejected=0.2) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "2 of 4 videos of this shard were rejected (v_-dash: unreadable; v_text: unreadable" in error
    assert "reencode.max_rejected" in error
    assert not Path("video/0000/manifest.json").exists()


def test_reencode_again_gives_equal_bytes_and_removes_other_files(corpus: Path) -> None:
    run(corpus, max_rejected=0.5)
    before = Path("video/0000/manifest.json").read_bytes()
    Path("video/0000/v_other.mp4").write_bytes(b"old")
    run(corpus, max_rejected=0.5)
    assert Path("video/0000/manifest.json").read_bytes() == before
    assert not Path("video/0000/v_other.mp4").exists()


def test_reencode_never_overwrites_raw_videos(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--corpus", str(corpus), "--shard", "0", "--output", "videos/manifest.json"]
    before = {path.name: path.read_bytes() for path in Path("videos").iterdir()}
    assert main(arguments) == 2
    assert "--output videos/manifest.json: " in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("videos").iterdir()} == before


def test_reencode_refuses_a_shard_that_does_not_exist(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(corpus, shard=1) == 2
    assert "--shard 1: corpus/manifest.json has the shards 0 to 0" in capsys.readouterr().err


def read_videos() -> dict[str, tuple[int, bytes]]:
    """Return modification time and bytes of the videos of the shard."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path("video/0000").glob("*.mp4")}


def rewritten(before: dict[str, tuple[int, bytes]]) -> set[str]:
    """Return the videos that were written since."""
    return {name.removesuffix(".mp4") for name, content in read_videos().items() if before.get(name) != content}


def test_reencode_does_not_repeat_finished_videos(corpus: Path) -> None:
    assert run(corpus) == 0
    manifest = Path("video/0000/manifest.json")
    before, content = read_videos(), manifest.read_bytes()
    manifest.unlink()  # as snakemake does
    Path("video/0000/.v_text.77.tmp.mp4").write_bytes(b"half")
    assert run(corpus, timeout_s=500.0, max_rejected=0.5) == 0
    assert rewritten(before) == set()
    assert manifest.read_bytes() == content
    assert not Path("video/0000/.v_text.77.tmp.mp4").exists()


def test_reencode_after_too_many_rejects_repeats_the_replaced_videos_only(corpus: Path) -> None:
    Path("videos/v_-dash.mkv").write_text("hello")
    assert run(corpus, max_rejected=0.2) == 2
    before = read_videos()
    write_video(Path("videos/v_-dash.mkv"), seconds=1)
    assert run(corpus, max_rejected=0.2) == 0
    assert rewritten(before) == {"v_-dash"}


def test_reencode_repeats_videos_with_other_settings_sources_or_damaged_files(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(corpus) == 0
    before = read_videos()
    write_video(Path("videos/v_-dash.mkv"), seconds=1.2)
    Path("video/0000/v_unicödé.mp4").write_bytes(before["v_unicödé.mp4"][1][:-1])
    Path("video/0000/v_good one.mp4").unlink()
    assert run(corpus) == 0
    assert rewritten(before) == {"v_-dash", "v_unicödé", "v_good one"}
    assert read_videos()["v_good one.mp4"][1] == before["v_good one.mp4"][1]
    before = read_videos()
    assert run(corpus, crf=30) == 0
    assert rewritten(before) == {"v_-dash", "v_unicödé", "v_good one"}
    before = read_videos()
    monkeypatch.setattr("pipeline.reencode.ffmpeg_version", lambda: "other")
    assert run(corpus, crf=30) == 0
    assert rewritten(before) == {"v_-dash", "v_unicödé", "v_good one"}


def test_reencode_tries_a_video_that_took_too_long_again(corpus: Path) -> None:
    assert run(corpus, timeout_s=0.001, max_rejected=1.0) == 0
    assert not ReencodedVideos.open(Path("video"), 1).by_id
    reasons = [row.reason for row in read_rows(Path("video/0000/rejects.parquet"), RejectedVideo)]
    assert sorted(reasons) == ["timeout", "timeout", "timeout", "unreadable"]
    assert run(corpus) == 0
    assert len(ReencodedVideos.open(Path("video"), 1).by_id) == 3


def test_reencode_marks_logs_and_counts_partial_videos(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_video(Path("source.mkv"), seconds=4, sound=True)
    truncate(source, Path("videos/v_-dash.mkv"), 0.7)
    for _ in range(2):  # the second time, from the journal
        assert run(corpus) == 0
        row = ReencodedVideos.open(Path("video"), 1).by_id["v_-dash"]
        assert (row.partial, row.reason, row.source_s) == (True, "cut_short", pytest.approx(4, abs=0.1))
        assert 2 < row.duration < 3
        metadata = read_manifest(Path("video/0000/manifest.json")).metadata
        assert (metadata["videos"], metadata["partial"], metadata["rejected"]) == (3, 1, 1)
        assert "partial v_-dash: cut_short, 2." in capsys.readouterr().err
    assert run(corpus, partial="reject", max_rejected=0.5) == 0
    assert "v_-dash" not in ReencodedVideos.open(Path("video"), 1).by_id
    assert not Path("video/0000/v_-dash.mp4").exists()


def test_reencode_records_the_version_of_ffmpeg(corpus: Path) -> None:
    assert run(corpus) == 0
    record = json.loads(Path("video/0000/manifest.provenance.json").read_text())
    assert record["tools"] == {"ffmpeg": ffmpeg_version()}


def test_reencode_stops_if_ffmpeg_is_killed_and_keeps_finished_videos(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The encoder of the second video is killed, as by the out-of-memory killer."""
    Path("bin").mkdir()
    script = f'#!/bin/sh\ncase "$*" in *"v_good one"*) kill -9 $$;; esac\nexec "{find_ffmpeg()}" "$@"\n'
    Path("bin/ffmpeg").write_text(script)
    Path("bin/ffmpeg").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(Path("bin").absolute()), prepend=":")
        assert run(corpus) == 2
    assert "v_good one.mkv: ffmpeg was killed (status -9" in capsys.readouterr().err
    assert not Path("video/0000/manifest.json").exists()
    before = read_videos()
    assert set(before) == {"v_-dash.mp4"}
    assert run(corpus) == 0
    assert rewritten(before) == {"v_good one", "v_unicödé"}
