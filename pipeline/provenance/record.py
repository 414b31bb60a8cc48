"""Provenance records: one small file beside each output of a stage. It holds how the output was made."""

import datetime
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.base import Settings
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, sha256, write_json
from pipeline.provenance.code_hash import code_hash

TYPES: dict[str, type] = {
    "stage": str,
    "code": str,
    "config": dict,
    "config_digest": str,
    "inputs": dict,
    "python": str,
    "command": list,
    "finished": str,
}
"""Required keys of a record's file and their types."""


@dataclass(frozen=True)
class Record:
    """How an output was made.

    Attributes:
        stage: the stage that made it.
        code: code hash of the stage at that time.
        config: all settings of the stage.
        config_digest: digest of the settings that affect results.
        inputs: each file that the stage read, relative to the current folder -> sha256 at that time.
        python: version of Python.
        command: the command line; the program comes first.
        finished: time of completion (ISO 8601, UTC).
    """

    stage: str
    code: str
    config: dict[str, Any]
    config_digest: str
    inputs: dict[Path, str]
    python: str
    command: list[str]
    finished: str


def record_path(output: Path) -> Path:
    """Return the path of an output's provenance record: `<stem>.provenance.json` in the same folder."""
    return output.with_name(f"{output.stem}.provenance.json")


def write_record(
    output: Path,
    stage: str,
    section: Settings,
    inputs: list[Path] | Mapping[Path, str],
    tools: dict[str, str] | None = None,
) -> None:
    """Write the provenance record of a stage's declared output.

    Args:
        output: the manifest or file that the rule declares.
        stage: the stage's name, for example `reencode`.
        section: the settings of the run.
        inputs: the files that the stage read: declared outputs of earlier stages and the user's files. A mapping gives
            the sha256 of each file; for a list they are computed.
        tools: versions of the external programs that affect the result.
    """
    digests = inputs if isinstance(inputs, Mapping) else {path: sha256(path) for path in inputs}
    write_json(record_path(output), build_record(output, stage, section, digests, tools))


def build_record(
    output: Path,
    stage: str,
    section: Settings,
    inputs: Mapping[Path, str],
    tools: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return the provenance record of a stage's declared output as plain data; see `write_record`."""
    return {
        "stage": stage,
        "code": code_hash(f"pipeline.{stage}"),
        "config": section.model_dump(mode="json"),
        "config_digest": section.digest(),
        "inputs": {os.path.relpath(path, output.parent): inputs[path] for path in sorted(inputs)},
        "python": platform.python_version(),
        **({"tools": tools} if tools else {}),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def read_record(output: Path) -> Record | None:
    """Read the provenance record of an output. Return None if there is none: no stage made the file.

    Raises:
        PipelineError: the record's file is damaged or lacks a key.
    """
    path = record_path(output)
    if not path.is_file():
        return None
    data = read_json(path, "provenance")
    if not isinstance(data, dict):
        raise PipelineError(f"{path}: not a provenance record (expected an object); make the output again")
    invalid = [name for name, kind in TYPES.items() if not isinstance(data.get(name), kind)]
    if invalid:
        raise PipelineError(
            f"{path}: not a provenance record (missing or invalid: {', '.join(invalid)}); make the output again"
        )
    inputs = {Path(os.path.normpath(output.parent / name)): str(digest) for name, digest in data["inputs"].items()}
    return Record(**{name: data[name] for name in TYPES if name != "inputs"}, inputs=inputs)
