"""Shows the progress of a snakemake run: on a terminal live, elsewhere as a line a minute.

The Snakefile calls `monitor_run`. A logger plugin of snakemake would have to be installed before snakemake starts, and
would replace snakemake's own output. This handler gets the same events, needs no installation, and leaves the output to
snakemake: every message that is not about the progress of jobs appears as always, the log of a failed job too.
"""

import logging
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from pipeline.errors import PipelineError
from pipeline.io.progress import format_duration
from pipeline.monitor.run import Run
from pipeline.monitor.schedule import PlannedJob
from pipeline.monitor.terminal import LiveTerminal
from pipeline.monitor.text import log_line, status_lines
from pipeline.provenance.benchmarks import Benchmarks

DRAW_INTERVAL_S = 0.5
"""Seconds between two drawings on a terminal."""
LINE_INTERVAL_S = 60.0
"""Seconds between two lines where there is no terminal."""

REPLACED = {LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED, LogEvent.PROGRESS}
"""Snakemake's events whose messages the live lines replace. The log file of the run, in .snakemake/log, has them."""
SELECTION = "Select jobs to execute..."
"""Snakemake's message before each selection of jobs, which says nothing beside the live lines."""


def monitor_run(workflow: Any, *, line_interval_s: float = LINE_INTERVAL_S) -> "RunMonitor | None":
    """Show the progress of a run, if snakemake executes jobs, is not told to be quiet, and writes its output itself.

    Args:
        workflow: snakemake's workflow.
        line_interval_s: seconds between two lines where there is no terminal.
    """
    logger: logging.Logger = workflow.logger_manager.logger
    settings = workflow.output_settings
    outputs = [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]
    if not workflow.is_main_process or settings.dryrun or settings.quiet or not outputs:
        return None
    has_all_messages = settings.verbose or settings.printshellcmds or settings.debug_dag
    monitor = RunMonitor(workflow, outputs[0], has_all_messages=has_all_messages, line_interval_s=line_interval_s)
    logger.addHandler(monitor)
    return monitor


def plan_jobs(workflow: Any) -> list[PlannedJob]:
    """Return the jobs that snakemake will execute, with the times of earlier runs.

    Args:
        workflow: snakemake's workflow, after it has planned the jobs.
    """
    jobs = list(workflow.dag.needrun_jobs())
    ids = {job.jobid for job in jobs}
    past_seconds = _past_seconds(jobs, workflow.logger_manager.logger)
    return [
        PlannedJob(
            id=job.jobid,
            rule=job.rule.name,
            wildcards=dict(job.wildcards_dict),
            log=str(job.log[0]) if job.log else None,
            needs=frozenset(need.jobid for need in workflow.dag.dependencies[job]) & ids,
            threads=job.threads
            if workflow.local_exec
            else 1,  # elsewhere the number of jobs is limited, not of threads
            past_seconds=past_seconds.get(job.jobid),
        )
        for job in jobs
    ]


def _past_seconds(jobs: Iterable[Any], logger: logging.Logger) -> dict[int, float | None]:
    """Return the time of each job in earlier runs [s]; no times if a benchmark file is damaged."""
    benchmarks = Benchmarks()
    try:
        return {
            job.jobid: benchmarks.estimate_seconds(
                Path(job.benchmark) if job.benchmark else None, job.rule.name, job.wildcards_dict.get("dataset", "")
            )
            for job in jobs
            if job.benchmark or job.is_norun
        }
    except PipelineError as error:
        logger.warning("%s; until then the time left is unknown", error)
        return {}


class RunMonitor(logging.Handler):
    """Follows the events of a run, and shows its progress from a thread of its own.

    Args:
        workflow: snakemake's workflow.
        output: snakemake's handler of the output.
        has_all_messages: whether a terminal shows all of snakemake's messages, too.
        line_interval_s: seconds between two lines where there is no terminal.
    """

    def __init__(
        self, workflow: Any, output: "logging.StreamHandler[Any]", *, has_all_messages: bool, line_interval_s: float
    ) -> None:
        super().__init__()
        self._workflow = workflow
        self._run: Run | None = None
        self._has_ended = threading.Event()
        self._terminal: LiveTerminal | None = None
        self._interval_s = line_interval_s
        if output.stream.isatty() and os.environ.get("TERM") != "dumb":
            self._terminal = LiveTerminal(output.stream, has_colour=not os.environ.get("NO_COLOR"))
            self._interval_s = DRAW_INTERVAL_S
            output.setStream(self._terminal)
            if not has_all_messages:
                output.addFilter(_is_not_replaced)

    def emit(self, record: logging.LogRecord) -> None:
        """Note an event of the run."""
        try:
            self._note(getattr(record, "event", None), vars(record), time.monotonic())
        except Exception:
            self.handleError(record)  # as in every handler of logging, an error of the display does not end the run

    def _note(self, event: LogEvent | None, fields: dict[str, Any], now: float) -> None:
        if event == LogEvent.RUN_INFO and self._run is None:
            jobs = plan_jobs(self._workflow)
            is_local = self._workflow.local_exec
            self._run = Run(jobs, self._workflow.cores if is_local else self._workflow.nodes, now)
            threading.Thread(target=self._show_until_end, name="monitor", daemon=True).start()
        elif self._run is not None and event == LogEvent.JOB_INFO:
            self._run.start(fields["jobid"], now)
        elif self._run is not None and event == LogEvent.JOB_ERROR:
            self._run.fail(fields["jobid"])
        elif self._run is not None and event == LogEvent.JOB_FINISHED:
            self._finish(self._run, fields["job_id"], now)

    def _finish(self, run: Run, job: int, now: float) -> None:
        """Note that a job has finished; on a terminal, write a line that stays."""
        seconds = run.finish(job, now)
        if self._terminal:
            if run.jobs[job].log:  # a rule without a command has none
                self._terminal.write(f"{run.name(job)}: {format_duration(seconds)}\n")
            self._draw(run, self._terminal, now)

    def _show_until_end(self) -> None:
        while not self._has_ended.wait(self._interval_s):
            with self._locked():
                run, now = self._run, time.monotonic()
                if run is None or self._has_ended.is_set():
                    return
                run.read_progress(now)
                if self._terminal:
                    self._draw(run, self._terminal, now)
                elif run.running:
                    self._workflow.logger_manager.logger.info(log_line(run.status(now)))

    def _draw(self, run: Run, terminal: LiveTerminal, now: float) -> None:
        """Draw the status while jobs run; between the first and the last job nothing else is of interest."""
        terminal.draw(status_lines(run.status(now), *terminal.size()) if run.running else [])

    def close(self) -> None:
        """Remove the live lines."""
        with self._locked():
            self._has_ended.set()
            if self._terminal:
                self._terminal.draw([])
        super().close()

    def _locked(self) -> threading.RLock:
        """Return the handler's lock, which `handle` holds while `emit` runs."""
        assert self.lock is not None
        return self.lock


def _is_not_replaced(record: logging.LogRecord) -> bool:
    return getattr(record, "event", None) not in REPLACED and record.msg != SELECTION
