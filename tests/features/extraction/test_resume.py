"""A run continues after videos that hang or crash the decoder, and where an earlier run was stopped."""

import errno
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.extraction import (
    Brightness,
    extract_all,
    read_reject_reasons,
    record_decoded_files,
    run_command,
    write_encoder,
)
from helpers.video_corpus import counting_frames, write_h264, write_video_shard

from pipeline.features.extraction.extractor_pass import ExtractedVideoFeature
from pipeline.features.extraction.quarantine import MARKER, InProgressMarker, check_in_subprocess
from pipeline.features.extraction.sources import VideoSource, find_sources
from pipeline.features.extraction.writer import BUFFER, JOURNAL
from pipeline.features.store import FeatureStore
from pipeline.io.atomic import sha256
from pipeline.io.worker import CrashedError
from pipeline.provenance.manifest import read_manifest
from pipeline.video.ffmpeg import find_ffmpeg
from pipeline.video.reencoded_stream import iter_needed_frames
from pipeline.video.stream import TimedFrame


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

    def killing(marker: InProgressMarker, source: VideoSource) -> None:
        if source.video == video:
            raise Killed

    patch.setattr(InProgressMarker, "set", killing)


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
    assert not {JOURNAL, BUFFER, MARKER} & {path.name for path in folder.iterdir()}


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
        assert not {JOURNAL, BUFFER, MARKER} & {path.name for path in manifest.parent.iterdir()}
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
    return write_video_shard(tmp_path / "0000", {f"f{number}": counting_frames(20 + 5 * number) for number in range(4)})


def test_a_decoder_in_this_process_that_hangs_rejects_its_video_alone(
    shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, released = threading.Event(), threading.Event()

    def stuck(path: Path, *arguments: Any, **options: Any) -> Iterator[TimedFrame]:
        for index, frame in enumerate(iter_needed_frames(path, *arguments, **options)):
            if path.name == "f1.mp4" and index == 10:
                hanging.set()
                released.wait()
            yield frame

    def wait_for(changed: threading.Condition, predicate: Callable[[], bool], timeout_s: float) -> bool:
        """Time out as soon as the decoder hangs and all items before it are consumed."""
        if timeout_s != 7.0:  # not the queue of the decoder
            return changed.wait_for(predicate)
        while not predicate() and not hanging.is_set():
            changed.wait(0.01)
        hanging.clear() if not predicate() else None
        return predicate()

    monkeypatch.setattr("pipeline.features.extraction.windows.iter_needed_frames", stuck)
    monkeypatch.setattr("pipeline.features.extraction.prefetch.wait_for", wait_for)
    extractors = [Brightness("a", 30.0, 3, 3), Brightness("b", 15.0, 2, 2)]
    try:
        results = extract_all(extractors, find_sources([shard]), timeout_s=7.0)
    finally:
        released.set()
    assert list(results) == ["f0", "f1", "f2", "f3"]
    for rejection in results.pop("f1"):
        assert rejection.reason == "timeout"
        assert rejection.detail.startswith(f"{shard.parent / 'f1.mp4'}: ")
        assert "7 s" in rejection.detail
    assert all(isinstance(result, ExtractedVideoFeature) for pair in results.values() for result in pair)


def crash(path: Path, timeout_s: float) -> None:
    """Stands for a decoder that crashes on f2 and hangs on f3."""
    if path.stem == "f2":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.stem == "f3":
        os.kill(os.getpid(), signal.SIGALRM)


def test_a_reencoded_video_that_crashed_an_earlier_run_is_rejected(
    tmp_path: Path, shard: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out" / "e" / "0000"
    folder.mkdir(parents=True)
    with pytest.raises(CrashedError), InProgressMarker([folder]) as marker:
        marker.set(VideoSource("f2", shard.parent / "f2.mp4"))
        text = (folder / MARKER).read_text()
        raise CrashedError(-11)
    assert not (folder / MARKER).exists(), "removed after an exception; only a killed run leaves it"
    (folder / MARKER).write_text(text)
    monkeypatch.setattr("pipeline.features.extraction.quarantine.decode_all", crash)
    decoded = record_decoded_files(monkeypatch)
    assert run_command(*command_line(tmp_path, shard, "e")) == 3
    assert "f2.mp4" not in decoded
    assert read_reject_reasons(folder / "manifest.json") == {"f2": "crash"}
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("f2\t")]
    assert "f2.mp4" in line
    assert "SIGSEGV" in line
    assert read_manifest(folder / "manifest.json").metadata["videos"] == 3
    rejection = check_in_subprocess(VideoSource("f3", shard.parent / "f3.mp4"), 5.0)
    assert rejection is not None
    assert rejection.reason == "timeout"


def test_a_good_video_passes_check_in_subprocess(videos: Path) -> None:
    assert check_in_subprocess(VideoSource("f0", videos / "f0.mp4"), 600.0) is None


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
