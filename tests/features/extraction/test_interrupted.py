"""A run goes on: after files that hang or crash the decoder or cannot be read, and where an earlier run was stopped."""

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
from helpers.video_corpus import counting, shoot
from test_extract_features import Brightness, anybody, left_out, made_by, write_encoder

from pipeline.features.combined import FeatureStore
from pipeline.features.extraction.extractor_pass import Made
from pipeline.features.extraction.quarantine import NAME, Marker, suspicion
from pipeline.features.extraction.sources import Source, find_sources
from pipeline.features.extraction.writer import FINISHED, WAITING
from pipeline.io.atomic import sha256
from pipeline.io.worker import CrashedError
from pipeline.provenance.manifest import read_manifest
from pipeline.video.stream import Timed, timed


class Killed(BaseException):
    """Stands for a signal."""


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for number in range(4):
        shoot(tmp_path / "films" / f"f{number}.mp4", counting(20 + 5 * number))
    return tmp_path / "films"


def words(tmp_path: Path, films: Path, *names: str, output: str = "out") -> list[object]:
    encoder = tmp_path / "encoder" / "manifest.json"
    if not encoder.exists():
        write_encoder(encoder.parent)
    given = [f"{name}={encoder}" for name in names]
    return ["--features", *names, "--encoder", *given, "--videos", films, "--output", tmp_path / output]


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded from now on."""
    opened: list[str] = []

    def watching(path: Path, **options: Any) -> Iterator[Timed]:
        opened.append(path.name)
        return timed(path, **options)

    monkeypatch.setattr("pipeline.features.extraction.window_reader.timed", watching)
    return opened


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(
    tmp_path: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (films / "broken.mp4").write_bytes(b"no film")
    monkeypatch.setattr("pipeline.features.extraction.writer.TOGETHER", 2)
    assert anybody(*words(tmp_path, films, "e", output="whole")) == 3

    def stopping(marker: Marker, source: Source) -> None:
        if source.video == "f2":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Marker, "set", stopping)
        with pytest.raises(Killed):
            anybody(*words(tmp_path, films, "e"))
    folder = tmp_path / "out" / "e" / "0000"
    assert (folder / FINISHED).is_file()
    assert not (folder / "manifest.json").exists()
    opened = watched(monkeypatch)
    assert anybody(*words(tmp_path, films, "e", "again")) == 3
    assert opened.count("f0.mp4") == 1, "only for the feature that the first run did not make"
    assert opened.count("f2.mp4") == opened.count("f3.mp4") == 1, "for both features at once"
    assert left_out(folder / "manifest.json") == {"broken": "unreadable"}
    found, whole = (FeatureStore(tmp_path / name / "e") for name in ("out", "whole"))
    assert set(found) == set(whole) == {"f0", "f1", "f2", "f3"}
    for video in whole:
        np.testing.assert_array_equal(found[video].rows, whole[video].rows)
    assert not {FINISHED, WAITING, NAME} & {path.name for path in folder.iterdir()}


def test_what_was_finished_of_other_files_or_in_another_way_is_done_anew(
    tmp_path: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(marker: Marker, source: Source) -> None:
        if source.video == "f3":
            raise Killed

    monkeypatch.setattr("pipeline.features.extraction.writer.TOGETHER", 1)
    for change in ("file", "stride"):
        with monkeypatch.context() as patch:
            patch.setattr(Marker, "set", stopping)
            with pytest.raises(Killed):
                anybody(*words(tmp_path, films, "e", output=change), "--config", '{"batch_size": 1}')
        if change == "file":
            shoot(films / "f0.mp4", counting(40))
        options = {"batch_size": 1, "stride": 3 if change == "stride" else 16}
        opened = watched(monkeypatch)
        assert anybody(*words(tmp_path, films, "e", output=change), "--config", json.dumps(options)) == 0
        assert set(opened) >= ({"f0.mp4", "f3.mp4"} if change == "file" else {path.name for path in films.iterdir()})
        assert "f1.mp4" not in opened or change == "stride"


def test_a_file_that_cannot_be_read_for_its_digest_is_left_out_alone(
    tmp_path: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (films / "dead.mp4").symlink_to("/proc/self/mem")  # an I/O error
    (films / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    hashed: list[str] = []

    def hashing(path: Path) -> str:
        hashed.append(path.name)
        if path.name == "f1.mp4":  # it was decoded, and is not there any more
            raise OSError(errno.ESTALE, "Stale file handle")
        return sha256(path)

    monkeypatch.setattr("pipeline.features.extraction.digests.sha256", hashing)
    for _ in range(2):  # the second one finds all done
        assert anybody(*words(tmp_path, films, "e", "f")) == 3
        assert sorted(name for name in hashed if name.endswith(".mp4")) == sorted(path.name for path in films.iterdir())
        hashed.clear()
    for name in ("e", "f"):
        manifest = tmp_path / "out" / name / "0000" / "manifest.json"
        assert left_out(manifest) == dict.fromkeys(["dead", "f1", "gone"], "unreadable")
        inputs = json.loads(manifest.with_name("manifest.provenance.json").read_text())["inputs"]
        assert {Path(path).name for path in inputs} == {"f0.mp4", "f2.mp4", "f3.mp4", "manifest.json"}


def test_a_decoder_that_hangs_costs_its_video_alone(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, released = threading.Event(), threading.Event()

    def stuck(path: Path, **options: Any) -> Iterator[Timed]:
        for number, frame in enumerate(timed(path, **options)):
            if path.name == "f1.mp4" and number == 10:
                hanging.set()
                released.wait()
            yield frame

    def patiently(changed: threading.Condition, ready: Callable[[], bool], timeout_s: float) -> bool:
        """Time is over as soon as the decoder hangs and all that came before it was taken."""
        if timeout_s != 7.0:  # nobody waits for the decoder here
            return changed.wait_for(ready)
        while not ready() and not hanging.is_set():
            changed.wait(0.01)
        hanging.clear() if not ready() else None
        return ready()

    monkeypatch.setattr("pipeline.features.extraction.window_reader.timed", stuck)
    monkeypatch.setattr("pipeline.features.extraction.prefetch.patiently", patiently)
    two = [Brightness("a", 30.0, 3, 3), Brightness("b", 15.0, 2, 2)]
    try:
        found = made_by(two, find_sources([films]), timeout_s=7.0)
    finally:
        released.set()
    assert list(found) == ["f0", "f1", "f2", "f3"]
    for made in found.pop("f1"):
        assert (made.code, made.detail) == ("timeout", f"{films / 'f1.mp4'}: the decoder gives nothing for 7 s")
    assert all(isinstance(made, Made) for pair in found.values() for made in pair)


def crash(path: Path, timeout_s: float) -> None:
    """Stands for a decoder."""
    if path.stem == "f2":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.stem == "f3":
        os.kill(os.getpid(), signal.SIGALRM)


def test_the_video_that_an_earlier_run_crashed_on_is_named(
    tmp_path: Path, films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out" / "e" / "0000"
    folder.mkdir(parents=True)
    with pytest.raises(CrashedError), Marker([folder]) as marker:
        marker.set(Source("f2", films / "f2.mp4"))
        kept = (folder / NAME).read_text()
        raise CrashedError(-11)
    assert not (folder / NAME).exists(), "whoever can still tidy up does"
    (folder / NAME).write_text(kept)
    monkeypatch.setattr("pipeline.features.extraction.quarantine.play", crash)
    opened = watched(monkeypatch)
    assert anybody(*words(tmp_path, films, "e")) == 3
    assert "f2.mp4" not in opened
    assert left_out(folder / "manifest.json") == {"f2": "crash"}
    assert "f2.mp4: the decoder crashes: the process ended with signal SIGSEGV" in capsys.readouterr().out
    assert read_manifest(folder / "manifest.json").facts["videos"] == 3
    hung = suspicion(Source("f3", films / "f3.mp4"), 5.0)
    assert hung is not None
    assert hung.code == "timeout"


def test_a_video_that_was_read_when_the_power_failed_is_not_to_blame(films: Path) -> None:
    assert suspicion(Source("f0", films / "f0.mp4"), 600.0) is None


def test_what_is_passed_over_in_a_folder_is_told(films: Path, caplog: pytest.LogCaptureFixture) -> None:
    (films / "below").mkdir()
    shoot(films / "below" / "other.mp4", counting(9))
    (films / "notes.txt").write_text("no film")
    (films / "gone.mp4").symlink_to(films / "nowhere.mp4")
    os.mkfifo(films / "pipe")
    assert [source.video for source in find_sources([films])] == ["f0", "f1", "f2", "f3", "gone"]
    assert "passed over 1 folders, whose videos are not looked for (name them too): below" in caplog.text
    assert "passed over 1 hidden files and such as stand beside videos: notes.txt" in caplog.text
    assert "passed over 1 things that are no files: pipe" in caplog.text
