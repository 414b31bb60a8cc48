"""What a change makes run: every setting and every module as the table says, and snakemake itself on a sample."""

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
    base,
    changed,
    leaves,
    planned,
    targets,
    whole,
    write_tree,
)
from helpers.workflow_sandbox import ROOT, snakemake

from pipeline.config.load import Config, merge
from pipeline.provenance.jobs import dry_run

SAMPLE = (
    "make_demo.workers",
    "build_corpus.shards",
    "reencode.crf",
    "pretrain_encoder.sa_tsp.processes",
    "pretrain_encoder.sa_tsp.global_feature.feature",
    "propose_events.learned.cache_gb",
    "train_captioner.sa_tsp.features",
    "finetune_scst.lr",
    "select_captions.members",
    "evaluate.workers",
    "write_report.title",
)
"""Settings of every kind: what decides results, what only concerns the machine, what adds jobs or inputs."""

REAL_EDITS = ("pipeline.datasets.tagger", "pipeline.captioning.scst", "pipeline.report.page")

NOT_ASKED = {"probe_encoder", "write_submission", "compare_encoders", "climb_ladder"}
"""Rules beside the road to the scores and the page."""

table: dict[str, dict[str, list[str]]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def test_every_setting_and_every_module_has_a_row_and_it_is_true() -> None:
    found = whole()
    wrong = [
        f"{part}: {name}: [{', '.join(rules)}]" if rules is not None else f"{part}: {name} is gone"
        for part in found
        for name in sorted(found[part].keys() | table[part].keys())
        if (rules := found[part].get(name)) != table[part].get(name)
    ]
    assert not wrong, f"rows of {TABLE.name} to add or change (if that is meant: {COMMAND}):\n" + "\n".join(wrong)


def test_what_says_how_the_machine_is_used_reruns_nothing() -> None:
    idle = {name.rpartition(".")[2] for name, rules in table["settings"].items() if not rules}
    assert idle == {"cache_gb", "device", "processes", "reward_workers", "save_every", "timeout_s", "workers"}
    assert table["settings"]["reencode.timeout_s"] == ["reencode"], "videos that took too long are tried anew"


def finish(folder: Path, files: list[str]) -> None:
    """Make snakemake believe that it has made files and all that they are made from."""
    os.chdir(folder)
    for job in dry_run(files, []):
        for path in job.output:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    done = snakemake(folder, "--touch", "--forceall", "--cores", "1", "--", *files)
    assert done.returncode == 0, done.stdout


def rules_planned(files: list[str]) -> dict[str, set[str]]:
    """Dataset -> rules that snakemake would run."""
    found: dict[str, set[str]] = {}
    for job in dry_run(files, []):
        if job.command:
            found.setdefault(job.wildcards["dataset"], set()).add(job.rule)
    return found


def test_snakemake_plans_what_the_table_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {f"s{index}": key for index, key in enumerate([*SAMPLE, "reordered", "touched"])}
    write_tree(tmp_path, {name: base(name) for name in names})
    files = [file for name in names for file in targets(name, "")]
    finish(tmp_path, files)
    for name, key in names.items():
        config = tmp_path / "config" / "datasets" / f"{name}.yaml"
        if key in SAMPLE:
            present = Config.parse(merge(DEFAULTS, base(name)), "").model_dump(mode="json")
            config.write_text(yaml.safe_dump(changed(key, dict(leaves(present))[key], name)))
        elif key == "reordered":
            backwards = {section: base(name)[section] for section in reversed(BASE)}
            config.write_text("# a comment\n" + yaml.safe_dump(backwards, sort_keys=False))
        else:
            for path in [config, *(tmp_path / "results" / name).rglob("*.json")]:
                path.touch()
    found = rules_planned(files)
    for name, key in names.items():
        expected = planned(key, table["settings"].get(key, []), table["follows"]) - NOT_ASKED
        assert found.get(name, set()) == expected, f"after a change of {key}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with code of its own, in which the whole road seems to have been gone."""
    folder = tmp_path_factory.mktemp("finished")
    write_tree(folder, {"road": base("road")})
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    before = Path.cwd()
    try:
        finish(folder, targets("road", ""))
    finally:
        os.chdir(before)
    return folder


def edited(folder: Path, modules: list[Path], edit: Callable[[str], str]) -> set[str]:
    """Rules that snakemake would run after an edit, which is then taken back."""
    texts = {path: path.read_text(encoding="utf-8") for path in modules}
    try:
        for path, text in texts.items():
            path.write_text(edit(text), encoding="utf-8")
        return rules_planned(targets("road", "")).get("road", set())
    finally:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")


def test_comments_and_docstrings_and_edits_taken_back_plan_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    every = sorted((finished / "pipeline").rglob("*.py"))
    assert (
        edited(finished, every, lambda text: '"""Another docstring."""' + _below_docstring(text) + "\n# said\n")
        == set()
    )
    assert edited(finished, every, str) == set(), "only touched"


def _below_docstring(text: str) -> str:
    """A module's text after its docstring, which it opens with."""
    return text.split('"""', 2)[2]


@pytest.mark.parametrize("module", REAL_EDITS)
def test_an_edit_plans_the_rules_whose_code_it_is(finished: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.chdir(finished)
    path = finished.joinpath(*module.split(".")).with_suffix(".py")
    expected = planned(module, table["modules"][module], table["follows"]) - NOT_ASKED
    assert edited(finished, [path], lambda text: f"{text}\nADDED = 1\n") == expected
    assert rules_planned(targets("road", "")) == {}, "taken back"
