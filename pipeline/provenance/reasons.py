"""Why a job would run, in words: which setting, which module, which input."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.io.atomic import sha256
from pipeline.provenance.benchmarks import last_run
from pipeline.provenance.jobs import Job
from pipeline.provenance.modules import STAMPS, changed_modules, code_now, modules_of, stamps_of
from pipeline.provenance.record_files import Record, read_record
from pipeline.provenance.settings import changed_keys, deciding

FILES = re.compile(
    "(?:^|; )(Missing output files|Incomplete output files|Updated input files|Input files updated by another job): "
    "([^;]*)"
)


class Reason(NamedTuple):
    """One of the reasons of a job.

    Attributes:
        kind: in words; jobs of a rule often share it.
        detail: the setting, modules or files; empty where there is no more to say.
    """

    kind: str
    detail: str


def why(job: Job, makers: dict[Path, str]) -> list[Reason]:
    """Reasons of a job, the most telling first.

    Args:
        job: what would run.
        makers: outputs of all jobs that would run -> their rules.
    """
    files = {kind: sorted(names.split(", ")) for kind, names in FILES.findall(job.reason)}
    if missing := files.get("Missing output files"):
        return [Reason("not there yet", path) for path in missing]
    record = read_record(job.output[0])
    updated = {Path(path) for path in files.get("Updated input files", []) if path}
    stamped = {path for path in updated if STAMPS in path.parts}
    followed = {makers.get(Path(path), path) for path in files.get("Input files updated by another job", [])}
    # Of a job that follows another, snakemake tells no more than that: the rest is found by what the record holds.
    changed = (updated - stamped) | (_changed_inputs(record, makers) if record else set())
    told = [
        *(Reason("was interrupted", path) for path in files.get("Incomplete output files", [])),
        *_settings(job, record),
        *_code(job, record, stamped=bool(stamped)),
        *(Reason("changed input", str(path)) for path in sorted(changed)),
        *(_input_set(job) if "Set of input files has changed" in job.reason else []),
        *([Reason("the rule's command has changed", "")] if "Code has changed since" in job.reason else []),
        *(Reason("follows", rule) for rule in sorted(followed)),
    ]
    return told or [Reason(job.reason, "")]


def _settings(job: Job, record: Record | None) -> list[Reason]:
    """Settings that are not what the output was made with."""
    if record and (changes := changed_keys(record.deciding, deciding(job.rule, job.settings()), job.rule)):
        return [Reason("setting", str(change)) for change in changes]
    if "Params have changed" not in job.reason:
        return []
    before = {name: value for name, value in _noted(job).get("params", {}).items() if name not in ("config", "decides")}
    return [Reason("what the rule tells its command beside the settings has changed; it was", json.dumps(before))]


def _code(job: Job, record: Record | None, *, stamped: bool) -> list[Reason]:
    """Modules that are not what the output was made with.

    Args:
        job: what would run.
        record: how its output was made.
        stamped: whether snakemake says that the stamp has changed.
    """
    now = code_now(job.rule)
    if record is None or now is None:
        return [Reason("code has changed", "")] if stamped else []
    if record.code != now[0]:
        return [Reason("code", changed_modules(modules_of(record.code, stamps_of(job.output[0])), now[1]))]
    said = "the stamp of the code is newer than the output, though the code is what made it"
    return [Reason(said, "")] if stamped else []


def _changed_inputs(record: Record, makers: dict[Path, str]) -> set[Path]:
    """Inputs that are there, are not about to be made anew, and are not what the output was made from."""
    present = ((path, digest) for path, digest in record.inputs.items() if path not in makers and path.is_file())
    return {path for path, digest in present if sha256(path) != digest}


def _input_set(job: Job) -> list[Reason]:
    """Inputs that the job's last run had not, or had."""
    before, now = set(_noted(job).get("input_size_mb", {})), {str(path) for path in job.input}
    if not before:
        return [Reason("other inputs than before", "")]
    new = [Reason("new input", path) for path in sorted(now - before)]
    return new + [Reason("no longer an input", path) for path in sorted(before - now)]


def _noted(job: Job) -> dict[str, Any]:
    """What snakemake noted of the job's last run."""
    return (last_run(job.benchmark) if job.benchmark else None) or {}
