"""Snakemake that looks after its cluster jobs every second: the executor's own pauses suit jobs of hours."""

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def sleep(_: RemoteExecutor) -> None:
    """In place of 40 s, then 50 s, then 60 s."""
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep
    main(sys.argv[1:])
