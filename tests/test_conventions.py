"""The conventions of the code that a machine can check; each source file is parsed once."""

import ast
import re
import statistics
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from pipeline.config.load import stages
from pipeline.provenance.code_hash import module_exists
from workflow.scripts.rule_files import read_rules

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "pipeline").rglob("*.py"))
SOURCES = [*PACKAGE, *sorted((ROOT / "workflow").rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MAX_LINES = 500

LAYERS = (
    {"commands"},
    {"bundle"},
    {
        "bimodal",
        "captioning",
        "comparison",
        "demo",
        "encoders",
        "evaluation",
        "features",
        "localization",
        "monitor",
        "planning",
        "report",
    },
    {"datasets", "video", "training", "provenance"},
    {"config", "io", "errors", "threads"},
)
"""Packages from the outermost to the innermost layer; a module imports from its own layer and the layers after it."""

FORBIDDEN_NAMES = {
    "asked", "begun", "found", "given", "gone", "kept", "known", "lacking", "made", "meant", "own", "said", "shown",
    "taken", "there", "told", "wanted",
}  # fmt: skip
"""Participles and verbs of speech that are no names of variables, functions or classes."""

EXECUTING = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
"""Modules that execute what they read."""
FORBIDDEN_CALLS = {
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
"""Calls that execute data, or pass it to a shell."""
SHELLS = {"sh", "bash", "dash", "zsh", "cmd"}
NETWORK = {"urllib", "http", "ftplib", "smtplib", "ssl", "requests", "httpx", "aiohttp", "urllib3", "huggingface_hub"}
"""Modules that connect to other machines."""
FETCHING = "pipeline.encoders.fetch"
"""The one module that connects to other machines."""
IMPORT_BY_NAME = {
    "pipeline/encoders/torchvision_shim.py",
    "pipeline/config/registry.py",
    "pipeline/commands/__main__.py",
    "workflow/scripts/generate.py",
}
"""Files that import a module whose name is a variable: names that this project's own code lists, never data."""
UNQUOTED = {"params.control", "params.world_size"}
"""What rules put into commands without quotes: literal words and numbers of the rules."""


def name_of(path: Path) -> str:
    """Return the path relative to the project, for messages."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parse(path)))


@cache
def imports(path: Path) -> set[str]:
    """Return the first-party modules in the import statements of a file; modules that registries name do not count."""
    modules = set()
    for node in nodes(path):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = imported_names(node) | {getattr(node, "module", None) or ""}
            modules |= {name for name in names if name.split(".")[0] == "pipeline" and module_exists(name)}
    return modules


def stage_modules() -> set[str]:
    return {path.stem for path in (ROOT / "pipeline").glob("*.py")} - {"__init__", "errors", "threads"}


def package_of(module: str) -> str:
    """Return the part of a module's name that names its package: `config` of `pipeline.config.load`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_stage_has_a_section_and_a_rule() -> None:
    assert set(stages()) == stage_modules() == set(read_rules())


def test_every_package_of_pipeline_is_in_a_layer() -> None:
    folders = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert folders | {"errors", "threads"} == {name for layer in LAYERS for name in layer}


def test_imports_run_from_outer_to_inner_layers() -> None:
    layer_of = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    layer_of |= dict.fromkeys(stage_modules(), 0)
    wrong = []
    for path in PACKAGE:
        package = package_of(module_of(path))
        for imported in imports(path):
            target = package_of(imported)
            if package and target and target != package and layer_of[target] < layer_of[package]:
                wrong.append(f"{name_of(path)} imports {imported}")
            if target in {*stage_modules(), "commands"} - {package} and package != "commands":
                wrong.append(f"{name_of(path)} imports {imported}")
    assert wrong == []


def test_packages_have_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for path in PACKAGE:
        if path.parent != ROOT / "pipeline":
            package = outer_package(module_of(path))
            targets = {outer_package(imported) for imported in imports(path)} - {package, "pipeline"}
            graph.setdefault(package, set()).update(targets)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"packages import each other: {' -> '.join(error.args[1])}")


def outer_package(module: str) -> str:
    """Return `pipeline.<package>` of a module; extraction counts as a package outside the feature store."""
    extraction = ("pipeline.features.networks", "pipeline.features.extraction")
    return next((name for name in extraction if f"{module}.".startswith(f"{name}.")), ".".join(module.split(".")[:2]))


def test_modules_have_at_most_500_lines() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in [*SOURCES, *TESTS]}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}
    assert statistics.median(lengths.values()) < 200


def test_modules_have_a_docstring_and_stages_say_how_to_run_them() -> None:
    wrong = [name_of(path) for path in PACKAGE if not ast.get_docstring(parse(path))]
    for stage in stages():
        docstring = ast.get_docstring(parse(ROOT / "pipeline" / f"{stage}.py")) or ""
        if not (re.search(rf"python -m pipeline\.{stage}\b", docstring) and "In" in docstring and "Out" in docstring):
            wrong.append(f"pipeline/{stage}.py: inputs, outputs or the command are missing")
    assert wrong == []


