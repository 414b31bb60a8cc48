"""Why a job would run: the setting, module or input that changed."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config.load import stages
from pipeline.io.atomic import sha256
from pipeline.provenance.benchmarks import last_run
from pipeline.provenance.code_hash import current_code, describe_module_changes, read_module_record
from pipeline.provenance.computation import read_entry
from pipeline.provenance.jobs import Job
from pipeline.provenance.parsed_sources import STAMPS
from pipeline.provenance.record import Record, read_record
from pipeline.provenance.settings import changed_keys, result_settings

FILES = re.compile(
    "(?:^|; )(Missing output files|Incomplete output files|Updated input files|Input files updated by another job): "
    "([^;]*)"
)
"""The parts of snakemake's reason that list files."""

FINISHED_BEFORE = ", but finished before"
"""End of the kind of a reason if the job publishes its outputs again, instead of computing them."""


class Reason(NamedTuple):
    """One reason of a job.

    Attributes:
        kind: the kind of reason, in words; jobs of a rule often have it in common.
        detail: the setting, modules or files; empty where the kind says everything.
    """

    kind: str
    detail: str


def find_reasons(job: Job, producers: dict[Path, str]) -> list[Reason]:
    """Return the reasons of a job, the most informative first.

    Args:
        job: the job that would run.
        producers: outputs of all jobs that would run -> their rules.
    """
    files = {kind: sorted(names.split(", ")) for kind, names in FILES.findall(job.reason)}
    finished = FINISHED_BEFORE if _is_finished(job) else ""
    if missing := files.get("Missing output files"):
        return [Reason(f"missing output{finished}", path) for path in missing]
    record = read_record(job.output[0])
    updated = {Path(path) for path in files.get("Updated input files", []) if path}
    stamps = {path for path in updated if STAMPS in path.parts}
    upstream = {producers.get(Path(path), path) for path in files.get("Input files updated by another job", [])}
    # For a job that follows another, snakemake reports only that. The record shows the other reasons.
    changed = (updated - stamps) | (_changed_inputs(record, producers) if record else set())
    reasons = [
        *(Reason(f"interrupted before{finished}", path) for path in files.get("Incomplete output files", [])),
        *_changed_settings(job, record),
        *_changed_code(job, record, stamp_updated=bool(stamps)),
        *(Reason("changed input", str(path)) for path in sorted(changed)),
        *(_changed_input_set(job) if "Set of input files has changed" in job.reason else []),
        *([Reason("changed command of the rule", "")] if "Code has changed since" in job.reason else []),
        *(Reason("runs after", rule) for rule in sorted(upstream)),
    ]
    return reasons or [Reason(job.reason, "")]


def _is_finished(job: Job) -> bool:
    """Return whether an earlier run finished the job with the present code and settings. Inputs are not compared."""
    entry, current = read_entry(job.output[0]), current_code(job.rule)
    if entry is None or current is None:
        return False
    section = stages()[job.rule].parse(job.settings(), job.rule)
    return {"code": current[0], "settings": section.digest()}.items() <= entry["computation"].items()


def _changed_settings(job: Job, record: Record | None) -> list[Reason]:
    """Return the settings that differ from those of the existing output."""
    if record:
        before = result_settings(record.stage, record.config)
        after = result_settings(job.rule, job.settings())
        if changes := changed_keys(before, after, job.rule):
            return [Reason("setting", str(change)) for change in changes]
    if "Params have changed" not in job.reason:
        return []
    params = _last_run(job).get("params", {})
    before = {name: value for name, value in params.items() if name not in ("config", "tracked")}
    return [Reason("changed parameters of the rule; before:", json.dumps(before))]


def _changed_code(job: Job, record: Record | None, *, stamp_updated: bool) -> list[Reason]:
    """Return the modules that differ from those of the existing output.

    Args:
        job: the job that would run.
        record: the record of its output.
        stamp_updated: whether snakemake reports that the stamp file is newer than the output.
    """
    present = current_code(job.rule)
    if record is None or present is None:
        return [Reason("changed code", "")] if stamp_updated else []
    if record.code != present[0]:
        modules = describe_module_changes(read_module_record(record.code, job.output[0]), present[1])
        return [Reason("code", modules)]
    return [Reason("stamp file newer than the output, with an equal code hash", "")] if stamp_updated else []


def _changed_inputs(record: Record, producers: dict[Path, str]) -> set[Path]:
    """Return the existing inputs that differ from the recorded ones, without inputs that another job will write."""
    present = ((path, digest) for path, digest in record.inputs.items() if path not in producers and path.is_file())
    return {path for path, digest in present if sha256(path) != digest}


def _changed_input_set(job: Job) -> list[Reason]:
    """Return the inputs that were added or removed since the job's last run."""
    before, after = set(_last_run(job).get("input_size_mb", {})), {str(path) for path in job.input}
    if not before:
        return [Reason("changed set of inputs", "")]
    added = [Reason("new input", path) for path in sorted(after - before)]
    return added + [Reason("removed input", path) for path in sorted(before - after)]


def _last_run(job: Job) -> dict[str, Any]:
    """Return snakemake's benchmark entry of the job's last run; empty if there is none."""
    return (last_run(job.benchmark) if job.benchmark else None) or {}
