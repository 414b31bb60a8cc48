"""Computations: what a stage has finished is published again, not computed again.

Snakemake deletes the declared outputs of a job before it runs the job again: after an interrupted run, with
`--forcerun`, after a touched file. So a stage keeps each declared output a second time, in the folder `.kept`
beside it, which no rule declares. There, `<stem>.computation.json` holds what decides the result: stage, code hash,
settings, inputs, arguments. A stage that starts with the same restores its outputs, and ends.

The order of the writes is safe at any moment: data files and outputs, provenance records, kept outputs, and last the
file that makes them valid, all flushed to the disk. Only then may a stage remove what it would resume from.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.base import Settings
from pipeline.errors import PipelineError
from pipeline.io.atomic import flush, link_or_copy, read_json, sha256, write_json
from pipeline.provenance.code_hash import code_hash
from pipeline.provenance.manifest import MANIFEST, read_manifest
from pipeline.provenance.record import build_record, record_path

KEPT_FOLDER = ".kept"
"""Folder of the kept outputs, beside the outputs."""


class Computation:
    """One computation of a stage: what decides its result, and the outputs that it declares.

    Args:
        stage: the stage's name, for example `train_captioner`.
        section: the settings of the run. Those of the machine do not decide the result.
        inputs: the files that the stage reads, in the order in which it uses them. A mapping gives the sha256 of each.
        outputs: the files that the rule declares. A manifest stands for the data files that it lists.
        arguments: other arguments that decide the result, such as seed and split.

    Attributes:
        key: everything that decides the result, as plain data. Equal keys mean equal results.
    """

    def __init__(
        self,
        stage: str,
        section: Settings,
        inputs: Sequence[Path] | Mapping[Path, str],
        outputs: Sequence[Path],
        **arguments: str | float | bool,
    ) -> None:
        self._stage, self._section, self._outputs = stage, section, outputs
        self._inputs = dict(inputs) if isinstance(inputs, Mapping) else {path: _hash_input(path) for path in inputs}
        self._path = computation_path(outputs[0])
        self.key: dict[str, Any] = {
            "stage": stage,
            "code": code_hash(f"pipeline.{stage}"),
            "settings": section.digest(),
            "inputs": [[os.path.relpath(path, outputs[0].parent), self._inputs[path]] for path in inputs],
            "arguments": arguments,
            "outputs": [self._name(output) for output in outputs],
        }

    def restore(self, *, publish: bool = True) -> bool:
        """Publish the outputs again if this computation was finished before.

        Args:
            publish: write the files; false in processes other than the first of a distributed run.

        Returns:
            whether it was finished before, and all its files are whole.
        """
        entry = read_entry(self._outputs[0])
        # The stage itself reports a missing input.
        if entry is None or entry["computation"] != self.key or not all(self._inputs.values()):
            return False
        damaged = next((path for path, digest in self._digests(entry) if not _has_digest(path, digest)), None)
        if damaged is not None:
            logging.warning("%s: missing or changed; computing %s again", damaged, self._outputs[0])
            return False
        if publish:
            for output in self._outputs:
                write_json(record_path(output), entry["records"][self._name(output)])
                link_or_copy(kept_output_path(output), output)
            finished = entry["records"][self._name(self._outputs[0])]["finished"]
            logging.info(
                "%s: finished at %s; published again; to compute it again, delete %s",
                *(self._outputs[0], finished, self._path),
            )
        return True

    def keep_outputs(self, files: Sequence[Path] = ()) -> None:
        """Write the provenance records, and keep the outputs, which must be written before.

        Args:
            files: data files that no manifest lists and that belong to the result.

        Raises:
            PipelineError: the disk is full or read-only.
        """
        digests = {file: sha256(file) for file in files}
        records = {}
        for output in self._outputs:
            record = build_record(output, self._stage, self._section, self._inputs)
            write_json(record_path(output), record)
            link_or_copy(output, kept_output_path(output))
            records[self._name(output)] = record
            digests[kept_output_path(output)] = sha256(output)
            if output.name == MANIFEST:
                listed = read_manifest(output).files
                digests |= {output.parent / name: file["sha256"] for name, file in listed.items()}
        for path in (*digests, *map(record_path, self._outputs)):
            flush(path)
        files_by_name = {self._name(path): digest for path, digest in digests.items()}
        write_json(self._path, {"computation": self.key, "files": files_by_name, "records": records})
        flush(self._path)

    def _digests(self, entry: dict[str, Any]) -> list[tuple[Path, str]]:
        return [(self._outputs[0].parent / name, digest) for name, digest in entry["files"].items()]

    def _name(self, path: Path) -> str:
        """Return a file's name relative to the folder of the first output."""
        return os.path.relpath(path, self._outputs[0].parent)


def computation_path(output: Path) -> Path:
    """Return the path of the file that says which computation an output was kept for."""
    return output.parent / KEPT_FOLDER / f"{output.stem}.computation.json"


def read_entry(output: Path) -> dict[str, Any] | None:
    """Return what `Computation.keep_outputs` wrote beside an output; None if it did not, or if the file is damaged.

    Args:
        output: the first output of a computation.

    Returns:
        `computation`, the key; `files`, the sha256 of all files by name; `records`, the provenance records by output.
    """
    path = computation_path(output)
    if not path.is_file():
        return None
    try:
        entry = read_json(path, "computation")
    except PipelineError as error:
        logging.warning("%s; ignored", error)
        return None
    keys = ("computation", "files", "records")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), dict) for key in keys):
        logging.warning("%s: not a finished computation (%s are missing); ignored", path, ", ".join(keys))
        return None
    return entry


def kept_output_path(output: Path) -> Path:
    """Return the path under which a finished output is kept."""
    return output.parent / KEPT_FOLDER / output.name


def _hash_input(path: Path) -> str:
    """Return the sha256 of an input; empty if it is missing, which the stage reports when it reads it."""
    return sha256(path) if path.is_file() else ""


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest
