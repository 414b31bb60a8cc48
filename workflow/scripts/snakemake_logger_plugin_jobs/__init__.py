"""A logger of snakemake's that writes what it would run, for `python -m pipeline.commands.plan`: a JSON object per job.

    PYTHONPATH=workflow/scripts snakemake -n --logger jobs --logger-jobs-file jobs.jsonl TARGET

Snakemake finds loggers by the name of their module. It is told of each job as an event with named fields; what it
prints of them is for people, and changes.
"""

import json
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings of the logger: snakemake makes command line options of them."""

    file: str = field(default="", metadata={"help": "file to write, JSON lines", "required": True})


class LogHandler(LogHandlerBase):
    """Adds a line for each job; leaves what stands on the screen to snakemake."""

    def emit(self, record: LogRecord) -> None:
        """Write the event of a job."""
        if getattr(record, "event", None) != LogEvent.JOB_INFO:
            return
        told = vars(record)
        line = {
            "rule": told["rule_name"],
            "wildcards": dict(told["wildcards"]),
            "input": list(told["input"]),
            "output": list(told["output"]),
            "benchmark": told["benchmark"],
            "reason": told["reason"],
            "command": told["shellcmd"],
            "resources": {name: value for name, value in told["resources"].items() if isinstance(value, int)},
        }
        with Path(self.settings.file).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def writes_to_stream(self) -> bool:
        """Not: snakemake goes on to print."""
        return False

    @property
    def writes_to_file(self) -> bool:
        """Not a log that snakemake is to tell people of."""
        return False

    @property
    def has_filter(self) -> bool:
        """It looks at all events."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It writes JSON."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It does without."""
        return False
