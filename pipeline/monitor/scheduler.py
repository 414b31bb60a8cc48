"""A repair of Snakemake's scheduler: it looks for jobs to start once a second, and not more often with each job.

Snakemake starts at most 100 jobs a second (`--max-jobs-per-timespan`). After each look for jobs it starts a timer for
another one. The end of a job causes a look too, so every job adds a chain of timers that never ends: after a thousand
jobs, with others still waiting, snakemake keeps a whole core busy.
"""

import threading
from typing import Any

NAME = "_schedule_reevalutation"
"""Snakemake's method, misspelled as there."""


def limit_reevaluations(scheduler: Any) -> None:
    """Let a scheduler have one timer at a time. A scheduler without such timers stays as it is.

    Args:
        scheduler: Snakemake's `JobScheduler`.
    """
    if not hasattr(scheduler, NAME):
        return
    is_pending = threading.Lock()

    def schedule(delay: float) -> None:
        if not is_pending.acquire(blocking=False):
            return

        def reevaluate() -> None:
            is_pending.release()
            scheduler._open_jobs.release()

        timer = threading.Timer(delay, reevaluate)
        timer.daemon = True
        timer.start()

    setattr(scheduler, NAME, schedule)
