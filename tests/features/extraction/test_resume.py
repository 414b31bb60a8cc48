"""A run continues after videos that hang or crash the decoder, and where an earlier run was stopped."""

import errno
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.extraction import (
    read_reject_reasons,
    record_decoded_files,
    run_command,
    write_encoder,
)
from helpers.video_corpus import counting_frames, write_h264, write_video_shard

from pipeline.features.extraction.writer import BUFFER, JOURNAL
from pipeline.features.store import FeatureStore
from pipeline.io.atomic import sha256
from pipeline.video.ffmpeg import find_ffmpeg
from pipeline.video.stream import TimedFrame, iter_frames


class Killed(BaseException):
    """Stands for a signal."""


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for number in range(4):
        write_h264(tmp_path / "videos" / f"f{number}.mp4", counting_frames(20 + 5 * number))
    return tmp_path / "videos"


def command_line(tmp_path: Path, videos: Path, *names: str, output: str = "out") -> list[object]:
    manifest = tmp_path / "encoder" / "manifest.json"
    if not manifest.exists():
        write_encoder(manifest.parent)
    encoders = [f"{name}={manifest}" for name in names]
    return ["--features", *names, "--encoder", *encoders, "--videos", videos, "--output", tmp_path / output]


def kill_at(video: str, patch: pytest.MonkeyPatch) -> None:
    """Kill the run when it begins to decode a video."""

    def killing(path: Path, **options: Any) -> Iterator[TimedFrame]:
        if path.stem == video:
            raise Killed
        return iter_frames(path, **options)

    patch.setattr("pipeline.features.extraction.windows.iter_frames", killing)


