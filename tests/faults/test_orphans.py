"""A job that outlives its killed snakemake keeps other writers out, and the rerun gives the same result."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.kill_runner import Case, contents
from helpers.processes import wait_for_end, wait_for_holder
from helpers.stage_cases import STATE, case_of
from helpers.workflow_sandbox import snakemake

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.campaign,
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's process handles"),
]

LOCK = Path(f"{STATE}/train_captioner/sa_tsp-0/state.lock")
LOG = Path("results/demo/logs/train_captioner/sa_tsp-0.log")


def start_and_stop_training(case: Case, words: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start snakemake, and stop its job during training, so that the job lasts as long as the test needs it."""
    for _ in range(5):
        for path in case.leaves:
            shutil.rmtree(path, ignore_errors=True)
        first = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(ProcessLookupError):  # the job ended first, on a busy machine
            job = wait_for_holder(LOCK, first)
            os.kill(job, signal.SIGSTOP)
            if LOCK.is_file():
                return first, job
            os.kill(job, signal.SIGCONT)
        first.wait()
    raise AssertionError("the training always ended before it could be stopped")


def test_an_orphan_keeps_a_second_writer_out(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished_run, folder, symlinks=True)
    case = case_of(folder, "train_captioner")
    words = [case.declared[0], "--cores", "2", "--configfile", "tiny.yaml", "--nolock"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        before = contents(case)
        first, orphan = start_and_stop_training(case, words)
        try:
            first.kill()
            first.wait()
            second = snakemake(folder, *words)
            assert second.returncode == 1
            log = LOG.read_text()
        finally:
            os.kill(orphan, signal.SIGCONT)
        assert re.search(rf"error: --state {LOCK.parent}: process {orphan} on .+ is training with this state", log)
        wait_for_end(orphan)
        third = snakemake(folder, *words)
        assert third.returncode == 0, third.stdout
        assert contents(case) == before
