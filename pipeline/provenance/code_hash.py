"""Fingerprint of the code that a stage really runs: the import closure of its module, within this project.

Snakemake sees the command line of a rule, never the modules that the command imports. The stamp closes that gap.
Comments, docstrings and formatting do not count: the stamp hashes syntax trees, not text.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "pipeline"


def stamp(module: str) -> str:
    """Hex sha256 (16 digits) over every first-party module that `module` imports, directly or not.

    Args:
        module: dotted name such as `pipeline.reencode`.
    """
    lines = [f"{name} {fingerprint}\n" for name, fingerprint in fingerprints(module).items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def fingerprints(module: str) -> dict[str, str]:
    """What a stamp is made of: first-party modules and the templates beside them -> hex sha256, sorted.

    Args:
        module: dotted name such as `pipeline.reencode`.
    """
    found = {}
    for name in sorted(closure(module)):
        found[name] = _fingerprint(_file(name))
        for template in _templates(_file(name)):
            found[f"{name}/{template.name}"] = hashlib.sha256(template.read_bytes()).hexdigest()
    return found


def closure(module: str) -> set[str]:
    """Names of the first-party modules that running `module` loads, itself and parent packages among them."""
    found: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        parent = name.rpartition(".")[0]
        if parent:
            pending.append(parent)
        pending.extend(imports(_file(name)))
    return found


def _file(module: str) -> Path:
    """Source file of a first-party module or package."""
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _templates(file: Path) -> list[Path]:
    """Templates that stand beside a package's modules."""
    return sorted(file.parent.glob("*.jinja")) if file.name == "__init__.py" else []


def exists(module: str) -> bool:
    """Whether there is such a first-party module."""
    return _file(module).is_file()


def imports(file: Path) -> tuple[str, ...]:
    """First-party modules that a file imports, anywhere in it; this project imports by absolute name only."""
    return _read(file)[0]


def _fingerprint(file: Path) -> str:
    """Hash of a file's syntax tree without docstrings."""
    return _read(file)[1]


@cache
def _read(file: Path) -> tuple[tuple[str, ...], str]:
    """First-party modules that a file imports, and its fingerprint; each file is parsed once."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [node.module, *inside]
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    ours = (name for name in names if name.split(".")[0] == PACKAGE)
    found = tuple(sorted({name for name in ours if exists(name)}))
    return found, hashlib.sha256(ast.dump(tree).encode()).hexdigest()
