"""However a run of snakemake ends, the next run computes no finished epoch again."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.campaigns import quick_cases
from helpers.caption_corpus import write_caption_corpus
from helpers.kill_runner import Case, contents
from helpers.measurements import Measurements
from helpers.processes import wait_for_end, wait_for_holder
from helpers.workflow_sandbox import ROOT

from pipeline import train_proposer

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's process handles")

EPOCHS = 20
CONFIG = {"kind": "boundary", "features": ["toy"], "hidden": 16, "batch_size": 1, "epochs": EPOCHS}
FILES = ["--corpus", "corpus/manifest.json", "--features", "features"]
WORDS = ["--config", json.dumps(CONFIG), *FILES, "--state", "state", "--output", "proposer/manifest.json"]
COMMAND = shlex.join([sys.executable, "-m", "pipeline.train_proposer", *WORDS]).replace("{", "{{").replace("}", "}}")
SNAKEFILE = f"""
rule train_proposer:
    input: "corpus/manifest.json"
    output: "proposer/manifest.json"
    shell: {COMMAND + " >> train.log 2>&1"!r}
"""
CASE = Case("pipeline.train_proposer", WORDS, ["proposer/manifest.json"], ["proposer", "state"], 0, 0)

ENDS = {
    "SIGKILL of snakemake, the job goes on": ([signal.SIGKILL], False),
    "SIGINT to snakemake": ([signal.SIGINT], False),
    "SIGTERM to snakemake": ([signal.SIGTERM], False),
    "SIGINT to the process group": ([signal.SIGINT], True),
    "SIGTERM to the process group": ([signal.SIGTERM], True),
    "SIGTERM, then SIGKILL: a time limit": ([signal.SIGTERM, signal.SIGKILL], True),
}
"""End of a run -> its signals, and whether they go to the whole process group, the job among it."""

TABLE = "snakemake ended while it trained, and was run again"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a rule that trains a proposer, and what an undisturbed training leaves."""
    folder = tmp_path_factory.mktemp("finished")
    write_caption_corpus(folder, {"train": 6, "val": 1})
    (folder / "Snakefile").write_text(SNAKEFILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train_proposer.main(WORDS) == 0
    return folder


@pytest.fixture(autouse=True)
def _sigint_interrupts() -> Iterator[None]:
    """Let SIGINT interrupt the programs that a test starts; they ignore it if the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def undisturbed(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of an undisturbed training; the current folder has none of them."""
    monkeypatch.chdir(finished)
    files = contents(CASE)
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.rmtree("proposer")
    return files


def start_snakemake() -> subprocess.Popen[bytes]:
    words = ["--cores", "1", "--rerun-incomplete", "--nolock", "--quiet", "all"]
    command = [sys.executable, "-m", "snakemake", *words]
    with Path("snakemake.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def end_while_training(process: subprocess.Popen[bytes], signals: list[signal.Signals], *, group: bool) -> None:
    """End snakemake after some epochs, and wait until its job has ended too."""
    job = wait_for_holder(Path("state/state.lock"), process)
    while len(logged_epochs()) < 3:
        assert process.poll() is None, Path("snakemake.log").read_text()
        time.sleep(0.01)
    assert len(logged_epochs()) < EPOCHS, "the training must be running"
    for number in signals:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number) if group else os.kill(process.pid, number)
    process.wait(timeout=300)
    wait_for_end(job)


def logged_epochs() -> list[int]:
    """Return the epochs that were computed, by all runs together, in their order."""
    log = Path("train.log")
    return [int(epoch) for epoch in re.findall(r" epoch (\d+) loss", log.read_text())] if log.is_file() else []


@pytest.mark.parametrize("end", quick_cases(ENDS, 1))
def test_no_finished_epoch_is_computed_again(undisturbed: dict[str, str], measurements: Measurements, end: str) -> None:
    signals, group = ENDS[end]
    end_while_training(start_snakemake(), signals, group=group)
    before = logged_epochs()
    start_s = time.monotonic()
    assert start_snakemake().wait(timeout=300) == 0, Path("snakemake.log").read_text()
    seconds = time.monotonic() - start_s
    resumed = [int(epoch) for epoch in re.findall(r"resuming after epoch (\d+)", Path("train.log").read_text())]
    finished = resumed[0] if resumed else EPOCHS
    after = logged_epochs()[len(before) :]
    assert after == list(range(finished + 1, EPOCHS + 1))
    assert finished in (len(before), len(before) - 1), "an epoch is finished when its checkpoint is on the disk"
    assert bool(after) == group, "a job that is not told to end ends well"
    assert contents(CASE) == undisturbed
    again = len([epoch for epoch in after if epoch <= finished])
    measurements.add_row(TABLE, end=end, finished=finished, computed_then=len(after), again=again, s=seconds)
