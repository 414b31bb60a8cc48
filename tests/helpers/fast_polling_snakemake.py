"""Snakemake that polls its cluster jobs every second; the executor's own pauses are made for jobs of hours."""

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def sleep(_: RemoteExecutor) -> None:
    """Sleep 1 s instead of 40 s, 50 s and 60 s."""
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep
    main(sys.argv[1:])
