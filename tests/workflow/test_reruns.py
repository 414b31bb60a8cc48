"""A change reruns the rules that the table lists, for every setting and every module; snakemake agrees on a sample."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helpers.rerun_table import (
    BASE,
    COMMAND,
    DEFAULTS,
    TABLE,
    base_config,
    change_setting,
    expand_row,
    leaf_settings,
    make_table,
    targets,
    write_sandbox,
)
from helpers.workflow_sandbox import ROOT, snakemake

from pipeline.config.load import Config, merge_settings, stages
from pipeline.provenance.jobs import dry_run

SAMPLE = (
    "make_demo.workers",
    "build_corpus.shards",
    "reencode.crf",
    "pretrain_encoder.sa_tsp.world_size",
    "pretrain_encoder.sa_tsp.global_feature.feature",
    "train_proposer.learned.cache_gb",
    "train_captioner.sa_tsp.features",
    "finetune_scst.lr",
    "select_captions.members",
    "evaluate.workers",
    "write_report.title",
)
"""Settings of every kind: of results, of the machine, and settings that add jobs or inputs."""

EDITED_MODULES = ("pipeline.datasets.tagger", "pipeline.captioning.scst", "pipeline.report.page")

OPTIONAL = {name for name, model in stages().items() if model.TARGET}
"""Rules that the default targets do not need."""

table: dict[str, dict[str, list[str]]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def test_every_setting_and_every_module_has_a_correct_row() -> None:
    present = make_table()
    wrong = [
        f"{part}: {name}: [{', '.join(rules)}]" if rules is not None else f"{part}: {name} no longer exists"
        for part in present
        for name in sorted(present[part].keys() | table[part].keys())
        if (rules := present[part].get(name)) != table[part].get(name)
    ]
    assert not wrong, f"rows of {TABLE.name} to add or change (if intended: {COMMAND}):\n" + "\n".join(wrong)


def test_settings_of_the_machine_rerun_nothing() -> None:
    ineffective = {name.rpartition(".")[2] for name, rules in table["settings"].items() if not rules}
    assert ineffective == {"cache_gb", "device", "save_every", "timeout_s", "workers", "world_size"}
    assert table["settings"]["reencode.timeout_s"] == ["reencode"], "videos that took too long are tried again"


def finish(folder: Path, files: list[str]) -> None:
    """Make snakemake believe that it has made files and everything they are made from."""
    os.chdir(folder)
    for job in dry_run(files, []):
        for path in job.output:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    process = snakemake(folder, "--touch", "--forceall", "--cores", "1", "--", *files)
    assert process.returncode == 0, process.stdout


def rules_planned(files: list[str]) -> dict[str, set[str]]:
    """Return dataset -> rules that snakemake would run."""
    rules: dict[str, set[str]] = {}
    for job in dry_run(files, []):
        if job.command:
            rules.setdefault(job.wildcards["dataset"], set()).add(job.rule)
    return rules


def test_snakemake_plans_what_the_table_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {f"s{index}": key for index, key in enumerate([*SAMPLE, "reordered", "touched"])}
    write_sandbox(tmp_path, {name: base_config(name) for name in names})
    files = [file for name in names for file in targets(name, "")]
    finish(tmp_path, files)
    for name, key in names.items():
        config = tmp_path / "config" / "datasets" / f"{name}.yaml"
        if key in SAMPLE:
            present = Config.parse(merge_settings(DEFAULTS, base_config(name)), "").model_dump(mode="json")
            config.write_text(yaml.safe_dump(change_setting(key, dict(leaf_settings(present))[key], name)))
        elif key == "reordered":
            backwards = {section: base_config(name)[section] for section in reversed(BASE)}
            config.write_text("# a comment\n" + yaml.safe_dump(backwards, sort_keys=False))
        else:
            for path in [config, *(tmp_path / "results" / name).rglob("*.json")]:
                path.touch()
    planned = rules_planned(files)
    for name, key in names.items():
        expected = expand_row(key, table["settings"].get(key, []), table["follows"]) - OPTIONAL
        assert planned.get(name, set()) == expected, f"after a change of {key}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with its own copy of the code, in which all results of the dataset `mine` seem to be finished."""
    folder = tmp_path_factory.mktemp("finished")
    write_sandbox(folder, {"mine": base_config("mine")})
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    before = Path.cwd()
    try:
        finish(folder, targets("mine", ""))
    finally:
        os.chdir(before)
    return folder


def rules_after_edit(modules: list[Path], edit: Callable[[str], str]) -> set[str]:
    """Return the rules that snakemake would run after an edit of some modules, and undo the edit."""
    texts = {path: path.read_text(encoding="utf-8") for path in modules}
    try:
        for path, text in texts.items():
            path.write_text(edit(text), encoding="utf-8")
        return rules_planned(targets("mine", "")).get("mine", set())
    finally:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")


def test_edits_of_comments_and_docstrings_rerun_nothing(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    modules = sorted((finished / "pipeline").rglob("*.py"))

    def edit(text: str) -> str:
        return '"""Another docstring."""' + text.split('"""', 2)[2] + "\n# a comment\n"

    assert rules_after_edit(modules, edit) == set()
    assert rules_after_edit(modules, str) == set(), "only touched"


@pytest.mark.parametrize("module", EDITED_MODULES)
def test_an_edit_of_code_reruns_the_rules_that_use_it(
    finished: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.chdir(finished)
    path = finished.joinpath(*module.split(".")).with_suffix(".py")
    expected = expand_row(module, table["modules"][module], table["follows"]) - OPTIONAL
    assert rules_after_edit([path], lambda text: f"{text}\nADDED = 1\n") == expected
    assert rules_planned(targets("mine", "")) == {}, "the edit was undone"
