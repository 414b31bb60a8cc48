"""A change reruns the rules that the table lists, for every setting and every module; snakemake agrees on a sample."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from helpers.rerun_datasets import (
    BASE,
    DEFAULTS,
    base_config,
    change_setting,
    leaf_settings,
    targets,
    write_sandbox,
)
from helpers.rerun_table import COMMAND, TABLE, expand_row, modules_table, settings_table
from helpers.workflow_sandbox import ROOT, snakemake

from pipeline.config.load import Config, merge_settings
from pipeline.provenance.jobs import Job, dry_run

SAMPLE = (
    "make_demo.workers",
    "build_corpus.shards",
    "pretrain_encoder.sa_tsp.global_feature.feature",
    "finetune_scst.lr",
)
"""Settings of every kind: of results, of the machine, and settings that add jobs or inputs. Campaigns try all."""

EDITED_MODULES = (
    "pipeline.captioning.scst",
    *(pytest.param(f"pipeline.{name}", marks=pytest.mark.campaign) for name in ("datasets.tagger", "report.page")),
)

table: dict[str, dict[str, list[str]]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def assert_rows(part: str, present: dict[str, list[str]]) -> None:
    """Assert that a part of the table has the rows of the present code, and no others."""
    wrong = [
        f"{part}: {name}: [{', '.join(rules)}]" if rules is not None else f"{part}: {name} no longer exists"
        for name in sorted(present.keys() | table[part].keys())
        if (rules := present.get(name)) != table[part].get(name)
    ]
    assert not wrong, f"rows of {TABLE.name} to add or change (if intended: {COMMAND}):\n" + "\n".join(wrong)


def test_every_module_has_a_correct_row() -> None:
    assert_rows("modules", modules_table())


def test_every_setting_has_a_row() -> None:
    present = Config.parse(merge_settings(DEFAULTS, base_config("unchanged")), "").model_dump(mode="json")
    assert {key for key, _ in leaf_settings(present)} == table["settings"].keys(), COMMAND


@pytest.mark.campaign
def test_every_setting_has_a_correct_row() -> None:
    follows, settings = settings_table()
    assert_rows("follows", follows)
    assert_rows("settings", settings)


def test_settings_of_the_machine_rerun_nothing() -> None:
    ineffective = {name.rpartition(".")[2] for name, rules in table["settings"].items() if not rules}
    assert ineffective == {"cache_gb", "device", "save_every", "timeout_s", "workers", "world_size"}
    assert table["settings"]["reencode.timeout_s"] == ["reencode"], "videos that took too long are tried again"


def finish(folder: Path, files: list[str]) -> dict[str, set[str]]:
    """Make snakemake believe that it has made files and everything they are made from; return dataset -> rules."""
    os.chdir(folder)
    jobs = dry_run(files, [])
    for path in [path for job in jobs for path in job.output]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    # With many cores, the scheduler selects all jobs that are ready at once.
    words = ["--touch", "--forceall", "--cores", "1000", "--", *files]
    process = snakemake(folder, *words, module="helpers.fast_snakemake", PYTHONPATH=str(ROOT / "tests"))
    assert process.returncode == 0, process.stdout
    return rules_by_dataset(jobs)


def rules_by_dataset(jobs: list[Job]) -> dict[str, set[str]]:
    """Return dataset, without the seed of its name -> rules of the jobs with a command."""
    rules: dict[str, set[str]] = {}
    for job in jobs:
        if job.command:
            rules.setdefault(re.sub(r"_s[0-9]+$", "", job.wildcards["dataset"]), set()).add(job.rule)
    return rules


def rules_planned(files: list[str]) -> dict[str, set[str]]:
    """Return dataset -> rules that snakemake would run."""
    return rules_by_dataset(dry_run(files, []))


@dataclass(frozen=True)
class FinishedDatasets:
    """Datasets whose results seem to be finished.

    Attributes:
        folder: a folder with its own copy of the code.
        files: the targets.
        rules: dataset -> rules that have finished.
    """

    folder: Path
    files: list[str]
    rules: dict[str, set[str]]

    def rules_after(self, name: str, key: str) -> set[str]:
        """Return the rules that run on a dataset after a change of a setting or module, according to the table."""
        row = table["settings"].get(key, table["modules"].get(key, []))
        return expand_row(key, row, table["follows"]) & self.rules[name]


def finish_datasets(folder: Path, names: dict[str, str], files: list[str]) -> FinishedDatasets:
    """Write a folder with its own copy of the code and some equal datasets, whose results seem to be finished."""
    write_sandbox(folder, {name: base_config(name) for name in names})
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    before = Path.cwd()
    try:
        return FinishedDatasets(folder, files, finish(folder, files))
    finally:
        os.chdir(before)


SAMPLE_NAMES = {f"s{index}": key for index, key in enumerate([*SAMPLE, "reordered", "touched"])}
"""Dataset -> the change that is made to it."""
MINE = targets("mine", "mine_concepts")
"""Targets of the dataset `mine`, among them pooled features of a trained encoder."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedDatasets:
    """The datasets of the sample, and the dataset `mine` for changes of the code."""
    files = [*(file for name in SAMPLE_NAMES for file in targets(name, "")), *MINE]
    return finish_datasets(tmp_path_factory.mktemp("finished"), SAMPLE_NAMES | {"mine": ""}, files)


