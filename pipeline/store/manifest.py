"""Manifests: the small files that rules declare, each vouching for the payloads beside it.

A manifest holds what the payload *is* (counts, shapes, sha256 of each file) and nothing of how or when it was made,
so that work redone with an equal result gives an equal manifest and later stages need not run again. How it was made
stands beside it (see `pipeline.store.provenance`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.errors import PipelineError
from pipeline.store.atomic import read_json, sha256, write_json


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
        PipelineError: absent or not a manifest.
    """
    data = read_json(path, "manifest")
    if not isinstance(data, dict) or set(data) != {"facts", "payloads"}:
        raise PipelineError(f"{path}: not a manifest (expected the keys facts and payloads)")
    return Manifest(path, data["payloads"], data["facts"])
