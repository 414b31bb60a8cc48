"""Manifests: the small files that rules declare; each lists the data files beside it with their checksums.

A manifest holds what the data *is* (counts, shapes, the sha256 of each file). It does not hold how or when the data was
made, so work that is redone with an equal result gives an equal manifest, and later stages need not run again. The
provenance record beside the manifest holds how it was made (see `pipeline.provenance.record`).
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, sha256, write_json

MANIFEST = "manifest.json"
"""File name of every manifest."""


@dataclass(frozen=True)
class Manifest:
    """A manifest, as read from its file.

    Attributes:
        path: the manifest file.
        files: name of each data file, relative to the manifest's folder -> {"sha256", "bytes"}.
        metadata: counts, shapes, rates and whatever else the next stage needs.
    """

    path: Path
    files: dict[str, dict[str, Any]]
    metadata: dict[str, Any]

    def file(self, name: str, *, check: bool = True) -> Path:
        """Return the path of one data file.

        Args:
            name: the file's name in the manifest.
            check: compare the file's sha256 with the manifest, not only its size.

        Raises:
            PipelineError: the file is not listed, is absent, or has changed since the manifest was written.
        """
        if name not in self.files:
            raise PipelineError(f"{self.path}: lists no {name}; it lists {', '.join(sorted(self.files))}")
        path = self.path.parent / name
        expected = self.files[name]
        if not path.is_file():
            raise PipelineError(f"{path}: missing, although {self.path} lists it; delete the manifest and run again")
        damaged = path.stat().st_size != expected["bytes"] or (check and sha256(path) != expected["sha256"])
        if damaged:
            raise PipelineError(f"{path}: differs from its entry in {self.path}; delete the manifest and run again")
        return path


def write_manifest(path: Path, files: list[Path], metadata: dict[str, Any]) -> None:
    """Write a manifest atomically. Call this after all its data files are finished.

    Args:
        path: the manifest file to write.
        files: finished files in or below the manifest's folder.
        metadata: plain data.
    """
    listed = {
        file.relative_to(path.parent).as_posix(): {"sha256": sha256(file), "bytes": file.stat().st_size}
        for file in sorted(files)
    }
    write_json(path, {"metadata": metadata, "files": listed})


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        PipelineError: the file is absent, is not a manifest, or lists files outside its folder.
    """
    data = read_json(path, "manifest")
    if not isinstance(data, dict) or set(data) != {"metadata", "files"}:
        raise PipelineError(f"{path}: not a manifest (expected the keys metadata and files)")
    if not isinstance(data["metadata"], dict) or not isinstance(data["files"], dict):
        raise PipelineError(f"{path}: not a manifest (metadata and files must be objects)")
    for name, entry in data["files"].items():
        if not _is_plain_relative(name):
            raise PipelineError(f"{path}: lists {name!r}, which is not a plain file name below its folder")
        if not isinstance(entry, dict) or set(entry) != {"sha256", "bytes"}:
            raise PipelineError(f"{path}: not a manifest ({name!r} must have the keys sha256 and bytes)")
    return Manifest(path, data["files"], data["metadata"])


def _is_plain_relative(name: str) -> bool:
    """Return whether a name leads to a file below the manifest's folder and is spelled in the one canonical way."""
    path = PurePosixPath(name)
    plain = path.as_posix() == name and not any(sign == "\\" or ord(sign) < 32 for sign in name)
    return plain and not path.is_absolute() and not {".", ".."} & {name, *path.parts}
