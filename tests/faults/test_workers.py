"""Processes that others wait for die, or have no shared memory: one plain line, and the rerun ends as if not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.evaluation_files import write_captions, write_references
from helpers.kill_runner import Case, contents
from helpers.video_corpus import SMALL, Filmed, write_filmed

from pipeline.demo.scene import Video
from pipeline.encoders.clip_reader import ClipReader
from pipeline.evaluate import main as evaluate
from pipeline.evaluation.java import java
from pipeline.make_demo import main as make_demo
from pipeline.pretrain_encoder import main

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {**SMALL, "clips_per_segment": 4, "batch_size": 8, "save_every": 1, "epochs": 1, "cache_gb": 0.0}


@pytest.fixture
def filmed(tmp_path: Path) -> Filmed:
    return write_filmed(tmp_path, {"train": 2, "val": 2})


def case(filmed: Filmed, name: str, workers: int) -> Case:
    folder = filmed.corpus.parents[1] / name
    words = ["--name", "sa_tsp", "--config", json.dumps({**CONFIG, "workers": workers})]
    words += ["--corpus", str(filmed.corpus), "--videos", str(filmed.videos), "--concepts", str(filmed.concepts)]
    words += ["--state", str(folder / "state"), "--output", str(folder / "manifest.json")]
    return Case("pipeline.pretrain_encoder", words, [], [str(folder)], 0, 0)


def weights(case: Case) -> str:
    """Digest of what was learned: the number of workers stands in other files."""
    return next(digest for path, digest in contents(case).items() if path.endswith("model.safetensors"))


def test_a_killed_worker_is_told_and_the_rerun_is_as_if_it_had_lived(
    filmed: Filmed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed, disturbed = case(filmed, "undisturbed", 1), case(filmed, "disturbed", 1)
    assert main(undisturbed.words) == 0
    whose, read = os.getpid(), ClipReader.read

    def killed(self: ClipReader, video: str, first: int) -> object:
        if os.getpid() != whose:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, video, first)

    with monkeypatch.context() as patch:
        patch.setattr(ClipReader, "read", killed)
        assert main(disturbed.words) == 2
    said = capsys.readouterr().err
    assert "error: a process that reads clips is gone (" in said
    assert "run again, which goes on from the last state" in said.lower()
    assert main(disturbed.words) == 0
    assert weights(disturbed) == weights(undisturbed)


def test_shared_memory_that_is_too_small_is_told(filmed: Filmed) -> None:
    tiny, plain = case(filmed, "tiny", 1), case(filmed, "plain", 0)
    script = 'mount -t tmpfs -o size=16k tmpfs /dev/shm || exit 77; exec "$@"'
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", tiny.stage, *tiny.words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mounts of its own for a process here: {done.stderr.strip()}")
    assert done.returncode == 2, done.stderr
    assert "error: a process that reads clips is gone (" in done.stderr
    assert "/dev/shm" in done.stderr
    assert "workers: 0" in done.stderr
    assert main(plain.words) == 0
    assert main(tiny.words) == 0
    assert weights(tiny) == weights(plain)


def die(video: Video, folder: Path) -> Path:
    """Stands for drawing a video."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def test_a_killed_process_that_draws_the_demo_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.make_demo.film", die)
    few = {"train_videos": 1, "val_videos": 3, "test_videos": 0, "broken_videos": 0, "workers": 1}
    assert make_demo(["--config", json.dumps(few), "--output", str(tmp_path / "demo" / "manifest.json")]) == 2
    assert "a process that draws videos was killed" in capsys.readouterr().err


EVENTS = {"v_a": [(0.0, 10.0, "A zebra gallops."), (10.0, 20.0, "It jumps a fence.")], "v_b": [(0.0, 30.0, "Dogs.")]}


def test_a_killed_java_is_replaced_and_one_that_is_killed_again_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other processes of `evaluate`: it has threads, and Java for tokens and for METEOR's stems."""
    said = {"v_a": [(0.0, 9.0, "The zebra galloped."), (11.0, 20.0, "It leaps.")], "v_b": EVENTS["v_b"]}
    words = ["captions", "--predictions", str(write_captions(tmp_path / "captions.json", said))]
    words += ["--references", str(write_references(tmp_path / "references.json", EVENTS))]
    words += ["--metrics", "METEOR", "--bootstrap", "0", "--workers", "2", "--output"]
    outputs = [tmp_path / f"{name}.json" for name in ("undisturbed", "once", "always")]
    assert evaluate([*words, str(outputs[0])]) == 0
    real, left = java(), tmp_path / "left"
    (tmp_path / "bin").mkdir()
    killed = tmp_path / "bin" / "java"
    # In place of its first calls Java is killed; what asks for its version only is let be.
    killed.write_text(
        f'#!/bin/sh\n[ "$1" = -version ] || ! [ -s {left} ] || {{ sed -i 1d {left}; kill -9 $$; }}\nexec {real} "$@"\n'
    )
    killed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{killed.parent}{os.pathsep}{os.environ['PATH']}")
    left.write_text("a kill\n")
    assert evaluate([*words, str(outputs[1])]) == 0
    assert left.read_text() == ""
    assert outputs[1].read_bytes() == outputs[0].read_bytes()
    left.write_text("a kill\n" * 2)
    capsys.readouterr()
    assert evaluate([*words, str(outputs[2])]) == 2
    told = capsys.readouterr().err
    [line] = [line for line in told.splitlines() if line.startswith("error: ")]
    assert "Java (" in line
    assert "SIGKILL" in line
    assert "is memory short? Run it again" in line
    assert "Traceback" not in told
    assert not outputs[2].exists()
    assert evaluate([*words, str(outputs[2])]) == 0
    assert outputs[2].read_bytes() == outputs[0].read_bytes()
