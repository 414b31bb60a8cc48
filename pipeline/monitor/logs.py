"""The log files of jobs, where the folder of the results cannot take them."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REPLACEMENT = ".snakemake"
"""Folder of the logs that cannot be written in their place; snakemake needs it in any case."""


def move_unwritable_logs(workflow: Any, datasets: Iterable[str]) -> None:
    """Let all rules write their logs to another folder if a dataset's logs cannot be written; then warn.

    Without that, snakemake itself ends with an error: it removes and creates log files.

    Args:
        workflow: snakemake's workflow, with all its rules.
        datasets: the datasets of the run.
    """
    folders = [Path("results", dataset, "logs") for dataset in sorted(datasets)]
    unwritable = [path for folder in folders for path in (folder, *folder.glob("*/")) if not _is_writable(path)]
    if not unwritable:
        return
    print(
        f"warning: {unwritable[0]}: cannot be written; the logs of this run go to {REPLACEMENT}/{folders[0].parent}",
        file=sys.stderr,
    )
    for rule in workflow.rules:
        patterns = [str(pattern) for pattern in rule.log]
        rule.log.clear()
        rule.set_log(*(f"{REPLACEMENT}/{pattern}" for pattern in patterns))


def _is_writable(folder: Path) -> bool:
    return not folder.is_dir() or os.access(folder, os.W_OK | os.X_OK)
