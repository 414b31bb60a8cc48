"""A logger plugin of snakemake that writes planned jobs as JSON lines, for `sa-tsp plan`.

    PYTHONPATH=workflow/scripts snakemake -n --logger jobs --logger-jobs-file jobs.jsonl TARGET

Snakemake finds loggers by the name of their module. The logger gets each job as an event with named fields, which are
more stable than the text that snakemake prints.
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
    """Settings of the logger, which snakemake turns into command line options."""

    file: str = field(default="", metadata={"help": "file to write, JSON lines", "required": True})


class LogHandler(LogHandlerBase):
    """Writes one line for each job; the terminal output stays snakemake's."""

    def emit(self, record: LogRecord) -> None:
        """Write the event of a job."""
        if getattr(record, "event", None) != LogEvent.JOB_INFO:
            return
        event = vars(record)
        line = {
            "rule": event["rule_name"],
            "wildcards": dict(event["wildcards"]),
            "input": list(event["input"]),
            "output": list(event["output"]),
            "benchmark": event["benchmark"],
            "reason": event["reason"],
            "command": event["shellcmd"],
            "threads": event["threads"],
            "resources": {name: value for name, value in event["resources"].items() if isinstance(value, int)},
        }
        with Path(self.settings.file).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def writes_to_stream(self) -> bool:
        """Return False: snakemake keeps its terminal output."""
        return False

    @property
    def writes_to_file(self) -> bool:
        """Return False: the file is no log for people."""
        return False

    @property
    def has_filter(self) -> bool:
        """Return True: snakemake passes all events."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Return True: the records are written as JSON."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Return False: the graph of rules is not needed."""
        return False
