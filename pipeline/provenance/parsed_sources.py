"""Syntax trees of source files as hashes. What was parsed once is remembered in the results, by the source's sha256.

Parsing all modules of this project takes more than a second. Each run of snakemake and each job needs the hashes, so
they are read from `results/.stamps/parsed-<version>.json`. A source is found by its contents, so an edit is never
missed. The version is that of Python and of this module, which decide how a hash is computed.
"""

import ast
import hashlib
import json
import re
import sys
from functools import cache
from pathlib import Path

from pipeline.io.atomic import write_text

PACKAGE = "pipeline"
STAMPS = ".stamps"
"""Folder of the stamp files, below the folder of the results."""

_BUILD = re.compile(rf"{PACKAGE}(\.\w+)+:\w+")
"""`build` of a spec in a registry. The module is imported when the part is built, so it counts as an import."""

Parsed = tuple[list[str], str]
"""First-party names that a source imports, sorted, and the sha256 of its syntax tree without docstrings."""


@cache
def _version() -> str:
    text = f"{sys.version_info[:2]} {Path(__file__).read_text(encoding='utf-8')}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _remembered() -> dict[str, Parsed]:
    """Return what earlier runs in this folder have parsed: sha256 of a source -> the result."""
    return _read(_path(Path("results", STAMPS)))


_new: dict[str, Parsed] = {}
"""What this process has parsed and not saved."""


def parse_once(source: bytes) -> Parsed:
    """Return what a source imports from this project, and the hash of its syntax tree.

    Args:
        source: Python source.
    """
    key, remembered = hashlib.sha256(source).hexdigest(), _remembered()
    if key not in remembered:
        remembered[key] = _new[key] = _parse(source)
    return remembered[key]


def save_parsed(stamps: Path) -> None:
    """Save what this process has parsed, for later runs and for the jobs.

    Args:
        stamps: folder of the stamp files.
    """
    if _new:
        path = _path(stamps)
        write_text(path, json.dumps(_read(path) | _new))
        _new.clear()


def _path(stamps: Path) -> Path:
    return stamps / f"parsed-{_version()}.json"


def _read(path: Path) -> dict[str, Parsed]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return {}  # a damaged file costs the time to parse again, nothing else; the next save replaces it


def _parse(source: bytes) -> Parsed:
    tree = ast.parse(source)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [node.module, *members]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _BUILD.fullmatch(node.value):
            names.append(node.value.partition(":")[0])
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    first_party = sorted({name for name in names if name.split(".")[0] == PACKAGE})
    return first_party, hashlib.sha256(ast.dump(tree).encode()).hexdigest()