def assert_plans(datasets: FinishedDatasets, names: dict[str, str]) -> None:
    """Change a setting of each dataset, and assert that snakemake plans the rules that the table lists, and no others.

    Args:
        datasets: the datasets.
        names: dataset -> its change: a setting, "reordered" or "touched".
    """
    for name, key in names.items():
        config = datasets.folder / "config" / "datasets" / f"{name}.yaml"
        if key == "reordered":
            backwards = {section: base_config(name)[section] for section in reversed(BASE)}
            config.write_text("# a comment\n" + yaml.safe_dump(backwards, sort_keys=False))
        elif key == "touched":
            for path in [config, *(datasets.folder / "results" / name).rglob("*.json")]:
                path.touch()
        else:
            present = Config.parse(merge_settings(DEFAULTS, base_config(name)), "").model_dump(mode="json")
            config.write_text(yaml.safe_dump(change_setting(key, dict(leaf_settings(present))[key], name)))
    planned = rules_planned(datasets.files)
    assert planned.keys() <= names.keys()
    for name, key in names.items():
        assert planned.get(name, set()) == datasets.rules_after(name, key), f"after a change of {key}"


def test_snakemake_plans_what_the_table_lists(finished: FinishedDatasets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.folder)
    assert_plans(finished, SAMPLE_NAMES)


@pytest.mark.campaign
def test_snakemake_plans_every_row_of_the_table_once_per_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {(key.partition(".")[0], *row): key for key, row in table["settings"].items()}
    names = {f"s{index}": key for index, key in enumerate(settings.values())}
    # Comparisons share datasets of other seeds, so all of them are finished where one is changed.
    keys = {name: None if key.startswith("compare_") else key for name, key in names.items()}
    files = [file for name, key in keys.items() for file in targets(name, key)]
    assert_plans(finish_datasets(tmp_path, names, files), names)


def rules_after_edit(modules: list[Path], edit: Callable[[str], str]) -> set[str]:
    """Return the rules that snakemake would run after an edit of some modules, and undo the edit."""
    texts = {path: path.read_text(encoding="utf-8") for path in modules}
    try:
        for path, text in texts.items():
            path.write_text(edit(text), encoding="utf-8")
        return rules_planned(MINE).get("mine", set())
    finally:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")


@pytest.mark.campaign
def test_edits_of_comments_and_docstrings_rerun_nothing(
    finished: FinishedDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.folder)
    modules = sorted((finished.folder / "pipeline").rglob("*.py"))

    def edit(text: str) -> str:
        return '"""Another docstring."""' + text.split('"""', 2)[2] + "\n# a comment\n"

    assert rules_after_edit(modules, edit) == set()
    assert rules_planned(MINE) == {}, "all modules are touched, because the edit was undone"


@pytest.mark.parametrize("module", EDITED_MODULES)
def test_an_edit_of_code_reruns_the_rules_that_use_it(
    finished: FinishedDatasets, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.chdir(finished.folder)
    path = finished.folder.joinpath(*module.split(".")).with_suffix(".py")
    assert rules_after_edit([path], lambda text: f"{text}\nADDED = 1\n") == finished.rules_after("mine", module)
    assert rules_planned(MINE) == {}, "the edit was undone"
