"""Hashes of the code that a stage runs: the import closure of its module, within this project.

Snakemake sees the command line of a rule, but not the modules that the command imports. A stamp file with the code hash
is therefore an input of every rule. Comments, docstrings and formatting do not count: the hash is of syntax trees.

A code hash shows that code has changed; the records in `results/.stamps/modules/` show which modules. Each run of
snakemake writes one small file for each code hash that it meets: module -> hash. A record is named by its code hash, so
it is written once and never changes.
"""

import hashlib
from functools import cache
from pathlib import Path

from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.provenance.parsed_sources import PACKAGE, STAMPS, parse_once, save_parsed

ROOT = Path(__file__).resolve().parents[2]


def code_hash(module: str) -> str:
    """Compute one sha256 (the first 16 hex digits) over all first-party modules that a module imports, directly or not.

    Args:
        module: dotted name, for example `pipeline.reencode`.
    """
    lines = [f"{name} {digest}\n" for name, digest in module_hashes(module).items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def module_hashes(module: str) -> dict[str, str]:
    """Return what a code hash is made of: first-party modules and templates -> sha256 (hex), sorted by name.

    Args:
        module: dotted name, for example `pipeline.reencode`.
    """
    hashes = {}
    for name in sorted(import_closure(module)):
        file = _source_file(name)
        hashes[name] = _parse(file)[1]
        for template in _templates(file):
            hashes[f"{name}/{template.name}"] = hashlib.sha256(template.read_bytes()).hexdigest()
    return hashes


def import_closure(module: str) -> set[str]:
    """Return the names of the first-party modules that running `module` loads, with itself and all parent packages."""
    closure: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in closure:
            continue
        closure.add(name)
        parent = name.rpartition(".")[0]
        if parent:
            pending.append(parent)
        pending.extend(find_imports(_source_file(name)))
    return closure


def find_imports(file: Path) -> tuple[str, ...]:
    """Return the first-party modules that a file imports anywhere in it, or names in a registry, by absolute name."""
    return _parse(file)[0]


def module_exists(module: str) -> bool:
    """Return whether a first-party module of this name exists."""
    return _source_file(module).is_file()


def _source_file(module: str) -> Path:
    """Return the source file of a first-party module or package."""
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _templates(file: Path) -> list[Path]:
    """Return the templates in the folder of a package; none for a plain module."""
    return sorted(file.parent.glob("*.jinja")) if file.name == "__init__.py" else []


@cache
def _parse(file: Path) -> tuple[tuple[str, ...], str]:
    """Return the first-party modules that a file imports, and the sha256 of its syntax tree without docstrings."""
    source = file.read_bytes()
    names, digest = parse_once(source)
    return tuple(name for name in names if module_exists(name)), digest


def write_stamp(stage: str, stamps: Path) -> str:
    """Write the stamp file of a stage if its code hash has changed, and return the file's path.

    Args:
        stage: name of a stage.
        stamps: folder of the stamp files.
    """
    path = stamps / f"{stage}.txt"
    text = code_hash(f"{PACKAGE}.{stage}") + "\n"
    save_parsed(stamps)
    write_module_record(stage, stamps)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path.as_posix()


def write_module_record(stage: str, stamps: Path) -> None:
    """Write the record of the modules behind a stage's present code hash, unless the record exists.

    Args:
        stage: name of a stage.
        stamps: folder of the stamp files.
    """
    path = _modules_path(code_hash(f"{PACKAGE}.{stage}"), stamps)
    if not path.is_file():
        write_json(path, module_hashes(f"{PACKAGE}.{stage}"))


def read_module_record(digest: str, output: Path) -> dict[str, str] | None:
    """Return the modules behind a code hash -> sha256, or None if no record exists.

    Args:
        digest: the code hash.
        output: an output in the results; the records are in the results folder it belongs to.
    """
    stamps = next((folder / STAMPS for folder in output.absolute().parents if (folder / STAMPS).is_dir()), None)
    if stamps is None or not (path := _modules_path(digest, stamps)).is_file():
        return None
    modules = read_json(path, "record of modules")
    return modules if isinstance(modules, dict) else None


def current_code(stage: str) -> tuple[str, dict[str, str]] | None:
    """Return the present code hash and modules of a stage, or None if no such stage exists now."""
    module = f"{PACKAGE}.{stage}"
    return (code_hash(module), module_hashes(module)) if module_exists(module) else None


def describe_module_changes(before: dict[str, str] | None, after: dict[str, str] | None) -> str:
    """Name the modules that differ between two code hashes, as one line of text.

    Args:
        before: module -> sha256, None where there is no record.
        after: likewise.
    """
    if before is None or after is None:
        return "no record of the modules"
    names = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            names.append(f"{name} (removed)")
        elif name not in before:
            names.append(f"{name} (new)")
        elif before[name] != after[name]:
            names.append(name)
    return ", ".join(names)


def _modules_path(digest: str, stamps: Path) -> Path:
    return stamps / "modules" / f"{digest}.json"
