"""Trace a result back to all files it was made from, and find what has changed since it was made."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256
from pipeline.provenance.code_hash import current_code, describe_module_changes, read_module_record
from pipeline.provenance.manifest import MANIFEST, read_manifest
from pipeline.provenance.record import Record, read_record, record_path

SHORT = 12
"""Number of digits of a sha256 in text for people."""


@dataclass(frozen=True)
class TracedFile:
    """A file on the way to a result.

    Attributes:
        path: the file, relative to the current folder.
        sha256: of the file as it is now; None if the file is missing.
        record: how the file was made; None for an external file, which no stage made.
    """

    path: Path
    sha256: str | None
    record: Record | None


TracedFiles = dict[Path, TracedFile]


def trace_outputs(outputs: Iterable[Path]) -> TracedFiles:
    """Return all files on the way to some outputs, each before the files it was made from.

    Args:
        outputs: outputs of stages.
    """
    records = _read_records(outputs)
    return {
        path: TracedFile(path, sha256(path) if path.is_file() else None, record) for path, record in records.items()
    }


def provenance_digest(outputs: Iterable[Path]) -> str:
    """Compute a digest of how some outputs were made, from the first stage on: stages, code, settings, files.

    Args:
        outputs: outputs of stages.
    """
    records = {path: record for path, record in sorted(_read_records(outputs).items()) if record}
    origins = [
        [path.as_posix(), record.stage, record.code, record.config_digest, sorted(record.inputs.values())]
        for path, record in records.items()
    ]
    return hashlib.sha256(json.dumps(origins).encode()).hexdigest()[:16]


def _read_records(outputs: Iterable[Path]) -> dict[Path, Record | None]:
    """Return the record of each file on the way to some outputs; None for an external file."""
    records: dict[Path, Record | None] = {}
    pending = [Path(os.path.normpath(output)) for output in outputs][::-1]
    while pending:
        path = pending.pop()
        if path not in records:
            record = records[path] = read_record(path)
            pending.extend(sorted(record.inputs, reverse=True) if record else ())
    return records


def trace_result(result: Path) -> TracedFiles:
    """Return all files on the way to one result. The result comes first.

    Raises:
        PipelineError: the file is missing, or it has no provenance record.
    """
    start = Path(os.path.normpath(result))
    if not start.is_file():
        raise PipelineError(f"{start}: no such file")
    if not record_path(start).is_file():
        raise PipelineError(f"{start}: no provenance record ({record_path(start).name}); was it made by a stage here?")
    return trace_outputs([start])


def summarize_provenance(outputs: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Summarize the provenance of some outputs as plain data.

    Args:
        outputs: outputs of stages.

    Returns:
        path (relative to the current folder) -> stage, code, config_digest and config; for an external file only its
        sha256. `inputs_changed_since` lists the inputs that have changed since the stage read them: the summary then
        describes the newer files.
    """
    files = trace_outputs(outputs)
    return {path.as_posix(): _summary(file, files) for path, file in sorted(files.items())}


def _summary(file: TracedFile, files: TracedFiles) -> dict[str, Any]:
    record = file.record
    if record is None:
        return {"sha256": file.sha256}
    summary: dict[str, Any] = {name: getattr(record, name) for name in ("stage", "code", "config_digest", "config")}
    changed = [path.as_posix() for path, digest in record.inputs.items() if files[path].sha256 != digest]
    return summary | ({"inputs_changed_since": changed} if changed else {})


def find_changes(files: TracedFiles) -> dict[Path, list[str]]:
    """Return what is missing or has changed since each file was made: path -> one sentence for each change."""
    return {path: _changes(file, files) for path, file in files.items()}


def _changes(file: TracedFile, files: TracedFiles) -> list[str]:
    if file.record is None:
        return []
    changed = [*_changed_files(file.path), *_changed_code(file.path, file.record)] if file.sha256 else []
    return changed + _changed_inputs(file.record, files)


def _changed_inputs(record: Record, files: TracedFiles) -> list[str]:
    changed = []
    for path, before in sorted(record.inputs.items()):
        now = files[path].sha256
        if now is None:
            changed.append(f"input {path} is missing")
        elif now != before:
            changed.append(f"input {path} has changed: sha256 {before[:SHORT]} -> {now[:SHORT]}")
    return changed


def _changed_files(path: Path) -> list[str]:
    """Describe the files of a manifest that are missing or have another size. Their bytes are checked when read."""
    if path.name != MANIFEST:
        return []
    changed = []
    manifest = read_manifest(path)
    for name in sorted(manifest.files):
        try:
            manifest.file(name, check=False)
        except PipelineError as error:
            changed.append(f"data file {error}")
    return changed


def _changed_code(path: Path, record: Record) -> list[str]:
    present = current_code(record.stage)
    if present is None:
        return [f"stage {record.stage} no longer exists"]
    if present[0] == record.code:
        return []
    modules = describe_module_changes(read_module_record(record.code, path), present[1])
    return [f"code of {record.stage} has changed: {record.code} -> {present[0]} ({modules})"]
