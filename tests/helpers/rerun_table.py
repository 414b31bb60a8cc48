"""Which rules run again after a change of a setting or of a module, found for all of them in one dry run.

    make generate                    # writes tests/workflow/reruns.yaml, among others; look at its changes

Every setting gets a dataset of its own in which only this setting differs. One dry run plans all datasets. The jobs of
each are compared with those of the unchanged dataset. Modules are compared with the import closures of the stages.
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from helpers.rerun_datasets import base_config, targets, variant_name, variants, write_sandbox
from helpers.workflow_sandbox import ROOT
from pipeline.config.load import Config
from pipeline.provenance.code_hash import import_closure
from pipeline.provenance.jobs import Job, dry_run
from pipeline.provenance.settings import result_settings
from workflow.scripts.rule_files import entry_wildcards

TABLE = ROOT / "tests" / "workflow" / "reruns.yaml"
COMMAND = "make generate"
HEADER = f"""\
# Which rules run again after a change. Generated: {COMMAND}
#
# settings: rules that a change of the setting reruns directly. modules: rules whose stage runs the module's code.
# `follows` lists the rules that run after a rule, or after an entry of its section. After `only` no other rule runs.
# [] is a setting of the machine, or a module that no rule uses.
# A missing row fails tests/workflow/test_reruns.py; so does a wrong one, of a setting in its campaigns (make test-all).

