"""Variants of datasets: another seed, and a rehearsal."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.load import CONFIG, load_config, read_yaml, stages
from pipeline.errors import PipelineError

TRAINED = ("recognizer", "proposer", "localizer", "captioner")
SYNTHETIC = [section for section in stages() if section.startswith("make_")]
"""Sections of synthetic datasets."""
TRAINED_FROM_PIXELS = ("pretrain_encoder", "train_recognizer")
FOLDER = Path(__file__).resolve().parents[2] / CONFIG


@pytest.fixture
def settings_of_seeds() -> dict[str, Any]:
    """What `config/seeds/demo.yaml` changes in the variants of the demo."""
    settings: dict[str, Any] = read_yaml(FOLDER / "seeds" / "demo.yaml")
    return settings


def test_reseed_changes_seeds_and_result_folders_and_what_the_file_of_seeds_names(
    settings_of_seeds: dict[str, Any],
) -> None:
    base = load_config("demo", settings_of_seeds, FOLDER).model_dump(mode="json")
    seeded = load_config("demo_s7", {}, FOLDER).model_dump(mode="json")
    for config in (base, seeded):
        seeds = {config[section].pop("seed") for section in SYNTHETIC}
        seeds |= {entry.pop("seed") for section in TRAINED_FROM_PIXELS for entry in config[section].values()}
        assert seeds == {0 if config is base else 7}
    assert json.dumps(seeded) == json.dumps(base).replace("results/demo/", "results/demo_s7/")
    assert "results/demo_s7/source/videos" in json.dumps(seeded)


def test_overrides_of_the_user_apply_to_variants(settings_of_seeds: dict[str, Any]) -> None:
    assert load_config("demo_s7", {"reencode": {"crf": 30}}, FOLDER).reencode.crf == 30
    changed = load_config("demo_s7", {"make_demo": {"val_videos": 5}}, FOLDER).make_demo
    assert (changed.val_videos, changed.seed) == (5, 7)
    assert settings_of_seeds["make_demo"]["val_videos"] == load_config("demo_s7", {}, FOLDER).make_demo.val_videos


@pytest.mark.parametrize("path", sorted((FOLDER / "seeds").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_seeds_belongs_to_a_dataset_and_changes_it(path: Path) -> None:
    base, changed = (load_config(path.stem, overrides, FOLDER) for overrides in ({}, read_yaml(path)))
    assert changed != base
    assert load_config(f"{path.stem}_s7", {}, FOLDER) != changed, "it has another seed"


def test_a_wrong_key_in_a_file_of_seeds_is_an_error_of_the_variant(tmp_path: Path) -> None:
    for name, text in {
        "config.yaml": "{}",
        "datasets/mine.yaml": "build_corpus: {videos: results/mine/source/videos}",
        "seeds/mine.yaml": "make_demo: {val_vidoes: 5}",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(PipelineError, match=r"make_demo\.val_vidoes"):
        load_config("mine_s7", {}, tmp_path)


@pytest.mark.parametrize(
    ("dataset", "facts"),
    [("anet_s1", r"no dataset anet_s1: .* build_corpus\.videos of anet"), ("nope_s1", "no dataset 'nope'")],
)
def test_reseed_rejects_datasets_that_the_pipeline_does_not_make(dataset: str, facts: str) -> None:
    with pytest.raises(PipelineError, match=facts):
        load_config(dataset, {}, FOLDER)


@pytest.mark.parametrize("dataset", ["anet", "demo"])
def test_rehearse_changes_amounts_only(dataset: str) -> None:
    base, rehearsal = (load_config(name, {}, FOLDER).model_dump(mode="json") for name in (dataset, f"{dataset}_smoke"))
    assert rehearsal["build_corpus"]["videos"] == base["build_corpus"]["videos"].replace("/demo/", "/demo_smoke/")
    amounts = {"epochs", "steps_per_epoch"}
    for section, allowed in {
        "pretrain_encoder": amounts | {"clips_per_segment", "empty_classes"},
        "train_recognizer": amounts,
        "train_proposer": amounts,
        "train_localizer": amounts,
        "train_captioner": amounts,
    }.items():
        assert base[section].keys() == rehearsal[section].keys()
        for name, entry in base[section].items():
            small = rehearsal[section][name]
            assert {key for key in entry if entry[key] != small[key]} <= allowed
            assert bool(small.get("epochs")) == bool(entry.get("epochs")), "an untrained entry stays untrained"
            assert (small.get("steps_per_epoch") == 2) == bool(entry.get("epochs"))
    changed = {key for key in base if base[key] != rehearsal[key]}
    assert changed <= {"build_corpus", "pretrain_encoder", "finetune_scst"} | {f"train_{part}" for part in TRAINED}
    assert (rehearsal["finetune_scst"]["epochs"], rehearsal["finetune_scst"]["steps_per_epoch"]) == (1, 2)


def test_rehearse_keeps_the_size_of_pretraining_steps() -> None:
    encoder = load_config("anet_smoke", {}, FOLDER).pretrain_encoder["sa_tsp"]
    assert encoder.clips_per_segment == encoder.batch_size * encoder.accumulate_steps == 64
    small = {"pretrain_encoder": {"sa_tsp": {"batch_size": 1}}}
    assert load_config("anet_smoke", small, FOLDER).pretrain_encoder["sa_tsp"].clips_per_segment == 2


def test_rehearse_applies_to_entries_of_the_user_and_keeps_their_limits() -> None:
    overrides = {"train_captioner": {"mine": {"features": ["tsp"]}}, "build_corpus": {"limit_videos": 7, "shards": 1}}
    rehearsal = load_config("anet_smoke", overrides, FOLDER).model_dump(mode="json")
    assert rehearsal["train_captioner"]["mine"]["steps_per_epoch"] == 2
    assert (rehearsal["build_corpus"]["limit_videos"], rehearsal["build_corpus"]["shards"]) == (7, 1)


def test_rehearse_rejects_datasets_that_do_not_exist() -> None:
    with pytest.raises(PipelineError, match="no dataset 'nope'"):
        load_config("nope_smoke", {}, FOLDER)
