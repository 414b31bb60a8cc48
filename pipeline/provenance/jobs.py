"""The jobs that snakemake would run in a dry run, and estimates of their time."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.provenance.code_hash import ROOT

LOGGER_FOLDER = ROOT / "workflow" / "scripts"
"""Folder in which snakemake finds the logger plugin `jobs`."""


@dataclass(frozen=True)
class Job:
    """A job that snakemake would run.

    Attributes:
        rule: the rule; also the name of the stage.
        wildcards: values of the wildcards, with the dataset among them.
        input: declared inputs.
        output: declared outputs.
        benchmark: file in which snakemake records the job's time; None for a rule without a command.
        reason: why the job would run, in snakemake's words.
        command: command line; None for a rule without one.
        gpus: number of GPUs that the job requests.
        threads: number of threads that the job occupies.
    """

    rule: str
    wildcards: dict[str, str]
    input: list[Path]
    output: list[Path]
    benchmark: Path | None
    reason: str
    command: str | None
    gpus: int
    threads: int = 1

    @property
    def name(self) -> str:
        """The rule and the wildcards other than the dataset."""
        return " ".join([self.rule, *(value for key, value in self.wildcards.items() if key != "dataset" and value)])

    def settings(self) -> Any:
        """Return the settings in the job's command line as plain data, or None if it has no --config."""
        words = shlex.split(self.command or "")
        return json.loads(words[words.index("--config") + 1]) if "--config" in words else None


def dry_run(
    targets: list[str], overlays: list[Path], *, folder: Path | None = None, cores: int | None = None
) -> list[Job]:
    """Return the jobs that snakemake would run; each job comes after the jobs whose outputs it reads.

    Args:
        targets: files or rules; empty for the default target.
        overlays: configuration files of the user.
        folder: the folder to plan in; None: the present one.
        cores: cores of the machine, which a job's threads do not exceed; None: those of this one.

    Raises:
        PipelineError: snakemake fails; the message holds snakemake's reason.
    """
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "jobs.jsonl"
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--logger", "jobs"]
        command += ["--logger-jobs-file", str(file)]
        # Targets come before --configfile, because --configfile takes all words that follow it.
        command += [*targets, *(["--cores", str(cores)] if cores else [])]
        files = overlays if folder is None else [path.absolute() for path in overlays]
        command += ["--configfile", *map(str, files)] if files else []
        python_path = os.pathsep.join(filter(None, [str(LOGGER_FOLDER), str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": python_path}
        process = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if process.returncode:
            raise PipelineError(summarize_failure(process.stdout))
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return sort_jobs([_parse_job(json.loads(line)) for line in lines])


def sort_jobs(jobs: list[Job]) -> list[Job]:
    """Sort jobs in the order of the data flow, independent ones by their outputs, so that equal plans look equal."""
    jobs = sorted(jobs, key=lambda job: job.output)
    producers = {path: index for index, job in enumerate(jobs) for path in job.output}
    graph = {index: {producers[path] for path in job.input if path in producers} for index, job in enumerate(jobs)}
    return [jobs[index] for index in TopologicalSorter(graph).static_order()]


def _parse_job(entry: dict[str, Any]) -> Job:
    return Job(
        rule=entry["rule"],
        wildcards=entry["wildcards"],
        input=[Path(path) for path in entry["input"]],
        output=[Path(path) for path in entry["output"]],
        benchmark=Path(entry["benchmark"]) if entry["benchmark"] else None,
        reason=entry["reason"],
        command=entry["command"],
        gpus=entry["resources"].get("gpu", 0),
        threads=entry["threads"],
    )


def summarize_failure(output: str) -> str:
    """Return snakemake's failure as one line: this project's own error if there is one, else snakemake's text."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[0] if errors else f"snakemake cannot plan this: {' '.join(lines)}"
