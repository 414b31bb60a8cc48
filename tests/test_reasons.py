"""docs/videos.md explains every reason code of the program, and no other."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.localization import external_proposals
from pipeline.video.reasons import REASONS

ROOT = Path(__file__).resolve().parents[1]
POSITIONS = {"Rejection": 0, "RejectedError": 0, "ArrayError": 0, "reject": 2, "RejectedVideo": 2}
"""Position of the reason among the arguments of what is called."""
CODE = re.compile(r"[a-z]+(_[a-z]+)*")


def documented_codes() -> list[str]:
    """Return the codes of the tables of the document, in their order."""
    text = (ROOT / "docs" / "videos.md").read_text(encoding="utf-8").partition("## Reason codes")[2]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def literal_strings(node: ast.expr | None, module: str) -> Iterator[str]:
    """Yield the strings that an argument can be: a literal, a constant of the module, or one of two."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id.isupper():
        yield getattr(importlib.import_module(module), node.id)
    elif isinstance(node, ast.IfExp):
        yield from literal_strings(node.body, module)
        yield from literal_strings(node.orelse, module)


def codes_of_module(path: Path) -> Iterator[str]:
    """Yield the reasons that stand in the calls and assignments of a module."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            keywords = (keyword.value for keyword in node.keywords if keyword.arg == "reason")
            position = POSITIONS.get(str(name), len(node.args))
            for argument in (*node.args[position : position + 1], *keywords):
                yield from literal_strings(argument, module)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            [target] = node.targets
            if isinstance(target, ast.Tuple) and getattr(target.elts[0], "id", "") == "reason":
                yield from literal_strings(node.value.elts[0], module)


def codes_of_proposals() -> Iterator[str]:
    """Yield the reasons of proposals, which stand in tuples."""
    for node in ast.walk(ast.parse(Path(external_proposals.__file__).read_text(encoding="utf-8"))):
        is_outcome = isinstance(node, ast.Tuple) and len(node.elts) in (2, 3)
        if is_outcome and not any(literal_strings(node.elts[0], "")):
            yield from filter(CODE.fullmatch, literal_strings(node.elts[1], external_proposals.__name__))


@pytest.fixture(scope="module")
def codes() -> set[str]:
    """Return all reasons of the program."""
    of_modules = (code for path in sorted((ROOT / "pipeline").rglob("*.py")) for code in codes_of_module(path))
    return {*of_modules, *codes_of_proposals(), *REASONS.values()}


def test_the_codes_are_found_in_each_kind_of_code(codes: set[str]) -> None:
    assert codes >= {"no_sound", "unreadable", "not_finite", "encode_error", "not_in_file", "missing", "too_short"}
    assert codes >= {"clipped", "duplicate", "no_proposals"}


def test_every_code_is_explained_once(codes: set[str]) -> None:
    documented = documented_codes()
    assert sorted(documented) == sorted(set(documented))
    assert codes - set(documented) == set()
    assert set(documented) - codes == set()
