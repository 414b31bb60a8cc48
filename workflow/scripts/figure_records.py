"""The records of figures that documents quote (docs/figures.yaml), and what has changed since each was measured.

A record is stale if the code hash or a setting of any stage that decided it differs from today's. A difference does not
count if the record's `equal` declares, with a reason, that it changes no number. A stale record that cannot be renewed
now is declared `older`, with a reason; then every document that quotes it says so.
"""

import hashlib
import re
from datetime import date
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.config.base import Section, Settings
from pipeline.config.compare_systems import collect_ensembles
from pipeline.config.dataset_names import dataset_of_result
from pipeline.config.load import CONFIG, Config, load_config, read_yaml
from pipeline.errors import PipelineError, nearest
from pipeline.io.atomic import read_json
from pipeline.provenance.code_hash import current_code
from pipeline.provenance.parsed_sources import parse_once
from pipeline.provenance.settings import changed_keys, machine_setting_names
from workflow.scripts.rule_files import ROOT, entry_wildcards, read_rules

RECORDS = Path("docs", "figures.yaml")
STAGES = "stages"
"""Key of a record: stage -> each distinct code hash and settings, with the outputs."""

Reasons = dict[str, str]


class Equal(Section):
    """Differences of one stage that change no number.

    Attributes:
        code: code hash of today -> why it computes the same.
        settings: key of a setting, with dots -> why it changes no number.
    """

    code: Reasons = Field(default_factory=dict)
    settings: Reasons = Field(default_factory=dict)


class ResultRecord(Section):
    """A result of the pipeline that documents quote.

    Attributes:
        file: the copy of the result, in the repository.
        result: the target of snakemake.
        duration: how long the command takes from nothing on two cores; an estimate for people.
        pictures: pictures of the result -> their copies.
        equal: stage -> its differences that change no number.
        older: why it is quoted although it is stale; None: it may not be stale.
    """

    file: str
    result: str
    duration: str
    pictures: dict[str, str] = Field(default_factory=dict)
    equal: dict[str, Equal] = Field(default_factory=dict)
    older: str | None = None


class SpeedRecord(Section):
    """A speed that a script of `benchmarks/` measures; the table of benchmarks/README.md has the numbers.

    Attributes:
        measured: date.
        modules: modules and packages that the script times.
        code: hash of these modules when they were measured; `unknown` if that was before hashes were recorded.
        equal: hash of today -> why the speed is the same.
        older: why it is quoted although it is stale; None: it may not be stale.
    """

    measured: date
    modules: list[str] = Field(min_length=1)
    code: str
    equal: Reasons = Field(default_factory=dict)
    older: str | None = None


class FigureRecords(Section):
    """All records.

    Attributes:
        results: name of a record -> the record.
        speeds: script of `benchmarks/` -> the record.
    """

    results: dict[str, ResultRecord]
    speeds: dict[str, SpeedRecord]

    def result_record(self, name: str) -> ResultRecord:
        """Return the record of a result.

        Raises:
            PipelineError: there is none of this name.
        """
        if name not in self.results:
            raise PipelineError(f"{RECORDS}: no result {name!r}{nearest(name, self.results)}")
        return self.results[name]


def read_records() -> FigureRecords:
    """Read docs/figures.yaml.

    Raises:
        PipelineError: a key is unknown, missing or of a wrong type.
    """
    return FigureRecords.parse(read_yaml(ROOT / RECORDS), RECORDS.as_posix())


def find_result_changes(record: ResultRecord, data: dict[str, Any]) -> list[str]:
    """Return what has changed since a result was measured, one line for each difference.

    Args:
        record: its entry in docs/figures.yaml.
        data: the contents of its file.
    """
    changes: list[str] = []
    for stage, versions in data[STAGES].items():
        present, equal = current_code(stage), record.equal.get(stage, Equal())
        if present is None:
            changes.append(f"{stage}: the stage no longer exists")
            continue
        for version in versions:
            if version["code"] != present[0] and present[0] not in equal.code:
                changes.append(f"{stage}: code {version['code']} -> {present[0]}")
            for output in version["outputs"]:
                changes += _changed_settings(stage, output, version["config"], equal)
    return list(dict.fromkeys(changes))


