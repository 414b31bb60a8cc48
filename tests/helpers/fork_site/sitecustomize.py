"""Python imports this module when it starts: snakemake and stages then run in forks of a server with their imports."""

import os
import sys

if (
    "FORK_SERVER" in os.environ
    and sys.orig_argv[1:2] == ["-m"]
    and (sys.orig_argv[2] == "snakemake" or sys.orig_argv[2].startswith("pipeline."))
):
    from fork_client import run_this_process_in_fork

    os._exit(run_this_process_in_fork(os.environ["FORK_SERVER"], sys.orig_argv[2], sys.orig_argv[3:]))
