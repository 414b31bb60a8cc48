"""The walk back from a result over the recorded inputs, and what is not any more as it was."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import read_manifest
from pipeline.provenance.modules import changed_modules, code_now, modules_of, stamps_of
from pipeline.provenance.record import beside
from pipeline.provenance.record_files import Record, read_record

SHORT = 12
"""Digits of a sha256 that are shown."""


@dataclass(frozen=True)
class Node:
    """A file on the way to a result.

    Attributes:
        path: the file, as reached from the current folder.
        sha256: of the file as it is now; None if it is not there.
        record: how it was made; None of a file that was given.
        troubles: what is missing or has changed since, one sentence each.
    """

    path: Path
    sha256: str | None
    record: Record | None
    troubles: list[str]


def walk(result: Path) -> dict[Path, Node]:
    """All files on the way to a result, the result first, each before what it was made from.

    Args:
        result: an output of a stage.

    Raises:
        PipelineError: no such file, or nothing tells how it was made.
    """
    start = Path(os.path.normpath(result))
    if not start.is_file():
        raise PipelineError(f"{start}: no such file")
    if not beside(start).is_file():
        raise PipelineError(
            f"{start}: is no result of a stage, or was not made here: {beside(start).name} is not beside it"
        )
    found: dict[Path, Node] = {}
    pending = [start]
    while pending:
        path = pending.pop()
        if path not in found:
            found[path] = _node(path)
            record = found[path].record
            pending.extend(sorted(record.inputs, reverse=True) if record else ())
    for node in found.values():
        if node.record:
            node.troubles.extend(_changed_inputs(node.record, found))
    return found


def _node(path: Path) -> Node:
    record = read_record(path)
    if not path.is_file():
        return Node(path, None, record, [])
    troubles = [*_payloads(path), *_code(path, record)] if record else []
    return Node(path, sha256(path), record, troubles)


def _changed_inputs(record: Record, found: dict[Path, Node]) -> list[str]:
    troubles = []
    for path, then in sorted(record.inputs.items()):
        now = found[path].sha256
        if now is None:
            troubles.append(f"input {path} is missing")
        elif now != then:
            troubles.append(f"input {path} has changed since: sha256 was {then[:SHORT]}, is {now[:SHORT]}")
    return troubles


def _payloads(path: Path) -> list[str]:
    """Payloads of a manifest that are not there or have another size; their bytes are checked by whoever reads them."""
    if path.name != "manifest.json":
        return []
    troubles = []
    manifest = read_manifest(path)
    for name in sorted(manifest.payloads):
        try:
            manifest.payload(name, check=False)
        except PipelineError as error:
            troubles.append(f"payload {error}")
    return troubles


def _code(path: Path, record: Record) -> list[str]:
    """Whether the stage's code is what it was."""
    now = code_now(record.stage)
    if now is None:
        return [f"there is no stage {record.stage} any more"]
    if now[0] == record.code:
        return []
    which = changed_modules(modules_of(record.code, stamps_of(path)), now[1])
    return [f"code of {record.stage} has changed since: {record.code} -> {now[0]} ({which})"]
