"""The status of a run as text: lines for a terminal of any width, and one line for a log file."""

from collections.abc import Sequence

from pipeline.io.progress import LoopState, format_duration
from pipeline.monitor.run import JobStatus, RunStatus

NARROW = 72
"""On a terminal with fewer columns, a job takes two lines."""
BAR_WIDTH = 16
"""Width of a bar, characters."""
MAX_NAME = 44
"""Longest name of a job beside its progress, characters."""
MAX_LOOPS = 2
"""Number of nested loops that are named; loops inside them end within moments."""
MAX_JOBS_IN_LOG = 4
"""Number of running jobs that one line of a log names."""


def status_lines(status: RunStatus, columns: int, rows: int) -> list[str]:
    """Describe a run on a terminal: its running jobs, then the whole. No line is wider than the terminal.

    Args:
        status: the run.
        columns: width of the terminal, characters.
        rows: height of the terminal, lines.
    """
    width = columns - 1  # some terminals wrap a line that fills the last column
    per_job = 1 if columns >= NARROW else 2
    count = max(1, min(len(status.jobs), (rows - 2) // per_job))
    if count < len(status.jobs):
        count = max(1, (rows - 3) // per_job)
    jobs = status.jobs[:count]
    name_width = min(MAX_NAME, max((len(job.name) for job in jobs), default=0))
    lines = [line for job in jobs for line in _job_lines(job, width, name_width, per_job)]
    if count < len(status.jobs):
        lines.append(_cut(f"and {len(status.jobs) - count} more running jobs", width))
    return [*lines, _widest_that_fits(_run_variants(status), width)]


def _job_lines(job: JobStatus, width: int, name_width: int, num_lines: int) -> list[str]:
    if num_lines == 1:
        name = _cut(job.name, name_width).ljust(name_width)
        return [f"{name}  {_widest_that_fits(_job_variants(job), width - name_width - 2)}".rstrip()]
    return [_cut(job.name, width), f"  {_widest_that_fits(_job_variants(job), width - 2)}"]


def _job_variants(job: JobStatus) -> list[list[str]]:
    """Return what may be said of a job, the most first."""
    left = [] if job.left is None else [f"{format_duration(job.left)} left"]
    if not job.loops:
        elapsed = f"{format_duration(job.elapsed)} so far"
        return [[elapsed, *left], left or [elapsed]]
    counts, rate = [_count(loop) for loop in job.loops[:MAX_LOOPS]], _rate(job.loops[:MAX_LOOPS])
    every = [", ".join(counts), *rate, *left]
    return [
        [draw_bar(job.loops[0].share), *every],
        every,
        [", ".join(counts), *left],
        [counts[0], *rate, *left],
        [counts[0], *left],
        [counts[0]],
    ]


def _run_variants(status: RunStatus) -> list[list[str]]:
    """Return what may be said of a run, the most first."""
    jobs = f"{status.num_done} of {status.num_jobs} jobs"
    failed = [f"{status.num_failed} failed"] if status.num_failed else []
    elapsed = f"{format_duration(status.elapsed)} so far"
    left = _time_left(status)
    return [
        [draw_bar(status.num_done / status.num_jobs), jobs, *failed, elapsed, *left],
        [jobs, *failed, elapsed, *left],
        [jobs, *failed, *left],
        [jobs, *failed],
    ]


def _time_left(status: RunStatus) -> list[str]:
    if status.left is None:
        return []
    return [f"{'about' if status.is_complete else 'at least'} {format_duration(status.left)} left"]


def _widest_that_fits(variants: Sequence[Sequence[str]], width: int) -> str:
    """Return the first variant that fits; if none does, the beginning of the last."""
    texts = ["  ".join(parts) for parts in variants]
    return next((text for text in texts if len(text) <= width), _cut(texts[-1], width))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 3)]}..."


def draw_bar(fraction: float) -> str:
    """Draw a bar of characters."""
    filled = int(BAR_WIDTH * fraction)
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"


def _count(loop: LoopState) -> str:
    return f"{loop.done} of {loop.total} {loop.unit}"


def _rate(loops: Sequence[LoopState]) -> list[str]:
    """Return the rate of the innermost loop that has done something, in a unit of time in which it is at least 1."""
    loop = next((loop for loop in reversed(loops) if loop.done > loop.first and loop.seconds > 0), None)
    if loop is None:
        return []
    per_second = (loop.done - loop.first) / loop.seconds
    unit, size = next(((unit, size) for unit, size in (("s", 1), ("min", 60)) if per_second * size >= 1), ("h", 3600))
    return [f"{per_second * size:.1f} {loop.unit}/{unit}"]


def log_line(status: RunStatus) -> str:
    """Describe a run in one line: jobs, the progress of the running ones, time left."""
    parts = [f"{status.num_done} of {status.num_jobs} jobs after {format_duration(status.elapsed)}"]
    if status.num_failed:
        parts.append(f"{status.num_failed} failed")
    for job in status.jobs[:MAX_JOBS_IN_LOG]:
        counts = [_count(loop) for loop in job.loops[:MAX_LOOPS]] or [f"{format_duration(job.elapsed)} so far"]
        left = [] if job.left is None else [f"{format_duration(job.left)} left"]
        parts.append(f"{job.name}: {', '.join([*counts, *left])}")
    if len(status.jobs) > MAX_JOBS_IN_LOG:
        parts.append(f"{len(status.jobs) - MAX_JOBS_IN_LOG} more jobs run")
    return "; ".join([*parts, *(f"{text} in all" for text in _time_left(status))])
