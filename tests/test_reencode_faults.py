"""Re-encoding of a shard with many damaged files, and of a shard that is killed repeatedly."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
from helpers.evaluation_files import write_corpus
from helpers.kill_runner import Case, check_result, kill_in_fork
from helpers.video_files import truncate, write_video

from pipeline.datasets.corpus import RejectedVideo
from pipeline.io.tables import read_rows
from pipeline.provenance.manifest import read_manifest
from pipeline.reencode import main
from pipeline.video.shard import ReencodedVideos

ROOT = Path(__file__).resolve().parents[1]
BAD = {"empty": 3, "page": 2, "sound": 2, "torn": 2, "cut": 1}
"""Kinds of bad files, with the number of each among ten."""


def write_raw(folder: Path, kind: str) -> Path:
    """Write one file of a kind."""
    path = folder / f"{kind}.mp4"
    small = {"seconds": 1.0, "size": "64x48", "fps": "30"}
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "page":
        path.write_text("<html><h1>404 Not Found</h1></html>")
    elif kind == "sound":
        write_video(path, seconds=1, sound=True, options=("-map", "1:a"))
    elif kind == "torn":  # without its index, which is at the end
        truncate(write_video(folder / "whole.mp4", **small), path)
    elif kind == "cut":
        truncate(write_video(folder / "fast.mp4", **small, options=("-movflags", "+faststart", "-bf", "0")), path, 0.9)
    else:
        write_video(path, **small)
    return path


def arguments(**config: object) -> list[str]:
    settings = json.dumps({"preset": "ultrafast", "least_s": 0.5, **config})
    return ["--config", settings, "--corpus", "corpus/manifest.json", "--shard", "0", "--output", "video/manifest.json"]


@pytest.mark.parametrize("tens", [1, pytest.param(10, marks=pytest.mark.campaign)])
def test_reencode_names_the_bad_half_of_the_files_and_encodes_the_others(
    tens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    kinds = [kind for kind, count in {**BAD, "good": 10}.items() for _ in range(count * tens)]
    names = {f"v_{(7 * number) % len(kinds):03d}_{kind}": kind for number, kind in enumerate(kinds)}
    raw = {kind: write_raw(Path("raw"), kind) for kind in set(kinds)}
    for name, kind in names.items():
        shutil.copyfile(raw[kind], f"{name}.mp4")
    write_corpus(Path("corpus"), [(name, "train", True) for name in sorted(names)])
    assert main(arguments(max_rejected=0.45)) == 0
    log = capsys.readouterr().err
    manifest = read_manifest(Path("video/manifest.json"))
    assert manifest.metadata.items() >= {"videos": 11 * tens, "partial": tens, "rejected": 9 * tens}.items()
    rejects = read_rows(manifest.file("rejects.parquet"), RejectedVideo)
    rows = ReencodedVideos.read([Path("video/manifest.json")]).by_id
    assert {row.video for row in rejects} | set(rows) == set(names)
    assert Counter(row.reason for row in rejects) == {"empty": 3 * tens, "unreadable": 4 * tens, "no_video": 2 * tens}
    assert all(f"rejected {row.video}: {row.reason} (" in log for row in rejects)
    for name, row in rows.items():
        assert row.partial == (names[name] == "cut")
        assert (f"partial {name}: " in log) == row.partial
        assert row.reason in ({"cut_short", "decode_error"} if row.partial else {None})
    good = {Path(f"video/{name}.mp4").read_bytes() for name, kind in names.items() if kind == "good"}
    assert len(good) == 1
    reasons = f"empty {3 * tens}, no_video {2 * tens}, unreadable {4 * tens}"
    assert f"shard 0: {11 * tens} videos, {tens} of them partial, {9 * tens} rejected ({reasons})" in log

    assert main(arguments(max_rejected=0.44)) == 2, "the videos are not encoded again"
    error = capsys.readouterr().err
    assert f"{9 * tens} of {20 * tens} videos of this shard were rejected" in error
    assert "reencode.max_rejected = 0.44" in error


@pytest.mark.parametrize(("moments", "kills"), [("commits", 2), pytest.param("random", 8, marks=pytest.mark.campaign)])
def test_a_killed_reencode_gives_the_same_files(
    tmp_path: Path, moments: Literal["random", "commits"], kills: int
) -> None:
    for number in range(12):
        write_video(tmp_path / f"v_{number}.mp4", size="64x48", seconds=1 + number / 10, sound=number % 2 == 0)
    truncate(write_video(tmp_path / "whole.mkv", size="64x48", seconds=4), tmp_path / "v_3.mp4", 0.8)
    (tmp_path / "v_5.mp4").write_bytes(b"")
    write_corpus(tmp_path / "corpus", [(f"v_{number}", "train", True) for number in range(12)])
    case = Case("pipeline.reencode", arguments(), ["video/manifest.json"], ["video"], kills, 3, moments)
    [result], log = kill_in_fork([case], tmp_path)
    check_result(result, kills)
    assert "were finished by an earlier run" in log, "at least one kill came between two videos"
    assert not list((tmp_path / "video").glob(".*")), "no temporary files"
