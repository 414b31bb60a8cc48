"""The jobs that snakemake would run, as it tells a logger of ours in a dry run."""

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

LOGGER = ROOT / "workflow" / "scripts"
"""Folder in which snakemake finds the logger."""


@dataclass(frozen=True)
class Job:
    """A job that would run.

    Attributes:
        rule: also the stage's name.
        wildcards: the dataset among them.
        input: declared inputs.
        output: declared outputs.
        benchmark: where snakemake notes what the job took; None of a rule without a command.
        reason: why it would run, in snakemake's words.
        command: its command line; None of a rule without one.
        gpus: that it asks for.
    """

    rule: str
    wildcards: dict[str, str]
    input: list[Path]
    output: list[Path]
    benchmark: Path | None
    reason: str
    command: str | None
    gpus: int

    def settings(self) -> Any:
        """The settings that the job would give its stage, plain data; None if it gives none."""
        words = shlex.split(self.command or "")
        return json.loads(words[words.index("--config") + 1]) if "--config" in words else None


def dry_run(targets: list[str], overlays: list[Path]) -> list[Job]:
    """Ask snakemake what it would run; each job stands after those whose outputs it reads.

    Args:
        targets: files or rules; none for snakemake's own default.
        overlays: configuration files of the user.

    Raises:
        PipelineError: snakemake cannot plan that, for the reason it gives.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "jobs.jsonl"
        words = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--logger", "jobs"]
        words += ["--logger-jobs-file", str(file)]
        # The target stands before --configfile, which takes every word that follows for one more file.
        words += [*targets, *(["--configfile", *map(str, overlays)] if overlays else [])]
        python_path = os.pathsep.join(filter(None, [str(LOGGER), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": python_path}
        done = subprocess.run(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            raise PipelineError(_plain(done.stdout))
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return in_order([_job(json.loads(line)) for line in lines])


def in_order(jobs: list[Job]) -> list[Job]:
    """Jobs in the order of the data flow."""
    making = {path: index for index, job in enumerate(jobs) for path in job.output}
    graph = {index: {making[path] for path in job.input if path in making} for index, job in enumerate(jobs)}
    return [jobs[index] for index in TopologicalSorter(graph).static_order()]


def _job(told: dict[str, Any]) -> Job:
    return Job(
        rule=told["rule"],
        wildcards=told["wildcards"],
        input=[Path(path) for path in told["input"]],
        output=[Path(path) for path in told["output"]],
        benchmark=Path(told["benchmark"]) if told["benchmark"] else None,
        reason=told["reason"],
        command=told["command"],
        gpus=told["resources"].get("gpu", 0),
    )


def _plain(text: str) -> str:
    """What snakemake said of its failure, in one line: ours if the configuration is wrong, else its own."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return ours[0] if ours else f"snakemake cannot plan this: {' '.join(lines)}"
