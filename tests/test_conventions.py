"""The rules of the house, where a machine can check them."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config.load import Config
from pipeline.provenance.code_hash import imports

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "pipeline").rglob("*.py"))
SOURCES = [*PACKAGE, *sorted((ROOT / "workflow").rglob("*.py"))]
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
STAGES = {path.stem for path in (ROOT / "pipeline").glob("*.py")} - {"__init__", "doctor", "explain", "plan"}
FOUNDATION = {"video", "store", "training", "config"}
EXECUTING = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
"""Modules that run what they read."""
FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "np.load",
    "numpy.load",
    "torch.jit.load",
    "pandas.read_pickle",
} | {
    f"{module}.{name}"
    for module, names in {
        "os": ("system", "popen"),
        "pickle": ("load", "loads"),
        "marshal": ("load", "loads"),
        "subprocess": ("getoutput", "getstatusoutput"),
        "yaml": ("load", "load_all", "full_load", "unsafe_load"),
    }.items()
    for name in names
}
"""What runs data, or hands it to a shell."""
SHELLS = {"sh", "bash", "dash", "zsh", "cmd"}
NETWORK = {"urllib", "http", "ftplib", "smtplib", "ssl", "requests", "httpx", "aiohttp", "urllib3", "huggingface_hub"}
"""Modules that talk to other machines."""
FETCHING = "pipeline.encoders.fetch"
"""The one module that does."""
OUR_WORDS = {"params.control", "params.processes"}
"""What rules put into commands unquoted: words of their own, and wildcards, which are letters and digits."""


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


def called(tree: ast.AST) -> Iterator[tuple[ast.Call, str, dict[str, str]]]:
    """Every call of a module: what is called, and the arguments that have names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            words = {word.arg or "**": ast.unparse(word.value) for word in node.keywords}
            yield node, ast.unparse(node.func), words


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_nothing_from_outside_is_executed(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node, name, words in called(tree):
        assert words.get("shell", "False") == "False", f"line {node.lineno}: a shell"
        assert name not in FORBIDDEN, f"line {node.lineno}: {name}"
        if name == "torch.load":
            assert words.get("weights_only") == "True", f"line {node.lineno}: torch.load"
        if name == "torchvision" or (name == "importlib.import_module" and path.name != "torchvision_shim.py"):
            assert all(isinstance(word, ast.Constant) for word in node.args), (
                f"line {node.lineno}: a module that data could name"
            )
    loads = sum(name == "torch.load" for _, name, _ in called(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            loads -= 1
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            assert not names & {*FORBIDDEN, "torch.load", "importlib.import_module"}, f"line {node.lineno}: {names}"
        if isinstance(node, ast.List | ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
            assert Path(str(node.elts[0].value)).name not in SHELLS, f"line {node.lineno}: a shell"
    assert loads == 0, "torch.load is called where it is named, with weights_only"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_nothing_is_fetched_unless_the_user_asks(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names}
            names = {f"{node.module}.{name}" for name in names} if isinstance(node, ast.ImportFrom) else names
            if module_of(path) != FETCHING:
                assert not {name.partition(".")[0] for name in names} & NETWORK, f"line {node.lineno}: {names}"
            if any(name.startswith(FETCHING) for name in names):
                assert path.name == "__main__.py", f"line {node.lineno}: only a command that the user gives may fetch"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "socket":
            assert node.attr == "gethostname", f"line {node.lineno}: socket.{node.attr}"
    for node, name, words in called(tree):
        assert "torch.hub" not in name, f"line {node.lineno}: {name}"
        for word in ("pretrained", "download"):
            assert words.get(word, "None") in ("None", "False"), f"line {node.lineno}: {word}"


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_rules_quote_what_users_write_and_run_nothing_but_python(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for command in re.findall(r'shell:\n((?: +".*"\n)+)', text):
        words = "".join(re.findall(r'"(.*)"', command))
        assert words.startswith("python -m ")
        for name in re.findall(r"\{([^}]+)\}", words):
            plain = name.endswith(":q") or name.startswith(("wildcards.", "resources.")) or name in OUR_WORDS
            assert plain, f"{{{name}}} is not quoted"
        outside = re.sub(r"> \{log:q\} 2>&1$", "", words)
        assert not re.search(r"[|;&<>`$]|\b(curl|wget)\b", outside), outside


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=module_of)
def test_nothing_is_imported_that_executes_what_it_reads(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not {name.partition(".")[0] for name in names} & EXECUTING, f"line {node.lineno}"


@pytest.mark.parametrize("path", PACKAGE, ids=module_of)
def test_no_set_is_made_anew_for_each_thing_that_is_looked_up(path: Path) -> None:
    """`... for video in videos if video in train | validation` takes the square of their number."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for condition in node.ifs if isinstance(node, ast.comprehension) else []:
            for part in ast.walk(condition):
                if isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.In | ast.NotIn):
                    assert not isinstance(part.comparators[0], ast.BinOp), ast.unparse(condition)


@pytest.mark.parametrize("path", PACKAGE, ids=module_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    if len(path.relative_to(ROOT).parts) == 2 and path.stem in STAGES:
        assert re.search(rf"python -m pipeline\.{path.stem}\b", text), "the command that runs it alone"
        assert "In" in text
        assert "Out" in text
