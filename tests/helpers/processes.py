"""Wait for processes that are no children of this process."""

import os
import re
import select
import subprocess
import time
from pathlib import Path


def wait_for_holder(lock: Path, job: subprocess.Popen[bytes]) -> int:
    """Return the process that trains, as soon as the lock of its state names it.

    Args:
        lock: the lock file.
        job: a process that lives as long as the training may begin.

    Raises:
        ProcessLookupError: the job ended first.
    """
    while job.poll() is None:
        match = re.match(r"process (\d+) on ", lock.read_text()) if lock.is_file() else None
        if match:
            return int(match[1])
        time.sleep(0.01)
    raise ProcessLookupError("snakemake has ended")


def wait_for_end(process: int) -> None:
    """Wait for the end of a process."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    with os.fdopen(handle):
        assert select.select([handle], [], [], 300)[0], f"process {process} does not end"
