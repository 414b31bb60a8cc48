"""The same dataset from another seed."""

import json
from pathlib import Path

import pytest

from pipeline.config.errors import PipelineError
from pipeline.config.load import CONFIG, load

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
