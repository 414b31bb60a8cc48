"""The tests of one part of the project: `make test PART=captioning`."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
EVERY_PART = ("test_conventions.py",)
"""Tests that belong to every part."""
SHARED = ("config", "io", "provenance")
"""Packages that every stage imports; after a change of them, all tests must run."""


def list_parts() -> list[str]:
    """Return the names of parts: the packages of `pipeline/` and the folders of `tests/`."""
    packages = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    return sorted(packages | {path.parent.name for path in TESTS.glob("*/test_*.py")})


@cache
def stages_of_part(part: str) -> frozenset[str]:
    """Return the stages whose modules import a package themselves, none for packages that every stage imports."""
    if part in SHARED:
        return frozenset()
    return frozenset(path.stem for path in (ROOT / "pipeline").glob("*.py") if part in imported_packages(path))


def imported_packages(path: Path) -> set[str]:
    """Return the packages of `pipeline` that a file imports."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {module.split(".")[1] for module in modules if module.startswith("pipeline.")}


def is_in_part(path: Path, part: str) -> bool:
    """Return whether a test file belongs to a part.

    Its folder has the part's name, or it tests a stage that imports the package, or it belongs to every part.
    """
    folders = path.relative_to(TESTS).parts[:-1]
    if folders:
        return folders[0] == part
    return path.name in EVERY_PART or any(path.name.startswith(f"test_{stage}") for stage in stages_of_part(part))
