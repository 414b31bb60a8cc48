"""How a result was made: one small file beside each output, and the walk back from a result to its beginnings."""

import datetime
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.base import Settings
from pipeline.io.atomic import read_json, sha256, write_json
from pipeline.provenance.code_hash import stamp


def record(
    output: Path,
    stage: str,
    section: Settings,
    inputs: list[Path] | Mapping[Path, str],
    tools: dict[str, str] | None = None,
) -> None:
    """Write `<output's stem>.provenance.json` beside a stage's declared output.

    Args:
        output: the manifest or file that the rule declares.
        stage: the stage's name, `reencode` say.
        section: the settings it ran with.
        inputs: the declared outputs of earlier stages, and the user's files, that it read; with their sha256 if that
            is known.
        tools: programs outside Python whose version matters to the result.
    """
    digests = inputs if isinstance(inputs, Mapping) else {path: sha256(path) for path in inputs}
    write_json(
        beside(output),
        {
            "stage": stage,
            "code": stamp(f"pipeline.{stage}"),
            "config": section.model_dump(mode="json"),
            "config_digest": section.digest(),
            "inputs": {os.path.relpath(path, output.parent): digests[path] for path in sorted(digests)},
            "python": platform.python_version(),
            **({"tools": tools} if tools else {}),
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    )


def beside(output: Path) -> Path:
    """Where the provenance of an output stands."""
    return output.with_name(f"{output.stem}.provenance.json")


def trace(outputs: list[Path]) -> dict[str, dict[str, Any]]:
    """Walk back from outputs over the recorded inputs.

    Returns:
        path of each output met (as reached from the current folder) -> stage, code, config digest and config.
        Inputs without a record are the user's own files; they are listed with their sha256. Where an input is no longer
        what the stage had read, `inputs_changed_since` names it: then the walk tells of the newer one.
    """
    found: dict[str, dict[str, Any]] = {}
    pending = list(outputs)
    while pending:
        output = Path(os.path.normpath(pending.pop()))
        key = output.as_posix()
        if key in found:
            continue
        if not beside(output).is_file():
            found[key] = {"sha256": sha256(output)}
            continue
        made = read_json(beside(output), "provenance")
        found[key] = {name: made[name] for name in ("stage", "code", "config_digest", "config")}
        inputs = {output.parent / name: digest for name, digest in made["inputs"].items()}
        changed = [Path(os.path.normpath(path)).as_posix() for path, digest in inputs.items() if sha256(path) != digest]
        if changed:
            found[key]["inputs_changed_since"] = changed
        pending.extend(inputs)
    return dict(sorted(found.items()))