def _changed_settings(stage: str, output: str, recorded: Any, equal: Equal) -> list[str]:
    today = settings_of_output(stage, output)
    if today is None:
        return [f"{stage}: {output} is no output of today's configuration"]
    changes = changed_keys(recorded, today.result_settings())
    return [
        f"{stage}: setting {change}"
        for change in changes
        if change.key not in equal.settings and change.key.rpartition(".")[2] not in machine_setting_names()
    ]


def settings_of_output(stage: str, output: str) -> Settings | None:
    """Return today's settings for an output of a stage, as its rule passes them; None if there is no such output.

    Args:
        stage: name of a stage.
        output: path below `results/`.
    """
    dataset = dataset_of_result(output)
    patterns = _output_patterns(dataset).get(stage, []) if dataset else []
    match = next(filter(None, (pattern.fullmatch(output) for pattern in patterns)), None)
    if dataset is None or match is None:
        return None
    config, wildcards = _load(dataset), match.groupdict()
    section = getattr(config, stage)
    if entry := _entry_wildcards().get(stage):
        return section.get(wildcards[entry])
    if wildcards.get("ensemble", "ensemble") != "ensemble":  # the rule replaces the members
        members = collect_ensembles(config.compare_systems.values()).get(wildcards["ensemble"])
        return None if members is None else section.model_copy(update={"members": members})
    return section


@cache
def _entry_wildcards() -> dict[str, str]:
    return entry_wildcards()


@cache
def _load(dataset: str) -> Config:
    return load_config(dataset, {}, ROOT / CONFIG)


@cache
def _output_patterns(dataset: str) -> dict[str, list[re.Pattern[str]]]:
    """Return the outputs of each rule as regular expressions, with a group for each wildcard but the dataset."""
    return {name: [_output_pattern(path, dataset) for path in rule.outputs] for name, rule in read_rules().items()}


def _output_pattern(path: str, dataset: str) -> re.Pattern[str]:
    optional = {"before": "(?:-xe)?", "member": "(?:-[a-z0-9_]+-[0-9]+)?", "recognized": "(?:-[a-z0-9_]+)?"}
    values = {"dataset": re.escape(dataset), **optional}
    parts = re.split(r"\{(\w+)\}", path)
    groups = [values.get(name, f"(?P<{name}>[a-z0-9_]*?)") for name in parts[1::2]]
    texts = map(re.escape, parts[::2])
    return re.compile("".join(part for pair in zip_longest(texts, groups, fillvalue="") for part in pair))


def find_speed_changes(record: SpeedRecord) -> list[str]:
    """Return what has changed since a speed was measured."""
    today = hash_modules(record.modules)
    if today in (record.code, *record.equal):
        return []
    return [f"{', '.join(record.modules)}: code {record.code} -> {today}"]


def hash_modules(names: list[str]) -> str:
    """Compute one sha256 (the first 16 hex digits) over some modules and packages alone, without what they import.

    Raises:
        PipelineError: no module has the name.
    """
    digests = {}
    for name in names:
        base = ROOT.joinpath(*name.split("."))
        files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
        if not files[0].is_file():
            raise PipelineError(f"{RECORDS}: no module {name}")
        for file in files:
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            digests[module] = parse_once(file.read_bytes())[1]
    return hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()[:16]


def find_changes() -> dict[str, list[str]]:
    """Return what has changed since each record was measured: name -> one line for each difference.

    A result without a file was never measured; no figure can name it.
    """
    records = read_records()
    changes = {name: find_speed_changes(speed) for name, speed in records.speeds.items()}
    for name, result in records.results.items():
        file = ROOT / result.file
        changes[name] = find_result_changes(result, read_json(file, "record")) if file.is_file() else []
    return changes


def find_stale() -> dict[str, list[str]]:
    """Return the stale records without `older`: name -> what has changed, and in the last line what renews it.

    A record with `older` that is not stale is in the list too: its `older` is wrong.
    """
    records = read_records()
    stale: dict[str, list[str]] = {}
    for name, changes in find_changes().items():
        record = records.results.get(name) or records.speeds[name]
        if changes and record.older is None:
            stale[name] = [*changes, _renewal(name, record)]
        elif record.older is not None and not changes:
            stale[name] = [f"{RECORDS} says that it is older than today's code: remove `older`"]
    return stale


def _renewal(name: str, record: ResultRecord | SpeedRecord) -> str:
    """Return the command that renews a record."""
    if isinstance(record, ResultRecord):
        return f"renew {record.file} ({record.duration}): make figures RECORDS={name}"
    return f"run benchmarks/{name}, then python -m workflow.scripts.figures measured {name}"