def defined_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything that a file defines: variables, parameters, functions, classes."""
    for node in nodes(path):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def test_names_are_nouns_and_verbs_of_the_field() -> None:
    wrong = [
        f"{name_of(path)}:{line}: {name}"
        for path in [*SOURCES, *TESTS]
        for line, name in defined_names(path)
        if name.strip("_").lower() in FORBIDDEN_NAMES
    ]
    assert not wrong, "\n".join(["names that say nothing:", *wrong])


def calls(path: Path) -> Iterator[tuple[ast.Call, str, dict[str, str]]]:
    """Yield every call of a file: the node, the function and the keyword arguments."""
    for node in nodes(path):
        if isinstance(node, ast.Call):
            keywords = {keyword.arg or "**": ast.unparse(keyword.value) for keyword in node.keywords}
            yield node, ast.unparse(node.func), keywords


def test_stages_keep_what_they_have_finished() -> None:
    """The other stages take seconds, or keep a journal of each video."""
    others = {"build_corpus", "bundle_model", "reencode", "write_report", "write_submission"}
    keeping = set()
    for stage in stages():
        names = {name for _, name, _ in calls(ROOT / "pipeline" / f"{stage}.py")}
        if {"Computation", "computation.keep_outputs"} <= names:
            keeping.add(stage)
    assert keeping == set(stages()) - others


def executing_calls(path: Path) -> Iterator[str]:
    """Yield the calls of a file that could execute data."""
    for node, name, keywords in calls(path):
        if keywords.get("shell", "False") != "False":
            yield f"line {node.lineno}: a shell"
        if name in FORBIDDEN_CALLS:
            yield f"line {node.lineno}: {name}"
        if name == "torch.load" and keywords.get("weights_only") != "True":
            yield f"line {node.lineno}: torch.load"
        by_name = name == "torchvision" or name.endswith("import_module")
        trusted = name_of(path) in IMPORT_BY_NAME or all(isinstance(argument, ast.Constant) for argument in node.args)
        if by_name and not trusted:
            yield f"line {node.lineno}: a module that data could name"


def first_constant(node: ast.List | ast.Tuple) -> str:
    """Return the first element of a list as text; empty if it is not a constant."""
    first = node.elts[0] if node.elts else None
    return str(first.value) if isinstance(first, ast.Constant) else ""


def executing_syntax(path: Path) -> Iterator[str]:
    """Yield other places of a file that could execute data: names that hide a call, shells, bare excepts."""
    loads = sum(name == "torch.load" for _, name, _ in calls(path))
    for node in nodes(path):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"line {node.lineno}: a bare except"
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            loads -= 1
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            if names & {*FORBIDDEN_CALLS, "torch.load", "importlib.import_module"}:
                yield f"line {node.lineno}: {names}"
        if isinstance(node, ast.List | ast.Tuple) and Path(first_constant(node)).name in SHELLS:
            yield f"line {node.lineno}: a shell"
    if loads:
        yield "torch.load is named without being called with weights_only"


def test_nothing_from_outside_is_executed() -> None:
    wrong = [f"{name_of(path)}: {place}" for path in SOURCES for place in executing_calls(path)]
    wrong += [f"{name_of(path)}: {place}" for path in SOURCES for place in executing_syntax(path)]
    assert wrong == []


def imported_names(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = {alias.name for alias in node.names}
    return {f"{node.module}.{name}" for name in names} if isinstance(node, ast.ImportFrom) else names


def test_no_module_is_imported_that_executes_what_it_reads() -> None:
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in [*SOURCES, *TESTS]
        for node in nodes(path)
        if isinstance(node, ast.Import | ast.ImportFrom)
        if {name.partition(".")[0] for name in imported_names(node)} & EXECUTING
    ]
    assert wrong == []


def network_uses(path: Path) -> Iterator[str]:
    """Yield the places of a file that could connect to another machine."""
    for node in nodes(path):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = imported_names(node)
            if module_of(path) != FETCHING and {name.partition(".")[0] for name in names} & NETWORK:
                yield f"line {node.lineno}: {names}"
            # Only a command that the user gives may fetch.
            if any(name.startswith(FETCHING) for name in names) and path.parent.name != "commands":
                yield f"line {node.lineno}: {names}"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "socket" and node.attr != "gethostname":
            yield f"line {node.lineno}: socket.{node.attr}"
    for node, name, keywords in calls(path):
        if "torch.hub" in name:
            yield f"line {node.lineno}: {name}"
        if any(keywords.get(word, "None") not in ("None", "False") for word in ("pretrained", "download")):
            yield f"line {node.lineno}: a download"


def test_nothing_is_fetched_unless_the_user_asks() -> None:
    assert [f"{name_of(path)}: {place}" for path in SOURCES for place in network_uses(path)] == []


def test_rules_quote_what_users_write_and_run_nothing_but_python() -> None:
    wrong = []
    for rule in read_rules().values():
        [block] = re.findall(r'shell:\n((?: +".*"\n)+)', rule.text)
        command = "".join(re.findall(r'"(.*)"', block))
        fields = re.findall(r"\{([^}]+)\}", command)
        unquoted = [
            field
            for field in fields
            if not (field.endswith(":q") or field.startswith(("wildcards.", "resources.")) or field in UNQUOTED)
        ]
        syntax = re.search(r"[|;&<>`$]|\b(curl|wget)\b", command)
        if unquoted or syntax or not command.startswith("python -m "):
            wrong.append(f"{rule.name}: {command}")
    assert wrong == []


def test_no_set_is_built_for_each_lookup() -> None:
    """`... for video in videos if video in train | validation` takes time quadratic in their number."""
    wrong = []
    for path in PACKAGE:
        conditions = [part for node in nodes(path) if isinstance(node, ast.comprehension) for part in node.ifs]
        comparisons = [
            part for condition in conditions for part in ast.walk(condition) if isinstance(part, ast.Compare)
        ]
        wrong += [
            f"{name_of(path)}:{part.lineno}: {ast.unparse(part)}"
            for part in comparisons
            if isinstance(part.ops[0], ast.In | ast.NotIn) and isinstance(part.comparators[0], ast.BinOp)
        ]
    assert wrong == []
