"""Snakemake is killed, its job lives on: nobody else writes meanwhile, and the rerun is as if nothing had been."""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.kill_runner import Case, contents
from helpers.stage_cases import STATE, case_of
from helpers.workflow_sandbox import snakemake

pytestmark = [
    pytest.mark.road,
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's handles of processes"),
]

LOCK = Path(f"{STATE}/train_captioner/sa_tsp-0/state.lock")
LOG = Path("results/demo/logs/train_captioner/sa_tsp-0.log")


def wait_for_holder(lock: Path, job: subprocess.Popen[bytes]) -> int:
    """The process that trains, as soon as it says so."""
    while job.poll() is None:
        found = re.match(r"process (\d+) on ", lock.read_text()) if lock.is_file() else None
        if found:
            return int(found[1])
        time.sleep(0.01)
    raise ProcessLookupError("snakemake has ended")


def stopped_in_training(case: Case, words: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start snakemake, and stop its job while it trains, so that it is there for as long as the test wants."""
    for _ in range(5):
        for path in case.leaves:
            shutil.rmtree(path, ignore_errors=True)
        first = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(ProcessLookupError):  # it was faster than we are, on a busy machine
            job = wait_for_holder(LOCK, first)
            os.kill(job, signal.SIGSTOP)
            if LOCK.is_file():
                return first, job
            os.kill(job, signal.SIGCONT)
        first.wait()
    raise AssertionError("the training was always over before it could be stopped")


def wait_for_end(process: int) -> None:
    """Wait for a process that is nobody's child here."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    with os.fdopen(handle):
        assert select.select([handle], [], [], 300)[0], f"process {process} does not end"


def test_an_orphan_keeps_a_second_writer_out(road: Path, tmp_path: Path) -> None:
    folder = tmp_path / "road"
    shutil.copytree(road, folder, symlinks=True)
    case = case_of(folder, "train_captioner")
    words = [case.declared[0], "--cores", "2", "--configfile", "tiny.yaml", "--nolock"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        before = contents(case)
        first, orphan = stopped_in_training(case, words)
        try:
            first.kill()
            first.wait()
            second = snakemake(folder, *words)
            assert second.returncode == 1
            refused = LOG.read_text()
        finally:
            os.kill(orphan, signal.SIGCONT)
        assert re.search(rf"error: --state {LOCK.parent}: process {orphan} on .+ is training with this state", refused)
        assert "end it or wait for it" in refused
        wait_for_end(orphan)
        third = snakemake(folder, *words)
        assert third.returncode == 0, third.stdout
        assert contents(case) == before
