"""The rules of the house, where a machine can check them."""

import ast
import re
import statistics
from pathlib import Path

import pytest

from pipeline.config.load import Config
from pipeline.store.stamp import imports

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "pipeline").rglob("*.py"))
SOURCES = [*PACKAGE, *sorted((ROOT / "workflow").rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
STAGES = {path.stem for path in (ROOT / "pipeline").glob("*.py")} - {"__init__", "doctor", "explain", "plan"}
FOUNDATION = {"video", "store", "training", "config"}
EXECUTING = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
"""Modules that run what they read."""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_stage_has_a_section_and_every_section_a_stage() -> None:
    assert set(Config.model_fields) == STAGES


@pytest.mark.parametrize("path", PACKAGE, ids=module_of)
def test_imports_run_one_way(path: Path) -> None:
    inside = module_of(path).split(".")[1:]
    for imported in imports(path):
        target = imported.split(".")[1:]
        assert not (len(target) == 1 and target[0] in STAGES), f"{module_of(path)} imports the stage {imported}"
        if target and len(inside) > 1 and inside[0] in FOUNDATION:
            assert target[0] in FOUNDATION, f"{module_of(path)} imports {imported}"


def test_modules_are_small() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert max(lengths.values()) <= 500
    assert statistics.median(lengths.values()) < 200


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_nothing_from_outside_is_executed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
        if isinstance(node, ast.Call):
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert words.get("shell", "False") == "False", f"line {node.lineno}: a shell"
            called = ast.unparse(node.func)
            assert called not in {"os.system", "eval", "exec", "np.load"}, f"line {node.lineno}: {called}"
            assert not called.startswith("pickle."), f"line {node.lineno}: {called}"
            if called == "torch.load":
                assert words.get("weights_only") == "True", f"line {node.lineno}: torch.load"


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=module_of)
def test_nothing_is_imported_that_executes_what_it_reads(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not {name.partition(".")[0] for name in names} & EXECUTING, f"line {node.lineno}"


@pytest.mark.parametrize("path", PACKAGE, ids=module_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    if len(path.relative_to(ROOT).parts) == 2 and path.stem in STAGES:
        assert re.search(rf"python -m pipeline\.{path.stem}\b", text), "the command that runs it alone"
        assert "In" in text
        assert "Out" in text
