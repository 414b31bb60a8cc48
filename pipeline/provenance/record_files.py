"""What stands beside an output about its making, read and checked."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json
from pipeline.provenance.record import beside
from pipeline.provenance.settings import deciding, machine_names

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
"""What a record holds (see `pipeline.provenance.record.record`)."""


@dataclass(frozen=True)
class Record:
    """How an output was made.

    Attributes:
        stage: the stage that made it.
        code: stamp of the stage's code then.
        config: the settings of the stage, whole.
        config_digest: of those that decide the result.
        inputs: what it read (as reached from the current folder) -> sha256 then.
        python: version.
        command: the command line, the program first.
        finished: when, ISO 8601.
    """

    stage: str
    code: str
    config: dict[str, Any]
    config_digest: str
    inputs: dict[Path, str]
    python: str
    command: list[str]
    finished: str

    @property
    def deciding(self) -> dict[str, Any]:
        """The settings that decide the result: without those that say how the machine is used."""
        return deciding(self.stage, self.config)

    @property
    def arguments(self) -> dict[str, str]:
        """What the command line said besides the settings, files and the machine: `{"--seed": "3"}`, say."""
        machine = machine_names()
        found: dict[str, list[str]] = {}
        name = ""
        for word in self.command[1:]:
            if word.startswith("--"):
                name = word
                found[name] = []
            else:
                found.setdefault(name, []).append(word)
        for name, words in list(found.items()):
            if name == "--config" or name.strip("-").replace("-", "_") in machine or any(map(_is_file, words)):
                del found[name]
        return {name: " ".join(words) for name, words in found.items()}


def _is_file(word: str) -> bool:
    """Whether a word of a command line names a file: has a folder or a suffix that is no fraction."""
    return "/" in word or re.fullmatch(r"\.[a-z]\w*", Path(word).suffix) is not None


def read_record(output: Path) -> Record | None:
    """The record of an output; None where it has none: then no stage made it, it was given.

    Raises:
        PipelineError: there is a file beside the output that is no such record.
    """
    path = beside(output)
    if not path.is_file():
        return None
    data = read_json(path, "provenance")
    wrong = [
        name
        for name, kind in TYPES.items()
        if not isinstance(data, dict) or not isinstance(data.get(name), kind)  # the first too where it is no object
    ]
    if wrong:
        raise PipelineError(f"{path}: not a provenance record (lacks {', '.join(wrong)}); make the output again")
    known = {name: data[name] for name in TYPES if name != "inputs"}
    inputs = {Path(os.path.normpath(output.parent / name)): str(digest) for name, digest in data["inputs"].items()}
    return Record(**known, inputs=inputs)