"""

JobKey = tuple[str, str]

QUOTE_IN_WORD = "'\"'\"'"
"""A quote in a quoted word of a command line."""
CONFIG_WORD = re.compile(f"--config '((?:[^']|{QUOTE_IN_WORD})*)'")
"""The settings in a command line; `shlex` takes a hundred times as long to find them."""


class PlannedJob(NamedTuple):
    """A job.

    Attributes:
        identity: everything that snakemake compares, without the name of the dataset.
        input: declared inputs.
        output: declared outputs.
    """

    identity: str
    input: list[str]
    output: list[str]


Jobs = dict[JobKey, PlannedJob]


def jobs_by_name(jobs: list[Job]) -> dict[str, Jobs]:
    """Return the jobs with a command by dataset, without the seed of its name, then by rule and wildcards."""
    by_name: dict[str, Jobs] = {}
    for job in jobs:
        if job.command:
            name = re.sub(r"_s[0-9]+$", "", job.wildcards["dataset"])
            before, config, after = CONFIG_WORD.split(job.command)
            # The numbers of GPUs and processes are settings of the machine.
            rest = re.sub("--gpus [0-9]+( --processes [0-9]+)?", "", before + after)
            files = sorted(map(str, job.input)), sorted(map(str, job.output))
            settings = json.loads(config.replace(QUOTE_IN_WORD, "'"))
            identity = json.dumps([files, result_settings(job.rule, settings), rest])
            key = job.rule, _without_name(json.dumps(job.wildcards), name)
            by_name.setdefault(name, {})[key] = PlannedJob(_without_name(identity, name), *files)
    return by_name


def _without_name(text: str, name: str) -> str:
    return re.sub(rf"\b{name}(?![a-z0-9])", "NAME", text)


def changed_jobs(unchanged: Jobs, variant: Jobs) -> set[JobKey]:
    """Return the jobs that are new, or that differ in something that snakemake compares."""
    return {key for key, job in variant.items() if key not in unchanged or unchanged[key].identity != job.identity}


def downstream_rules(jobs: Jobs, start: set[JobKey]) -> set[str]:
    """Return the rules of some jobs and of all jobs that depend on them."""
    readers: dict[str, set[JobKey]] = {}
    for key, job in jobs.items():
        for path in job.input:
            readers.setdefault(path, set()).add(key)
    pending, reached = list(start), set(start)
    while pending:
        new = {key for path in jobs[pending.pop()].output for key in readers.get(path, set())} - reached
        reached |= new
        pending += new
    return {rule for rule, _ in reached}


def follows_table(jobs: Jobs) -> dict[str, list[str]]:
    """Return the rules that follow each rule, and each entry of its section: the first part of the table."""
    table = {}
    wildcards = entry_wildcards()
    for rule in Config.model_fields:
        of_rule = {key for key in jobs if key[0] == rule}
        table[rule] = in_order(downstream_rules(jobs, of_rule) - {rule})
        entries = {key: json.loads(key[1])[wildcards[rule]] for key in of_rule} if rule in wildcards else {}
        for entry in sorted(set(entries.values())):
            start = {key for key, name in entries.items() if name == entry}
            table[f"{rule}.{entry}"] = in_order(downstream_rules(jobs, start) - {rule})
    return table


def expand_row(name: str, rules: list[str], follows: dict[str, list[str]]) -> set[str]:
    """Return all rules that run after a change.

    Args:
        name: the changed setting or module.
        rules: its row in the table.
        follows: the first part of the table.
    """
    if rules[:1] == ["only"]:
        return set(rules[1:])
    rules = list(Config.model_fields) if rules == ["all"] else rules
    entry = ".".join(name.split(".")[:2])
    starts = [entry if entry.startswith(f"{rule}.") and entry in follows else rule for rule in rules]
    return {*rules, *(after for start in starts for after in follows[start])}


def make_row(key: str, changed: set[JobKey], jobs: Jobs, follows: dict[str, list[str]]) -> list[str]:
    """Return the row of a setting: of the rules that it reruns, those that do not follow from the others."""
    rerun, rules = downstream_rules(jobs, changed), {rule for rule, _ in changed}
    planned = {rule for rule, _ in jobs}
    row: list[str] = []
    for rule in in_order(rules):
        if rule not in expand_row(key, row, follows):
            row.append(rule)
    return row if expand_row(key, row, follows) & planned == rerun else ["only", *in_order(rerun)]


def in_order(rules: set[str]) -> list[str]:
    """Return rules in the order of the data flow."""
    return [rule for rule in Config.model_fields if rule in rules]


def settings_table() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the parts `follows` and `settings` of the table."""
    overlays = variants()
    names = {key: variant_name(index) for index, key in enumerate(overlays)}
    files = [*targets("unchanged", None), *(file for key, name in names.items() for file in targets(name, key))]
    datasets = {"unchanged": base_config("unchanged")} | {names[key]: overlays[key] for key in overlays}
    with tempfile.TemporaryDirectory() as folder:
        write_sandbox(Path(folder), datasets)
        before = Path.cwd()
        os.chdir(folder)
        try:
            by_name = jobs_by_name(dry_run(files, []))
        finally:
            os.chdir(before)
    unchanged = by_name["unchanged"]
    follows = follows_table(unchanged)
    rows = {}
    for key, name in names.items():
        variant = by_name[name]
        rows[key] = make_row(key, changed_jobs(unchanged, variant), variant, follows)
    return follows, rows


def list_modules() -> list[str]:
    """Return all first-party modules."""
    files = sorted((ROOT / "pipeline").rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]


def modules_table() -> dict[str, list[str]]:
    """Return the rules whose stage runs each module's code."""
    closures = {rule: import_closure(f"pipeline.{rule}") for rule in Config.model_fields}
    table = {
        module: in_order({rule for rule, closure in closures.items() if module in closure}) for module in list_modules()
    }
    return {module: ["all"] if rules == list(closures) else rules for module, rules in table.items()}


def format_table(table: dict[str, dict[str, list[str]]]) -> str:
    """Format the table as the text of its file."""
    lines = []
    for title, rows in table.items():
        lines += [f"{title}:", *(f"  {name}: [{', '.join(rules)}]" for name, rules in rows.items()), ""]
    return HEADER + "\n".join(lines)


def make_table() -> dict[str, dict[str, list[str]]]:
    """Return the table for the present code and rules."""
    follows, settings = settings_table()
    return {"follows": follows, "settings": settings, "modules": modules_table()}


def main() -> None:
    """Write the table."""
    TABLE.write_text(format_table(make_table()), encoding="utf-8")


if __name__ == "__main__":
    main()
