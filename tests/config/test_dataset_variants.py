"""Variants of datasets: another seed, and a rehearsal."""

import json
from pathlib import Path

import pytest

from pipeline.config.load import CONFIG, load_config, stages
from pipeline.errors import PipelineError

TRAINED = ("recognizer", "proposer", "localizer", "captioner")
SYNTHETIC = [section for section in stages() if section.startswith("make_")]
"""Sections of synthetic datasets."""
TRAINED_FROM_PIXELS = ("pretrain_encoder", "train_recognizer")
FOLDER = Path(__file__).resolve().parents[2] / CONFIG


def test_reseed_changes_seeds_and_result_folders_only() -> None:
    base, seeded = (load_config(name, {}, FOLDER).model_dump(mode="json") for name in ("demo", "demo_s7"))
    for config in (base, seeded):
        seeds = {config[section].pop("seed") for section in SYNTHETIC}
        seeds |= {entry.pop("seed") for section in TRAINED_FROM_PIXELS for entry in config[section].values()}
        assert seeds == {0 if config is base else 7}
    assert json.dumps(seeded) == json.dumps(base).replace("results/demo/", "results/demo_s7/")
    assert "results/demo_s7/source/videos" in json.dumps(seeded)


def test_overrides_of_the_user_apply_to_variants() -> None:
    assert load_config("demo_s7", {"reencode": {"crf": 30}}, FOLDER).reencode.crf == 30


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