def test_a_stopped_run_resumes_with_the_missing_videos(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (videos / "broken.mp4").write_bytes(b"no video")
    monkeypatch.setattr("pipeline.features.extraction.writer.GROUP_SIZE", 2)
    assert run_command(*command_line(tmp_path, videos, "e", output="whole")) == 3
    with monkeypatch.context() as patch:
        kill_at("f2", patch)
        with pytest.raises(Killed):
            run_command(*command_line(tmp_path, videos, "e"))
    folder = tmp_path / "out" / "e" / "0000"
    assert (folder / JOURNAL).is_file()
    assert not (folder / "manifest.json").exists()
    decoded = record_decoded_files(monkeypatch)
    assert run_command(*command_line(tmp_path, videos, "e", "again")) == 3
    assert decoded.count("f0.mp4") == 1, "only for the feature that the first run did not extract"
    assert decoded.count("f2.mp4") == decoded.count("f3.mp4") == 1, "for both features at once"
    assert read_reject_reasons(folder / "manifest.json") == {"broken": "unreadable"}
    resumed, whole = (FeatureStore(tmp_path / name / "e") for name in ("out", "whole"))
    assert set(resumed) == set(whole) == {"f0", "f1", "f2", "f3"}
    for video in whole:
        np.testing.assert_array_equal(resumed[video].rows, whole[video].rows)
    assert not {JOURNAL, BUFFER} & {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["manifest.json", "manifest.provenance.json", "manifest.computation.json"])
def test_a_run_that_is_killed_at_its_end_decodes_nothing_again(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    words, rename = command_line(tmp_path, videos, "e"), Path.replace

    def replace(path: Path, target: Path) -> Path:
        if target.name == name:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(Killed):
            run_command(*words)
    decoded = record_decoded_files(monkeypatch)
    manifest = tmp_path / "out" / "e" / "0000" / "manifest.json"
    for _ in range(2):
        assert run_command(*words) == 0
        assert decoded == []
        assert not {JOURNAL, BUFFER} & {path.name for path in manifest.parent.iterdir()}
        manifest.unlink()  # as Snakemake does


@pytest.mark.parametrize("change", ["file", "stride"])
def test_results_of_other_files_or_settings_are_not_resumed(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr("pipeline.features.extraction.writer.GROUP_SIZE", 1)
    with monkeypatch.context() as patch:
        kill_at("f3", patch)
        with pytest.raises(Killed):
            run_command(*command_line(tmp_path, videos, "e"), "--batch-size", 1)
    if change == "file":
        write_h264(videos / "f0.mp4", counting_frames(40))
    decoded = record_decoded_files(monkeypatch)
    stride = 3 if change == "stride" else 16
    assert run_command(*command_line(tmp_path, videos, "e"), "--batch-size", 1, "--set", f"e.stride={stride}") == 0
    assert set(decoded) >= ({"f0.mp4", "f3.mp4"} if change == "file" else {path.name for path in videos.iterdir()})
    assert "f1.mp4" not in decoded or change == "stride"


def test_a_file_whose_hash_cannot_be_read_is_left_out_alone(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (videos / "dead.mp4").symlink_to("/proc/self/mem")  # an I/O error
    (videos / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    hashed: list[str] = []

    def hashing(path: Path) -> str:
        hashed.append(path.name)
        if path.name == "f1.mp4":  # it was decoded, and has vanished since
            raise OSError(errno.ESTALE, "Stale file handle")
        return sha256(path)

    monkeypatch.setattr("pipeline.features.extraction.sources.sha256", hashing)
    for _ in range(2):  # the second run finds both features up to date
        assert run_command(*command_line(tmp_path, videos, "e", "f")) == 3
        names = sorted(name for name in hashed if name.endswith(".mp4"))
        assert names == sorted(path.name for path in videos.iterdir())
        hashed.clear()
    for name in ("e", "f"):
        manifest = tmp_path / "out" / name / "0000" / "manifest.json"
        assert read_reject_reasons(manifest) == dict.fromkeys(["dead", "f1", "gone"], "unreadable")
        inputs = json.loads(manifest.with_name("manifest.provenance.json").read_text())["inputs"]
        assert {Path(path).name for path in inputs} == {"f0.mp4", "f2.mp4", "f3.mp4", "manifest.json"}


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return write_video_shard(tmp_path / "0000", {f"f{number}": counting_frames(20 + 5 * number) for number in range(5)})


FAULTY_DECODER = """
import os, signal
from pipeline.video import decoder_process

decode = decoder_process.iter_decoded_frames
faults = {"f1": signal.SIGSEGV, "f2": signal.SIGSTOP, "f3": signal.SIGKILL}

def fail(path, *arguments, **options):
    for index, frame in enumerate(decode(path, *arguments, **options)):
        if index == 1 and path.stem in faults:
            os.kill(os.getpid(), faults[path.stem])
        yield frame

decoder_process.iter_decoded_frames = fail
decoder_process.main()
"""
"""A process whose decoder crashes on f1, hangs on f2, and is killed by the system on f3."""


def test_a_decoder_of_reencoded_videos_that_crashes_or_hangs_costs_its_video_alone(
    tmp_path: Path, shard: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.video.decoder_process.COMMAND", (sys.executable, "-c", FAULTY_DECODER))
        assert run_command(*command_line(tmp_path, shard, "e", "f"), "--timeout-s", 5) == 3
    for name in ("e", "f"):
        manifest = tmp_path / "out" / name / "0000" / "manifest.json"
        assert read_reject_reasons(manifest) == {"f1": "crash", "f2": "timeout", "f3": "killed"}
        assert set(FeatureStore(tmp_path / "out" / name)) == {"f0", "f4"}
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("f1\t")]
    assert "f1.mp4" in line
    assert "SIGSEGV" in line
    assert run_command(*command_line(tmp_path, shard, "e", output="good")) == 0
    faulty, good = (FeatureStore(tmp_path / output / "e") for output in ("out", "good"))
    for video in faulty:
        np.testing.assert_array_equal(faulty[video].rows, good[video].rows)


BAD_FFMPEG = """#!/bin/sh
case "$*" in
    *f1.mp4*) kill -SEGV $$ ;;
    *f2.mp4*) exec tail -f /dev/null ;;
    *f3.mp4*) kill -KILL $$ ;;
    *) exec {ffmpeg} "$@" ;;
esac
"""
"""Stands for an ffmpeg that crashes on f1, hangs on f2, and is killed by the system on f3."""


def test_a_crash_or_hang_of_ffmpeg_costs_its_video_alone(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text(BAD_FFMPEG.format(ffmpeg=find_ffmpeg()))
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.video.ffmpeg_pipe.find_ffmpeg", lambda: script)
        assert run_command(*command_line(tmp_path, videos, "e"), "--timeout-s", 5) == 3
    manifest = tmp_path / "out" / "e" / "0000" / "manifest.json"
    assert read_reject_reasons(manifest) == {"f1": "crash", "f2": "timeout", "f3": "killed"}
    assert set(FeatureStore(tmp_path / "out" / "e")) == {"f0"}
