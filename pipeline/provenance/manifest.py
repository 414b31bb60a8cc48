"""Manifests: the small files that rules declare, each vouching for the payloads beside it.

A manifest holds what the payload *is* (counts, shapes, sha256 of each file) and nothing of how or when it was made,
so that work redone with an equal result gives an equal manifest and later stages need not run again. How it was made
stands beside it (see `pipeline.provenance.record`).
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, sha256, write_json


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read.

    Attributes:
        path: the manifest file itself.
        payloads: name of each payload, relative to the manifest's folder -> {"sha256", "bytes"}.
        facts: counts, shapes, rates: whatever the next stage asks for.
    """

    path: Path
    payloads: dict[str, dict[str, Any]]
    facts: dict[str, Any]

    def payload(self, name: str, *, check: bool = True) -> Path:
        """Path of one payload.

        Args:
            name: as the manifest lists it.
            check: whether to compare the payload's size and sha256 with what the manifest says.

        Raises:
            PipelineError: not listed, absent, or changed since the manifest was written.
        """
        if name not in self.payloads:
            raise PipelineError(f"{self.path}: lists no {name}; it lists {', '.join(sorted(self.payloads))}")
        path = self.path.parent / name
        said = self.payloads[name]
        if not path.is_file():
            raise PipelineError(f"{path}: listed in {self.path} but not there; delete the manifest and run again")
        damaged = path.stat().st_size != said["bytes"] or (check and sha256(path) != said["sha256"])
        if damaged:
            raise PipelineError(f"{path}: not as {self.path} describes it; delete the manifest and run again")
        return path


def write_manifest(path: Path, payloads: list[Path], facts: dict[str, Any]) -> None:
    """Write a manifest, last of all, atomically.

    Args:
        path: where.
        payloads: finished files in or below the manifest's folder.
        facts: plain data.
    """
    listed = {
        payload.relative_to(path.parent).as_posix(): {
            "sha256": sha256(payload),
            "bytes": payload.stat().st_size,
        }
        for payload in sorted(payloads)
    }
    write_json(path, {"facts": facts, "payloads": listed})


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        PipelineError: absent, not a manifest, or one that lists files outside its folder.
    """
    data = read_json(path, "manifest")
    if not isinstance(data, dict) or set(data) != {"facts", "payloads"}:
        raise PipelineError(f"{path}: not a manifest (expected the keys facts and payloads)")
    if not isinstance(data["facts"], dict) or not isinstance(data["payloads"], dict):
        raise PipelineError(f"{path}: not a manifest (facts and payloads are objects)")
    for name, said in data["payloads"].items():
        if not _inside(name):
            raise PipelineError(f"{path}: lists {name!r}, which is no file below its folder; was it made elsewhere?")
        if not isinstance(said, dict) or set(said) != {"sha256", "bytes"}:
            raise PipelineError(f"{path}: not a manifest (sha256 and bytes are to be said of {name!r})")
    return Manifest(path, data["payloads"], data["facts"])


def _inside(name: str) -> bool:
    """Whether a payload's name leads to a file below the manifest's folder, spelled in the one plain way."""
    path = PurePosixPath(name)
    plain = path.as_posix() == name and not any(sign == "\\" or ord(sign) < 32 for sign in name)
    return plain and not path.is_absolute() and not {".", ".."} & {name, *path.parts}
