"""The same dataset from another seed."""

import json
from pathlib import Path

import pytest

from pipeline.config.load import CONFIG, load
from pipeline.errors import PipelineError

FOLDER = Path(__file__).resolve().parents[2] / CONFIG


def test_a_variant_differs_in_its_seeds_and_its_folder_alone() -> None:
    base, variant = (load(name, {}, FOLDER).model_dump(mode="json") for name in ("demo", "demo_s7"))
    assert (base["make_demo"]["seed"], variant["make_demo"].pop("seed")) == (0, 7)
    base["make_demo"].pop("seed")
    for encoders in (base, variant):
        seeds = {encoder.pop("seed") for encoder in encoders["pretrain_encoder"].values()}
        assert seeds == {0 if encoders is base else 7}
    assert json.dumps(variant) == json.dumps(base).replace("results/demo/", "results/demo_s7/")
    assert "results/demo_s7/source/videos" in json.dumps(variant)


def test_what_the_user_overrides_reaches_the_variants() -> None:
    assert load("demo_s7", {"reencode": {"crf": 30}}, FOLDER).reencode.crf == 30


@pytest.mark.parametrize(
    ("dataset", "said"),
    [("anet_s1", "there is no dataset anet_s1: only a corpus that"), ("nope_s1", "no dataset 'nope'")],
)
def test_only_what_the_pipeline_makes_has_variants(dataset: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        load(dataset, {}, FOLDER)


@pytest.mark.parametrize("dataset", ["anet", "demo"])
def test_a_rehearsal_differs_in_how_much_it_takes_alone(dataset: str) -> None:
    base, rehearsal = (load(name, {}, FOLDER).model_dump(mode="json") for name in (dataset, f"{dataset}_smoke"))
    assert rehearsal["build_corpus"]["videos"] == base["build_corpus"]["videos"].replace("/demo/", "/demo_smoke/")
    short = {"epochs", "steps_per_epoch"}
    for section, changed in {
        "pretrain_encoder": short | {"clips_per_segment", "empty_classes"},
        "propose_events": short,
        "train_captioner": short,
    }.items():
        assert base[section].keys() == rehearsal[section].keys()
        for name, entry in base[section].items():
            rehearsed = rehearsal[section][name]
            assert {key for key in entry if entry[key] != rehearsed[key]} <= changed
            assert bool(rehearsed.get("epochs")) == bool(entry.get("epochs")), "what does not train goes on not to"
            assert (rehearsed.get("steps_per_epoch") == 2) == bool(entry.get("epochs"))
    changed = {key for key in base if base[key] != rehearsal[key]}
    assert changed <= {"build_corpus", "pretrain_encoder", "propose_events", "train_captioner", "finetune_scst"}
    assert (rehearsal["finetune_scst"]["epochs"], rehearsal["finetune_scst"]["steps_per_epoch"]) == (1, 2)


def test_rehearsed_steps_are_as_full_as_the_real_ones() -> None:
    encoder = load("anet_smoke", {}, FOLDER).pretrain_encoder["sa_tsp"]
    assert encoder.clips_per_segment == encoder.batch_size * encoder.replicas == 64
    small = {"pretrain_encoder": {"sa_tsp": {"batch_size": 1}}}
    assert load("anet_smoke", small, FOLDER).pretrain_encoder["sa_tsp"].clips_per_segment == 2


def test_users_entries_are_rehearsed_too_and_their_limits_hold() -> None:
    mine = {"train_captioner": {"mine": {"features": ["tsp"]}}, "build_corpus": {"limit_videos": 7, "shards": 1}}
    rehearsal = load("anet_smoke", mine, FOLDER)
    assert rehearsal.train_captioner["mine"].steps_per_epoch == 2
    assert (rehearsal.build_corpus.limit_videos, rehearsal.build_corpus.shards) == (7, 1)


def test_only_a_dataset_can_be_rehearsed() -> None:
    with pytest.raises(PipelineError, match="no dataset 'nope'"):
        load("nope_smoke", {}, FOLDER)
