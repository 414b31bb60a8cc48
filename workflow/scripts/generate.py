"""Write every generated file anew, or check that none was forgotten or edited by hand.

    make generate                                    # write all, and print which files changed
    python -m workflow.scripts.generate --check      # compare what is made fast; part of `make test`

Generated are config/config.yaml and config/schema.json (from the typed sections), tests/workflow/reruns.yaml (which
change reruns which rule), and the text between `<!-- generated: NAME -->` and `<!-- end -->` in the documents.
"""

import argparse
import importlib
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pipeline.config.command import build_parser, command
from pipeline.config.load import Config, stages
from pipeline.config.readers import READERS
from pipeline.config.registry import Registry
from pipeline.config.schema import config_yaml, schema_json
from pipeline.errors import PipelineError, nearest
from pipeline.features.networks.table import extractors_table, weights_table
from pipeline.io.atomic import write_text
from pipeline.provenance.jobs import summarize_failure
from workflow.scripts.claims_table import claims_tables, demo_table
from workflow.scripts.cost_table import real_run_table
from workflow.scripts.rule_files import ROOT, entry_wildcards, read_rules

RERUN_TABLE = ROOT / "tests" / "workflow" / "reruns.yaml"
MARKED = re.compile(r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
REAL_RUN = "real run"
"""The marked part whose text takes some seconds; tests/planning compares it."""
DEFAULT_TARGETS = ("results/demo_test_meteor.json", "results/demo/report/index.html")


def rule_graph() -> str:
    """Return the graph of the rules as Mermaid text: an arrow leads from a rule to a rule that reads its outputs.

    Arrows that follow from others are left out.
    """
    optional = [model.TARGET.format(dataset="demo") for model in stages().values() if model.TARGET]
    process = subprocess.run(
        [sys.executable, "-m", "snakemake", "--rulegraph", "--forceall", *DEFAULT_TARGETS, *optional],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise PipelineError(summarize_failure(process.stderr))
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', process.stdout, flags=re.MULTILINE))
    edges = {(names[a], names[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", process.stdout, flags=re.MULTILINE)}
    order = list(Config.model_fields)
    sorted_edges = sorted(
        (edge for edge in edges if set(edge) <= set(order)), key=lambda edge: [*map(order.index, edge)]
    )
    return "\n".join(
        ["```mermaid", "flowchart TD", *(f"    {a} --> {b}" for a, b in reduce_edges(sorted_edges)), "```"]
    )


def reduce_edges(edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out each edge whose end can be reached by other edges: what a rule needs follows from the rest."""
    reduced = list(edges)
    for edge in edges:
        rest = [candidate for candidate in reduced if candidate != edge]
        reached, border = {edge[0]}, [edge[0]]
        while border:
            source = border.pop()
            targets = {target for start, target in rest if start == source} - reached
            reached |= targets
            border.extend(targets)
        if edge[1] in reached:
            reduced = rest
    return reduced


def outputs_table() -> str:
    """Return the table of all outputs: rule, files and description, in the order of the data flow."""
    rules = read_rules()
    rows = []
    for name in Config.model_fields:
        files = ", ".join(f"`{path.removeprefix('results/')}`" for path in rules[name].outputs)
        rows.append([name, files, rules[name].docstring])
    return _table(["rule", "outputs in `results/`", "what the rule does"], rows)


def sections_table() -> str:
    """Return the table of the configuration's sections: name, wildcard of the entries, description."""
    wildcards = entry_wildcards()
    rows = [
        [f"`{name}`", f"by {wildcards[name]}" if name in wildcards else "", field.description or ""]
        for name, field in Config.model_fields.items()
    ]
    return _table(["section", "entries", "what"], rows)


def registry_table(registry: Registry) -> str:
    """Return the table of a registry: the name of each part and the columns of its spec."""
    columns = next(iter(registry.values())).columns
    rows = [[f"`{name}`", *(getattr(spec, column) for column in columns)] for name, spec in registry.items()]
    return _table(["name", *columns], rows)


def reader_examples() -> str:
    """Return an example of each annotation format, as a block of code after the name of its reader."""
    blocks = [f"`{name}`:\n\n{textwrap.indent(spec.example, ' ' * 4).rstrip()}" for name, spec in READERS.items()]
    return "\n\n".join(blocks)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in lines)


def find_registries() -> dict[str, Registry]:
    """Return all registries by the name of their module in `pipeline.config`.

    Raises:
        PipelineError: the file of a part does not exist.
    """
    registries = {}
    for path in sorted((ROOT / "pipeline" / "config").glob("*.py")):
        if path.stem != "__init__":
            module = importlib.import_module(f"pipeline.config.{path.stem}")
            instances = [value for value in vars(module).values() if isinstance(value, Registry)]
            if instances and "Registry(" in path.read_text(encoding="utf-8"):
                registries[path.stem] = instances[0]
                for spec in instances[0].values():
                    spec.check_module()
    return registries


def blocks() -> dict[str, Callable[[], str]]:
    """Return the functions that write the marked parts of documents, by the name in the marker."""
    tables: dict[str, Callable[[], str]] = {
        name: partial(registry_table, registry) for name, registry in find_registries().items()
    }
    tables |= {"extractors": extractors_table, "extractor weights": weights_table, "reader examples": reader_examples}
    tables |= {"claims": claims_tables, "demo scores": demo_table}
    return {"dag": rule_graph, "outputs": outputs_table, "sections": sections_table, REAL_RUN: real_run_table, **tables}


def documents(*, with_real_run: bool) -> Iterator[tuple[Path, str]]:
    """Yield the documents with marked parts, and their generated text.

    Args:
        with_real_run: plan the real run, which takes some seconds, and write its table; false: keep the table.
    """
    writers = blocks()
    texts: dict[str, str] = {}
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "config" / "README.md"]:
        text = path.read_text(encoding="utf-8")
        for _, name, _ in MARKED.findall(text):
            if name not in writers:
                raise PipelineError(f"{path.relative_to(ROOT)}: no generated part {name!r}{nearest(name, writers)}")
            if name not in texts and (with_real_run or name != REAL_RUN):
                texts[name] = writers[name]()
        if MARKED.search(text):
            yield path, MARKED.sub(lambda match: _with_text(match, texts), text)


def _with_text(match: re.Match[str], texts: dict[str, str]) -> str:
    """Return a marked part with its new text; unchanged if there is none."""
    return f"{match[1]}{texts[match[2]]}\n{match[3]}" if match[2] in texts else match[0]


def generated_files(*, with_real_run: bool) -> Iterator[tuple[Path, str]]:
    """Yield path and text of each generated file except the table of reruns.

    Args:
        with_real_run: with the table of the real run; false: keep it as it is.
    """
    yield ROOT / "config" / "config.yaml", config_yaml()
    yield ROOT / "config" / "schema.json", schema_json()
    yield from documents(with_real_run=with_real_run)


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__, prog="python -m workflow.scripts.generate")
    modes = arguments.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="compare the files instead of writing them")
    modes.add_argument(
        "--quick", action="store_true", help="keep the table of reruns and that of the real run, which take a minute"
    )
    args: argparse.Namespace = arguments.parse_args(argv)
    if args.check:
        check_files()
        return 0
    changed = write_files(with_real_run=not args.quick)
    status = 0
    if not args.quick:
        before = RERUN_TABLE.read_bytes() if RERUN_TABLE.is_file() else None
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        status = subprocess.run([sys.executable, "-m", "helpers.rerun_table"], env=environment, check=False).returncode
        if status == 0 and RERUN_TABLE.read_bytes() != before:
            changed.append(RERUN_TABLE)
    for path in changed:
        print(f"changed: {path.relative_to(ROOT)}")
    if status == 0 and not changed:
        print("all generated files were up to date")
    return status


def check_files() -> None:
    """Compare the generated files except the table of reruns and that of the real run, which have their own tests.

    Raises:
        PipelineError: a file is not up to date; names it.
    """
    for path, text in generated_files(with_real_run=False):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise PipelineError(
                f"{path.relative_to(ROOT)} is not up to date: run `make generate` and commit the result"
            )


def write_files(*, with_real_run: bool) -> list[Path]:
    """Write the generated files except the table of reruns. Return those that changed.

    Args:
        with_real_run: with the table of the real run; false: keep it as it is.
    """
    changed = []
    for path, text in generated_files(with_real_run=with_real_run):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            changed.append(path)
    return changed


if __name__ == "__main__":
    raise SystemExit(main())
