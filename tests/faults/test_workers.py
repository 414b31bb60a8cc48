"""A dead worker process, or too little shared memory, is an error in one line, and the rerun gives the same result."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.evaluation_files import write_captions, write_references
from helpers.kill_runner import Case, contents
from helpers.video_corpus import SMALL, VideoCorpus, write_video_corpus

from pipeline.demo.scene import VideoPlan
from pipeline.encoders.clip_reader import ClipReader
from pipeline.evaluate import main as evaluate
from pipeline.evaluation.java import find_java
from pipeline.make_demo import main as make_demo
from pipeline.pretrain_encoder import main

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {**SMALL, "clips_per_segment": 4, "batch_size": 8, "save_every": 1, "epochs": 1, "cache_gb": 0.0}


@pytest.fixture
def video_corpus(tmp_path: Path) -> VideoCorpus:
    return write_video_corpus(tmp_path, {"train": 2, "val": 2})


def case(video_corpus: VideoCorpus, name: str, workers: int) -> Case:
    folder = video_corpus.corpus.parents[1] / name
    words = ["--name", "sa_tsp", "--config", json.dumps({**CONFIG, "workers": workers})]
    words += [
        "--corpus",
        str(video_corpus.corpus),
        "--videos",
        str(video_corpus.videos),
        "--concepts",
        str(video_corpus.concepts),
    ]
    words += ["--state", str(folder / "state"), "--output", str(folder / "manifest.json")]
    return Case("pipeline.pretrain_encoder", words, [], [str(folder)], 0, 0)


def weights(case: Case) -> str:
    """Return the sha256 of the weights; other files contain the number of workers."""
    return next(digest for path, digest in contents(case).items() if path.endswith("model.safetensors"))


def test_a_killed_worker_is_an_error_and_the_rerun_gives_the_same_weights(
    video_corpus: VideoCorpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed, disturbed = case(video_corpus, "undisturbed", 1), case(video_corpus, "disturbed", 1)
    assert main(undisturbed.words) == 0
    parent, read = os.getpid(), ClipReader.read

    def kill_worker(self: ClipReader, video: str, first: int) -> object:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, video, first)

    with monkeypatch.context() as patch:
        patch.setattr(ClipReader, "read", kill_worker)
        assert main(disturbed.words) == 2
    output = capsys.readouterr().err
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "worker" in line
    assert "run again" in line.lower()
    assert main(disturbed.words) == 0
    assert weights(disturbed) == weights(undisturbed)


def test_too_little_shared_memory_is_an_error(video_corpus: VideoCorpus) -> None:
    tiny, plain = case(video_corpus, "tiny", 1), case(video_corpus, "plain", 0)
    script = 'mount -t tmpfs -o size=16k tmpfs /dev/shm || exit 77; exec "$@"'
    try:
        process = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", tiny.stage, *tiny.words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if process.returncode == 77 or "unshare" in process.stderr:
        pytest.skip(f"this process cannot mount: {process.stderr.strip()}")
    assert process.returncode == 2, process.stderr
    [line] = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert "/dev/shm" in line
    assert "workers: 0" in line
    assert main(plain.words) == 0
    assert main(tiny.words) == 0
    assert weights(tiny) == weights(plain)


def die(video: VideoPlan, folder: Path, draw: object) -> Path:
    """Replaces the drawing of a video."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def test_a_killed_process_that_draws_the_demo_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.demo.render.render_video", die)
    few = {"train_videos": 1, "val_videos": 3, "test_videos": 0, "broken_videos": 0, "workers": 1}
    assert make_demo(["--config", json.dumps(few), "--output", str(tmp_path / "demo" / "manifest.json")]) == 2
    assert "a process that draws videos was killed" in capsys.readouterr().err


EVENTS = {"v_a": [(0.0, 10.0, "A zebra gallops."), (10.0, 20.0, "It jumps a fence.")], "v_b": [(0.0, 30.0, "Dogs.")]}


def test_a_killed_java_is_restarted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The processes of `evaluate` are Java, for the tokenizer and for METEOR's stems."""
    captions = {"v_a": [(0.0, 9.0, "The zebra galloped."), (11.0, 20.0, "It leaps.")], "v_b": EVENTS["v_b"]}
    words = ["captions", "--predictions", str(write_captions(tmp_path / "captions.json", captions))]
    words += ["--references", str(write_references(tmp_path / "references.json", EVENTS))]
    words += ["--metrics", "METEOR", "--bootstrap", "0", "--workers", "2", "--output"]
    outputs = [tmp_path / f"{name}.json" for name in ("undisturbed", "once", "always")]
    assert evaluate([*words, str(outputs[0])]) == 0
    real, left = find_java(), tmp_path / "left"
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "java"
    # The first calls of Java are killed; a call for its version is not.
    script.write_text(
        f'#!/bin/sh\n[ "$1" = -version ] || ! [ -s {left} ] || {{ sed -i 1d {left}; kill -9 $$; }}\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    left.write_text("a kill\n")
    assert evaluate([*words, str(outputs[1])]) == 0
    assert left.read_text() == ""
    assert outputs[1].read_bytes() == outputs[0].read_bytes()
    left.write_text("a kill\n" * 2)
    capsys.readouterr()
    assert evaluate([*words, str(outputs[2])]) == 2
    output = capsys.readouterr().err
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "Java (" in line
    assert "SIGKILL" in line
    assert "run again" in line
    assert "Traceback" not in output
    assert not outputs[2].exists()
    assert evaluate([*words, str(outputs[2])]) == 0
    assert outputs[2].read_bytes() == outputs[0].read_bytes()
