"""Which modules stand behind a code stamp: a stamp tells that code changed, these records tell which.

Snakemake's run keeps one small file for each stamp that it has seen, `results/.stamps/modules/<stamp>.json`, module ->
fingerprint. Stamps name their content, so such a file is written once and never changes.
"""

from pathlib import Path

from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.code_hash import PACKAGE, exists, fingerprints, stamp

STAMPS = ".stamps"
"""Folder of the stamps, below the folder of the results."""


def keep_modules(stage: str, stamps: Path) -> None:
    """Note which modules a stage's code is made of now, unless that is noted already.

    Args:
        stage: name of a stage.
        stamps: folder of the stamps.
    """
    path = _kept(stamp(f"{PACKAGE}.{stage}"), stamps)
    if not path.is_file():
        write_json(path, fingerprints(f"{PACKAGE}.{stage}"))


def stamps_of(output: Path) -> Path | None:
    """Folder of the stamps of the results that an output belongs to."""
    return next((folder / STAMPS for folder in output.absolute().parents if (folder / STAMPS).is_dir()), None)


def modules_of(code: str, stamps: Path | None) -> dict[str, str] | None:
    """Modules behind a stamp -> fingerprint; None if nobody has noted them."""
    if stamps is None or not (path := _kept(code, stamps)).is_file():
        return None
    found = read_json(path, "record of modules")
    return found if isinstance(found, dict) else None


def code_now(stage: str) -> tuple[str, dict[str, str]] | None:
    """Stamp and modules of a stage as the code is now; None if there is no such stage any more."""
    module = f"{PACKAGE}.{stage}"
    return (stamp(module), fingerprints(module)) if exists(module) else None


def changed_modules(before: dict[str, str] | None, after: dict[str, str] | None) -> str:
    """The modules in which two codes differ, in words."""
    if before is None or after is None:
        return "which module is not noted"
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    told = [name if name in before and name in after else f"{name} ({_side(name, before)})" for name in names]
    return ", ".join(told)


def _side(name: str, before: dict[str, str]) -> str:
    return "gone" if name in before else "new"


def _kept(code: str, stamps: Path) -> Path:
    return stamps / "modules" / f"{code}.json"
