"""Snakemake without the pauses that are made for jobs of hours."""

import asyncio
import sys

from snakemake.cli import main
from snakemake.executors.touch import Executor as TouchExecutor
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def sleep(_: RemoteExecutor) -> None:
    """Sleep 1 s instead of 40 s, 50 s and 60 s before cluster jobs are polled again."""
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep
    TouchExecutor.SLEEPING_TIME = 0.0  # instead of 0.1 s for each job
    main(sys.argv[1:])
